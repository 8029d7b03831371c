// Package missing stands for the providers that the test cluster's traefik is built without.
package missing

import (
	"errors"

	ptypes "github.com/traefik/paerser/types"
	"github.com/traefik/traefik/v3/pkg/config/dynamic"
	"github.com/traefik/traefik/v3/pkg/safe"
)

var errMissing = errors.New("the test cluster's traefik is built without this provider")

// Provider refuses to start. Its fields are those that other packages look at.
type Provider struct {
	HTTPClientTimeout ptypes.Duration `json:"httpClientTimeout,omitempty"`
	RefreshSeconds    ptypes.Duration `json:"refreshSeconds,omitempty"`
}

// Init says what is wrong.
func (*Provider) Init() error { return errMissing }

// Provide says what is wrong.
func (*Provider) Provide(chan<- dynamic.Message, *safe.Pool) error { return errMissing }

// ProviderBuilder makes one provider, which refuses to start.
type ProviderBuilder struct{}

// BuildProviders makes the provider.
func (*ProviderBuilder) BuildProviders() []*Provider { return []*Provider{{}} }
