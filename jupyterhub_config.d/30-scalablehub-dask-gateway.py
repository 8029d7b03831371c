# Dask clusters through the hub: the service /services/dask-gateway/, and the right to use it.
from scalablehub.hub import configure_dask_gateway as _configure_dask_gateway

_configure_dask_gateway(c)
