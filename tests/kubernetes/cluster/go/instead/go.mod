module scalablehub.test/instead

go 1.24.0

require (
	github.com/go-acme/lego/v4 v4.22.2
	github.com/traefik/traefik/v3 v3.3.5
)
