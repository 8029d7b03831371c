"""The service at `/services/dask-gateway/`: dask-gateway behind the hub's own sign-in.

* Every request is answered as the person whose token it carries; two people's answers never mix.
* A dashboard opens only for the owner of its cluster.
* Nobody's cookie and no token but the caller's own ever reaches dask-gateway.
"""
