# The identity provider's groups are the hub's: c.ScalableHub.groups.
from scalablehub.hub import configure_authenticator as _configure_authenticator

_configure_authenticator(c)
