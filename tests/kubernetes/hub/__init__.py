"""The hub on a real Kubernetes: what people do there, what must not be possible, and what survives."""
