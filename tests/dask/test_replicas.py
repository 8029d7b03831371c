from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes_asyncio.client.rest import ApiException

from scalablehub.dask.replicas import count_replicas


class Api:
    """Kubernetes, with a pod of a ReplicaSet."""

    def __init__(self, replicas: int, kind: str = "ReplicaSet", status: int = 200) -> None:
        self.replicas, self.kind, self.status = replicas, kind, status

    async def read_namespaced_pod(self, name: str, namespace: str) -> Any:
        assert (name, namespace) == ("api-1", "gateway")
        if self.status != 200:
            raise ApiException(status=self.status)
        owner = SimpleNamespace(kind=self.kind, name="api")
        return SimpleNamespace(metadata=SimpleNamespace(owner_references=[owner]))

    async def read_namespaced_replica_set(self, name: str, namespace: str) -> Any:
        assert (name, namespace) == ("api", "gateway")
        return SimpleNamespace(spec=SimpleNamespace(replicas=self.replicas))


@pytest.mark.parametrize(
    ("api", "count"),
    [
        (Api(1), 1),
        (Api(3), 3),
        (Api(1, kind="Job"), None),
        (Api(1, status=403), None),
        (Api(1, status=404), None),
    ],
    ids=["one", "three", "of no ReplicaSet", "not allowed", "gone"],
)
async def test_replicas_are_those_of_the_pods_own_replica_set(api: Any, count: int | None) -> None:
    assert await count_replicas(api, api, name="api-1", namespace="gateway") == count


async def test_kubernetes_in_trouble_is_no_answer() -> None:
    api: Any = Api(1, status=500)
    with pytest.raises(ApiException):
        await count_replicas(api, api, name="api-1", namespace="gateway")
