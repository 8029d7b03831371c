// Package plugins is left out of the test cluster's traefik: it has an interpreter of Go and one of WebAssembly.
package plugins

import (
	"context"
	"errors"
	"net/http"

	"github.com/traefik/traefik/v3/pkg/provider"
)

var errMissing = errors.New("the test cluster's traefik is built without plugins")

// Descriptor names a plugin.
type Descriptor struct {
	ModuleName string `json:"moduleName,omitempty"`
}

// LocalDescriptor names a plugin in a folder.
type LocalDescriptor struct {
	ModuleName string `json:"moduleName,omitempty"`
}

// Client would fetch plugins.
type Client struct{}

// ClientOptions would say where to.
type ClientOptions struct{ Output string }

// Constructor makes a plugin's middleware.
type Constructor func(context.Context, http.Handler) (http.Handler, error)

// Builder would build plugins.
type Builder struct{}

// NewClient refuses.
func NewClient(ClientOptions) (*Client, error) { return nil, errMissing }

// SetupRemotePlugins refuses.
func SetupRemotePlugins(*Client, map[string]Descriptor) error { return errMissing }

// SetupLocalPlugins refuses.
func SetupLocalPlugins(map[string]LocalDescriptor) error { return errMissing }

// NewBuilder makes a builder of nothing.
func NewBuilder(*Client, map[string]Descriptor, map[string]LocalDescriptor) (*Builder, error) {
	return &Builder{}, nil
}

// Build refuses.
func (*Builder) Build(string, map[string]interface{}, string) (Constructor, error) {
	return nil, errMissing
}

// BuildProvider refuses.
func (*Builder) BuildProvider(string, map[string]interface{}) (provider.Provider, error) {
	return nil, errMissing
}
