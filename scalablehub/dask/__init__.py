"""Dask through the hub: the client's environment, and what runs inside dask-gateway's server."""
