// Package gateway (the Gateway API) is left out of the test cluster's traefik.
package gateway

import (
	"github.com/traefik/traefik/v3/pkg/config/dynamic"
	"github.com/traefik/traefik/v3/pkg/provider/missing"
)

// Entrypoint is what the static configuration tells about an entry point.
type Entrypoint struct {
	Address        string
	HasHTTPTLSConf bool
}

// BuildFilterFunc returns the name of a filter, and its middleware if it needs one.
type BuildFilterFunc func(name, namespace string) (string, *dynamic.Middleware, error)

// BuildBackendFunc returns the name of a backend, and its service if it needs one.
type BuildBackendFunc func(name, namespace string) (string, *dynamic.Service, error)

// ExtensionBuilderRegistry takes what other providers offer to routes.
type ExtensionBuilderRegistry interface {
	RegisterFilterFuncs(group, kind string, build BuildFilterFunc)
	RegisterBackendFuncs(group, kind string, build BuildBackendFunc)
}

// Provider refuses to start.
type Provider struct {
	missing.Provider
	EntryPoints map[string]Entrypoint `json:"-" toml:"-" yaml:"-" label:"-" file:"-"`
}

// RegisterFilterFuncs forgets what it is offered.
func (*Provider) RegisterFilterFuncs(string, string, BuildFilterFunc) {}

// RegisterBackendFuncs forgets what it is offered.
func (*Provider) RegisterBackendFuncs(string, string, BuildBackendFunc) {}
