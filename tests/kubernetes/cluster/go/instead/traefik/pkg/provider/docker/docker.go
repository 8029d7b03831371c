// Package docker is left out of the test cluster's traefik.
package docker

import "github.com/traefik/traefik/v3/pkg/provider/missing"

// Provider refuses to start.
type Provider = missing.Provider

// SwarmProvider refuses to start.
type SwarmProvider = missing.Provider
