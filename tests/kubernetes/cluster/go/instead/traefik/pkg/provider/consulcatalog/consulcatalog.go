// Package consulcatalog is left out of the test cluster's traefik.
package consulcatalog

import "github.com/traefik/traefik/v3/pkg/provider/missing"

// ProviderBuilder refuses to start.
type ProviderBuilder = missing.ProviderBuilder
