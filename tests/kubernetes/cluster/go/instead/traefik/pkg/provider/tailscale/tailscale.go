// Package tailscale is left out of the test cluster's traefik.
package tailscale

import (
	"github.com/traefik/traefik/v3/pkg/config/dynamic"
	"github.com/traefik/traefik/v3/pkg/provider/missing"
)

// Provider refuses to start.
type Provider struct {
	missing.Provider
	ResolverName string
}

// HandleConfigUpdate is never called: the provider refuses to start.
func (*Provider) HandleConfigUpdate(dynamic.Configuration) {}
