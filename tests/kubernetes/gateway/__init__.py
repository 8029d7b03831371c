"""dask-gateway's server and controller as processes of this machine, against a real Kubernetes."""
