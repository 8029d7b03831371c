# The configuration of JupyterHub for `scalablehub up`.
from scalablehub.local.configuring import configure_hub as _configure_hub

_configure_hub(c)
