"""What the hub is told of real nodes, with the rights that the how-to gives and without."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from kubernetes_asyncio.client import ApiClient, Configuration, CoreV1Api

from scalablehub.description import Description, resolve
from scalablehub.spawner.nodes import NodesRefused, look_at_nodes
from scalablehub.spawner.ready import AT_ONCE
from tests.descriptions import described
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.kubectl import Kubectl

NAMESPACE, ROLE = "node-tests", "scalablehub-test-readiness"
SEES, SEES_NOT = "sees-nodes", "sees-no-nodes"
RIGHTS = [{"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["list"]}]
IMAGE = "localhost/busybox:1"


@pytest.fixture(scope="module")
def kubectl(cluster: Cluster, small_images: None) -> Iterator[Kubectl]:
    """Two accounts: one may list nodes and pods, the other may not."""
    kubectl = Kubectl(cluster.kubectl, cluster.kubeconfig)
    rbac = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": SEES, "namespace": NAMESPACE}
    kubectl.apply(
        [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
            *(
                {
                    "apiVersion": "v1",
                    "kind": "ServiceAccount",
                    "metadata": {"name": name, "namespace": NAMESPACE},
                }
                for name in (SEES, SEES_NOT)
            ),
            {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": {"name": ROLE}, "rules": RIGHTS},
            {
                **{"apiVersion": f"{rbac}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": ROLE}},
                "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": ROLE},
                "subjects": [subject],
            },
        ]
    )
    yield kubectl
    kubectl("delete", "clusterrolebinding,clusterrole", ROLE)
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture
async def api(request: pytest.FixtureRequest, kubectl: Kubectl) -> AsyncIterator[CoreV1Api]:
    """The client of an account."""
    (view,) = json.loads(kubectl("config", "view", "--raw", "--minify", "-o", "json"))["clusters"]
    configuration = Configuration(
        host=view["cluster"]["server"],
        api_key={
            "BearerToken": f"Bearer {kubectl('create', 'token', request.param, '-n', NAMESPACE).strip()}"
        },
    )
    # Which machine it is, is another test's matter.
    configuration.verify_ssl = False
    async with ApiClient(configuration) as client:
        yield CoreV1Api(client)


def description(node: dict[str, Any]) -> Description:
    """Return sizes: next to nothing of a node, all that it has, and one of a pool without nodes."""
    has = node["status"]["allocatable"]
    pool: dict[str, Any] = {"cores": has["cpu"], "memory": "1T", "reserved": {}}
    tiny, whole = {"cores": "1m", "memory": "1M"}, {"cores": has["cpu"], "memory": "1M"}
    return resolve(
        described(
            nodes={
                "here": pool,
                "away": pool | {"selector": {"of": "nobody"}, "startup": "5m", "max_nodes": 2},
            },
            sizes={
                "tiny": tiny | {"node": "here"},
                "whole": whole | {"node": "here"},
                "other": tiny | {"node": "away"},
            },
            images={"there": {"image": IMAGE}, "away": {"image": "quay.io/away/away:1"}},
            dask=None,
        )
    )


@pytest.mark.parametrize("api", [SEES], indirect=True)
async def test_nodes_and_what_is_taken_of_them_are_seen(api: CoreV1Api, kubectl: Kubectl) -> None:
    node = json.loads(kubectl("get", "nodes", "-o", "json"))["items"][0]
    found = await look_at_nodes(api, description(node))
    assert found["tiny"].sentence_for("there") == AT_ONCE
    assert found["tiny"].sentence_for("away") == "a node has room; the environment is fetched first"
    assert found["whole"].sentence == "no node has room at the moment"  # the system's pods take of it
    assert found["other"].sentence == "needs a new node, about 5 minutes"


@pytest.mark.parametrize("api", [SEES_NOT], indirect=True)
async def test_a_hub_without_the_right_is_told_so(api: CoreV1Api, kubectl: Kubectl) -> None:
    node = json.loads(kubectl("get", "nodes", "-o", "json"))["items"][0]
    with pytest.raises(NodesRefused, match="may not list"):
        await look_at_nodes(api, description(node))
