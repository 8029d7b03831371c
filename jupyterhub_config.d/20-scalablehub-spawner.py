# Servers follow the hub's description: c.ScalableHub.
from scalablehub.hub import configure_spawner as _configure_spawner

_configure_spawner(c)
