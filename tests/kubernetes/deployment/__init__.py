"""What the charts of zero-to-jupyterhub and dask-gateway make of values files, in manifests of our own.

The charts themselves cannot be had where these tests run. The stand-ins know the values that our files use
and the charts' defaults for the rest: names, labels, roles, network policies, how drop-ins are run.
"""
