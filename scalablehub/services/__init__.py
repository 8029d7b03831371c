"""The hub's services: each a small server beside the hub."""
