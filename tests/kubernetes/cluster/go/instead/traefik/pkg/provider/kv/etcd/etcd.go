// Package etcd is left out of the test cluster's traefik.
package etcd

import "github.com/traefik/traefik/v3/pkg/provider/missing"

// Provider refuses to start.
type Provider = missing.Provider
