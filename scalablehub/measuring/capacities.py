"""What the nodes of each pool really have for servers: what they give, less what the system asks for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from scalablehub.description import Description, NodePool
from scalablehub.measuring.scheduling import Node, Pod, unaccepted_taints
from scalablehub.pods import (
    PODS,
    Resources,
    added_up,
    has_labels,
    node_selector,
    quantities,
    requests_of,
    tolerations,
)

MIB = 2**20
_OURS = frozenset({"singleuser-server", "user-placeholder", "hook-image-puller"})
_DASK = frozenset({"dask-scheduler", "dask-worker"})
_ENDED = frozenset({"Succeeded", "Failed"})
_NOTHING = Decimal(0)


@dataclass(frozen=True)
class Portion:
    """What some pods take of a node, and their names with their namespaces."""

    takes: Resources
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class NodeMeasure:
    """What one node has and gives.

    Attributes:
        name: the node's.
        has: what the machine has.
        gives: what pods may have of it; the rest is kept for the kubelet and the operating system.
        daemons: what is on every node of its kind.
        others: pods of the system that happen to be there.
    """

    name: str
    has: Resources
    gives: Resources
    daemons: Portion
    others: Portion

    @property
    def room(self) -> dict[str, Decimal]:
        """What is left for servers when nobody has one."""
        taken = added_up([self.daemons.takes, self.others.takes])
        return {
            name: max(amount - taken.get(name, _NOTHING), _NOTHING) for name, amount in self.gives.items()
        }


@dataclass(frozen=True)
class PoolMeasure:
    """What the nodes of a pool have; none of them may be running.

    Attributes:
        name: the pool's.
        gpu_resource: how Kubernetes calls its GPUs.
        nodes: those that were measured.
        passed_over: why others with its labels were not, a sentence each.
    """

    name: str
    gpu_resource: str
    nodes: tuple[NodeMeasure, ...]
    passed_over: tuple[str, ...] = ()

    @property
    def cores(self) -> Decimal:
        """Cores that every node has, down to thousandths."""
        return _thousandths(min(node.has.get("cpu", _NOTHING) for node in self.nodes))

    @property
    def memory(self) -> int:
        """MiB of memory that every node has."""
        return _mebibytes(min(node.has.get("memory", _NOTHING) for node in self.nodes))

    @property
    def gpus(self) -> int:
        """GPUs that every node gives."""
        return int(min(node.gives.get(self.gpu_resource, _NOTHING) for node in self.nodes))

    @property
    def room_cores(self) -> Decimal:
        """Cores for servers on the node that has the fewest."""
        return _thousandths(min(node.room.get("cpu", _NOTHING) for node in self.nodes))

    @property
    def room_memory(self) -> int:
        """MiB for servers on the node that has the fewest."""
        return _mebibytes(min(node.room.get("memory", _NOTHING) for node in self.nodes))

    @property
    def room_pods(self) -> int:
        """Number of servers that every node takes, however small they are."""
        return int(min(node.room.get(PODS, _NOTHING) for node in self.nodes))

    @property
    def kinds(self) -> dict[tuple[Decimal, int, int], list[str]]:
        """The machines that its nodes are, as (cores, GiB, GPUs), to the names of the nodes."""
        found: dict[tuple[Decimal, int, int], list[str]] = {}
        for node in self.nodes:
            gpus = int(node.has.get(self.gpu_resource, _NOTHING))
            # Machines of one type differ by some MiB that their firmware keeps.
            memory = round(node.has.get("memory", _NOTHING) / 2**30)
            found.setdefault((_thousandths(node.has.get("cpu", _NOTHING)), memory, gpus), []).append(
                node.name
            )
        return found


_Asked = tuple[Mapping[str, str], Iterable[Mapping[str, Any]]]


def measure(
    description: Description,
    nodes: Iterable[Node],
    pods: Iterable[Pod],
    *,
    selector: Mapping[str, str] | None = None,
    tolerated: Iterable[Mapping[str, Any]] = (),
) -> dict[str, PoolMeasure]:
    """Return what the nodes of each pool have, by the pool's name.

    A pool of this machine is not one of Kubernetes, and is left out.

    Args:
        description: the hub's description.
        nodes: all nodes.
        pods: all pods of every namespace.
        selector: labels that every server asks for beside its pool's.
        tolerated: taints that every server accepts.
    """
    known, everywhere = list(nodes), list(tolerated)
    there: dict[str, list[Pod]] = {}
    for pod in pods:
        there.setdefault(pod["spec"].get("nodeName") or "", []).append(pod)
    return {
        name: _measure_pool(
            name, pool, known, there, ({**(selector or {}), **node_selector(pool)}, everywhere)
        )
        for name, pool in description.nodes.items()
        if pool.instance is None
    }


def measure_node(node: Node, pods: Iterable[Pod]) -> NodeMeasure:
    """Return what one node has and gives.

    Args:
        node: the node.
        pods: those on it.
    """
    status = node.get("status") or {}
    system = [pod for pod in pods if is_of_system(pod)]
    daemons = [pod for pod in system if _is_everywhere(pod)]
    others = [pod for pod in system if not _is_everywhere(pod)]
    return NodeMeasure(
        node["metadata"]["name"],
        quantities(status.get("capacity")),
        quantities(status.get("allocatable")),
        _portion(daemons),
        _portion(others),
    )


def is_of_system(pod: Pod) -> bool:
    """Return whether a pod is there where no user has anything: no server, no cluster, no placeholder."""
    labels = pod["metadata"].get("labels") or {}
    components = {labels.get("component"), labels.get("app.kubernetes.io/component")}
    has_ended = (pod.get("status") or {}).get("phase") in _ENDED
    # A pod of negative priority keeps a place warm, and makes room for a server.
    makes_room = (pod["spec"].get("priority") or 0) < 0
    return not (has_ended or makes_room or components & (_OURS | _DASK))


def _measure_pool(
    name: str,
    pool: NodePool,
    nodes: Iterable[Node],
    pods: Mapping[str, Collection[Pod]],
    asked: _Asked,
) -> PoolMeasure:
    selector, tolerated = asked
    accepted = [*tolerated, *tolerations(pool)]
    measured, passed_over = [], []
    for node in nodes:
        if not has_labels(node, selector):
            continue
        called = node["metadata"]["name"]
        if taints := unaccepted_taints(node, accepted):
            passed_over.append(
                f"node '{called}' has its labels, but also the taint {taints[0]}, which it does not accept"
            )
        elif not _is_ready(node):
            passed_over.append(f"node '{called}' is not ready")
        else:
            measured.append(measure_node(node, pods.get(called, ())))
    return PoolMeasure(name, pool.gpu_resource, tuple(measured), tuple(passed_over))


def _portion(pods: Collection[Pod]) -> Portion:
    names = sorted(f"{pod['metadata'].get('namespace', '')}/{pod['metadata']['name']}" for pod in pods)
    return Portion(added_up(map(requests_of, pods)), tuple(names))


def _is_everywhere(pod: Pod) -> bool:
    """Return whether a pod is one of a DaemonSet, or of the node itself."""
    owners = pod["metadata"].get("ownerReferences") or ()
    return any(owner.get("kind") in {"DaemonSet", "Node"} for owner in owners)


def _is_ready(node: Node) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(
        condition.get("type") == "Ready" and condition.get("status") == "True" for condition in conditions
    )


def _thousandths(cores: Decimal) -> Decimal:
    return Decimal(int(cores * 1000)) / 1000


def _mebibytes(memory: Decimal) -> int:
    return int(memory / MIB)
