"""Spawners: thin classes that carry a decision out on one machine or in Kubernetes."""
