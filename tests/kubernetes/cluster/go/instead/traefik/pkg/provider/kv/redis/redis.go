// Package redis is left out of the test cluster's traefik.
package redis

import "github.com/traefik/traefik/v3/pkg/provider/missing"

// Provider refuses to start.
type Provider = missing.Provider
