from __future__ import annotations

import json
from pathlib import Path

import pytest
from kubernetes_asyncio.config import kube_config


@pytest.fixture(autouse=True)
def _somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the Kubernetes client an address to know, which nothing here asks."""
    known = {
        "current-context": "none",
        "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
        "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "none", "user": {}}],
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(known))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
