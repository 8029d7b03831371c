"""Whether a description fits the nodes that there are: counted, measured, and asked of the API server.

`stating`, `scheduling`, `capacities`, `proving` and `placing` are plain functions on plain data; `trying`
makes pods as the hub would, `asking` is the way to a Kubernetes cluster. All but `stating` need KubeSpawner.
"""
