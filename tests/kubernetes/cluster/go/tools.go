//go:build tools

// Commands of others that are built from this module.
package tools

import (
	_ "github.com/rancher/local-path-provisioner"
	_ "github.com/traefik/traefik/v3/cmd/traefik"
)
