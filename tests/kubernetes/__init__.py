"""Tests on a real Kubernetes, and what they run on."""
