# The configuration of dask-gateway's server for `scalablehub up`.
from scalablehub.local.configuring import configure_gateway as _configure_gateway

_configure_gateway(c)
