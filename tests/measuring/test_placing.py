from __future__ import annotations

from typing import Any

import pytest

from scalablehub.description import resolve
from scalablehub.measuring.placing import Combination, Places, blame, refused_by
from tests.descriptions import described
from tests.measuring.kubernetes import container, node, pod

LABELS = {"pool": "a"}
TAINT = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}


def why(nodes: list[Any], server: dict[str, Any], pods: list[Any] | None = None) -> str | None:
    pool = {"cores": 4, "memory": "16G", "reserved": {"cores": 1}, "selector": LABELS}
    description = resolve(described(nodes={"a": pool}, sizes={}, dask=None))
    return Places(description, nodes, pods or []).refuses({"spec": server}, "a")


def server(cpu: str = "1", memory: str = "1Gi", **spec: Any) -> dict[str, Any]:
    return {"nodeSelector": LABELS, "containers": [container(cpu, memory)]} | spec


@pytest.mark.parametrize(
    ("nodes", "pods", "asked"),
    [
        ([node(labels=LABELS)], [], server("3900m", "15Gi")),
        ([node(labels=LABELS, gives={"cpu": "1"}), node("n2", labels=LABELS)], [], server("3")),
        # What users have at the moment ends.
        (
            [node(labels=LABELS)],
            [pod(container("3"), labels={"component": "singleuser-server"})],
            server("3900m"),
        ),
        (
            [node(labels=LABELS, taints=[TAINT])],
            [],
            server(tolerations=[{"key": "gpu", "operator": "Exists"}]),
        ),
        # A pool without nodes is believed.
        ([node()], [], server("3", "16Gi")),
        ([], [], server("3", "16Gi")),
    ],
    ids=["whole", "one is enough", "users", "accepted", "no node of it", "no node"],
)
def test_what_can_be_placed_is_not_refused(nodes: list[Any], pods: list[Any], asked: dict[str, Any]) -> None:
    assert why(nodes, asked, pods) is None


REMEDY = "for servers; make it smaller, or measure the pool with --measure"


@pytest.mark.parametrize(
    ("nodes", "pods", "asked", "sentence"),
    [
        (
            [node(labels=LABELS)],
            [pod(container("1"))],
            server("3"),
            f"can never be scheduled: it asks for 3 cores, and a node of 'a' has 2.9 cores {REMEDY}",
        ),
        (
            [node(labels=LABELS)],
            [],
            server("1", "15361Mi"),
            f"can never be scheduled: it asks for 15361 MB, and a node of 'a' has 15360 MB {REMEDY}",
        ),
        (
            [],
            [],
            server("3500m"),
            "can never be scheduled: it asks for 3.5 cores, and a node of 'a', as described, has 3 cores "
            + REMEDY,
        ),
        (
            [node(labels=LABELS)],
            [],
            server() | {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "1"}}}]},
            "can never be scheduled: it asks for 1 nvidia.com/gpu, and a node of 'a' has 0 nvidia.com/gpu "
            + REMEDY,
        ),
        (
            [node(labels=LABELS, taints=[TAINT])],
            [],
            server(),
            "can never be scheduled: every node for it has a taint that it does not accept, such as "
            "gpu=yes:NoSchedule; write it in nodes.a.tolerations",
        ),
        (
            [node(labels=LABELS)],
            [],
            server(nodeSelector=LABELS | {"disk": "ssd"}),
            "can never be scheduled: no node of 'a' has disk=ssd, which the chart's values or a "
            "kubespawner_override ask for; take it out, or label the nodes",
        ),
        (
            [node(labels=LABELS, gives={"pods": "1"})],
            [pod(container())],
            server(),
            f"can never be scheduled: it asks for 1 pod, and a node of 'a' has 0 pods {REMEDY}",
        ),
    ],
    ids=["cores", "memory", "as described", "GPU", "taint", "label", "pods"],
)
def test_what_can_never_be_placed_is_told_why(
    nodes: list[Any], pods: list[Any], asked: dict[str, Any], sentence: str
) -> None:
    assert why(nodes, asked, pods) == sentence


@pytest.mark.parametrize(
    ("message", "is_for_good", "sentence"),
    [
        (
            'pods "jupyter-x" is forbidden: exceeded quota: small, requested: requests.memory=3Gi, used: '
            "requests.memory=0, limited: requests.memory=2Gi",
            True,
            "can never be started: it asks for 3 GB, and the namespace's quota 'small' allows 2 GB in all; "
            "make it smaller, or raise that",
        ),
        (
            'pods "jupyter-x" is forbidden: exceeded quota: small, requested: pods=1,requests.cpu=1, used: '
            "pods=4,requests.cpu=3, limited: pods=10,requests.cpu=3500m",
            False,
            "the namespace's quota 'small' is used up at the moment: pods=1,requests.cpu=1 was asked for",
        ),
        (
            'pods "jupyter-x" is forbidden: violates PodSecurity "restricted:latest": privileged (container '
            '"notebook" must not set securityContext.privileged=true)',
            True,
            'the namespace\'s Pod Security refuses it: "restricted:latest": privileged (container "notebook" '
            "must not set securityContext.privileged=true); take that right out of the chart's values or of "
            "kubespawner_override",
        ),
        (
            'pods "jupyter-x" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi',
            True,
            "the namespace's LimitRange refuses it: maximum memory usage per Container is 1Gi, but limit is "
            "2Gi; make it smaller, or change that",
        ),
        (
            'admission webhook "images.example.org" denied the request: not from our registry',
            True,
            'the API server refuses it (403): admission webhook "images.example.org" denied the request: not '
            "from our registry",
        ),
    ],
    ids=["over a quota", "quota in use", "security", "limits", "webhook"],
)
def test_a_refusal_is_put_in_words(message: str, is_for_good: bool, sentence: str) -> None:
    assert refused_by(403, message) == (is_for_good, sentence)


TRIED = [
    Combination(size, image, interface)
    for size in ("small", "large")
    for image in ("base", "geo")
    for interface in ("lab", "rstudio")
]
LINES = {"small": "sizes.small", "large": "nodes.a.ladder (large)"}


@pytest.mark.parametrize(
    ("refused", "found"),
    [
        ({}, []),
        (dict.fromkeys(TRIED, "x"), [("every server", "x")]),
        ({one: "x" for one in TRIED if one.size == "large"}, [("nodes.a.ladder (large)", "x")]),
        ({one: "x" for one in TRIED if one.image == "geo"}, [("images.geo", "x")]),
        ({one: "x" for one in TRIED if one.interface == "lab"}, [("interfaces.lab", "x")]),
        # An image is not to blame for a size that runs with nothing.
        (
            {
                one: "x" if one.size == "large" else "y"
                for one in TRIED
                if one.size == "large" or one.image == "geo"
            },
            [("nodes.a.ladder (large)", "x"), ("images.geo", "y")],
        ),
        (
            {Combination("small", "geo", "lab"): "x"},
            [("sizes.small", "with image 'geo' and interface 'lab': x")],
        ),
        (
            {one: one.image for one in TRIED},
            [("images.base", "base"), ("images.geo", "geo")],
        ),
        (
            {one: one.size for one in TRIED},
            [("sizes.small", "small"), ("nodes.a.ladder (large)", "large")],
        ),
    ],
    ids=[
        "nothing",
        "all",
        "size",
        "image",
        "interface",
        "size and image",
        "one",
        "each image its own",
        "each size its own",
    ],
)
def test_what_is_at_fault_is_named_once(refused: dict[Combination, str], found: list[Any]) -> None:
    assert blame(refused, TRIED, LINES) == found
