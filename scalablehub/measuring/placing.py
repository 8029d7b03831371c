"""Whether a pod can ever be placed on the nodes that there are, and what in the description is at fault."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from scalablehub.description import Description
from scalablehub.measuring.capacities import measure_node
from scalablehub.measuring.proving import described_room, in_words
from scalablehub.measuring.scheduling import Node, Pod, is_wanted, shortage, unaccepted_taints
from scalablehub.pods import PODS, node_selector, quantity, requests_of

_MOST_SAID = 420


@dataclass(frozen=True, order=True)
class Combination:
    """One size, image and interface, by their names in the description."""

    size: str
    image: str
    interface: str


@dataclass
class Verdicts:
    """What was found out about every combination.

    Attributes:
        never: combinations that cannot run, with the sentence that says why.
        later: sentences about what cannot be now, or cannot be known now.
    """

    never: dict[Combination, str] = field(default_factory=dict)
    later: dict[str, None] = field(default_factory=dict)


class Places:
    """The nodes of a Kubernetes cluster, with what the system's pods leave of each.

    Args:
        description: the hub's description, resolved.
        nodes: all nodes.
        pods: all pods that have a node.
    """

    def __init__(self, description: Description, nodes: Iterable[Node], pods: Iterable[Pod]) -> None:
        self._pools = description.nodes
        self._nodes = list(nodes)
        there: dict[str, list[Pod]] = {}
        for pod in pods:
            there.setdefault(pod["spec"].get("nodeName") or "", []).append(pod)
        self._room = {
            name: measure_node(node, there.get(name, ())).room
            for node in self._nodes
            if (name := node["metadata"]["name"])
        }

    def refuses(self, pod: Pod, pool_name: str) -> str | None:
        """Return why a pod could never run, or None.

        Args:
            pod: its manifest.
            pool_name: the node pool of its size.
        """
        pool = self._pools[pool_name]
        asked, spec = requests_of(pod), pod["spec"]
        wanted = [node for node in self._nodes if is_wanted(node, pod)]
        if not wanted:
            if self.has_nodes(pool_name):
                return _no_such_node(spec, pool_name, node_selector(pool))
            known = described_room(pool) | {PODS: Decimal(1)}
            # What the description does not have, such as a disk, is the machine's.
            missing = shortage(known, {name: amount for name, amount in asked.items() if name in known})
            return _too_large(asked, missing, known, f"a node of '{pool_name}', as described,")
        accepting = [node for node in wanted if not unaccepted_taints(node, spec.get("tolerations") or ())]
        if not accepting:
            taints = unaccepted_taints(wanted[0], spec.get("tolerations") or ())
            return (
                f"can never be scheduled: every node for it has a taint that it does not accept, such as "
                f"{taints[0]}; write it in nodes.{pool_name}.tolerations"
            )
        rooms = [self._room[node["metadata"]["name"]] for node in accepting]
        # The node that lacks the least says best what is too much.
        room = min(rooms, key=lambda one: _severity(shortage(one, asked), asked))
        return _too_large(asked, shortage(room, asked), room, f"a node of '{pool_name}'")

    def has_nodes(self, pool_name: str) -> bool:
        """Return whether any node of a pool is there at the moment."""
        wanted = {"metadata": {}, "spec": {"nodeSelector": node_selector(self._pools[pool_name])}}
        return any(is_wanted(node, wanted) for node in self._nodes)


def blame(
    verdicts: Mapping[Combination, str], tried: Sequence[Combination], place_of_size: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Return a (place, sentence) for each thing that is at fault, instead of one for each combination.

    Args:
        verdicts: combinations that cannot run, with the sentence that says why.
        tried: all combinations.
        place_of_size: the line of the description for each size.
    """
    left = dict(verdicts)
    found: list[tuple[str, str]] = []
    if tried and len(left) == len(tried) and len(set(left.values())) == 1:
        return [("every server", next(iter(left.values())))]

    def take(place: str, members: list[Combination]) -> None:
        sentences = {left.get(member) for member in members}
        if members and len(sentences) == 1 and (sentence := sentences.pop()) is not None:
            found.append((place, sentence))
            for member in members:
                del left[member]

    for size, place in place_of_size.items():
        take(place, [one for one in tried if one.size == size])
    for section in ("image", "interface"):
        for name in sorted({getattr(one, section) for one in tried}):
            members = [one for one in tried if getattr(one, section) == name]
            # Sizes that can run with nothing say nothing about an image.
            take(f"{section}s.{name}", [one for one in members if _is_open(one, tried, verdicts)])
            take(f"{section}s.{name}", members)
    for one, sentence in sorted(left.items()):
        place = place_of_size[one.size]
        found.append((place, f"with image '{one.image}' and interface '{one.interface}': {sentence}"))
    return found


def refused_by(status: int, message: str) -> tuple[bool, str]:
    """Return whether an API server's refusal is for good, and what it says in words with the remedy."""
    _, _, quota = message.partition("exceeded quota: ")
    if quota:
        return _over_quota(quota)
    if "violates PodSecurity" in message:
        _, _, why = message.partition("violates PodSecurity ")
        return True, (
            f"the namespace's Pod Security refuses it: {_short(why)}; take that right out of the chart's "
            "values or of kubespawner_override"
        )
    if " per Container is " in message or " per Pod is " in message:
        _, _, why = message.rpartition("is forbidden: ")
        return True, f"the namespace's LimitRange refuses it: {_short(why)}; make it smaller, or change that"
    _, _, why = message.rpartition("is forbidden: ")
    return True, f"the API server refuses it ({status}): {_short(why or message)}"


def _is_open(one: Combination, tried: Iterable[Combination], never: Mapping[Combination, str]) -> bool:
    return any(other.size == one.size and other not in never for other in tried)


def _over_quota(quota: str) -> tuple[bool, str]:
    """Return whether what is asked for is more than a quota allows with nothing used, and a sentence.

    Kubernetes writes ``name, requested: memory=3Gi, used: memory=0, limited: memory=2Gi``.
    """
    name, _, rest = quota.partition(", requested: ")
    requested, _, rest = rest.partition(", used: ")
    _, _, limited = rest.partition(", limited: ")
    asked, most = _pairs(requested), _pairs(limited)
    for resource, amount in asked.items():
        if resource in most and amount > most[resource]:
            kind = resource.removeprefix("requests.").removeprefix("limits.")
            return True, (
                f"can never be started: it asks for {in_words(kind, amount)}, and the namespace's quota "
                f"'{name}' allows {in_words(kind, most[resource])} in all; make it smaller, or raise that"
            )
    return (
        False,
        f"the namespace's quota '{name}' is used up at the moment: {_short(requested)} was asked for",
    )


def _pairs(text: str) -> dict[str, Decimal]:
    found = {}
    for pair in text.split(","):
        name, _, value = pair.partition("=")
        try:
            found[name.strip()] = quantity(value.strip())
        except ValueError:
            continue
    return found


def _no_such_node(spec: Mapping[str, Any], pool: str, own: Mapping[str, str]) -> str:
    more = {key: value for key, value in (spec.get("nodeSelector") or {}).items() if own.get(key) != value}
    what = ", ".join(f"{key}={value}" for key, value in sorted(more.items())) or "what its affinity requires"
    return (
        f"can never be scheduled: no node of '{pool}' has {what}, which the chart's values or a "
        "kubespawner_override ask for; take it out, or label the nodes"
    )


def _too_large(
    asked: Mapping[str, Decimal], missing: Mapping[str, Decimal], room: Mapping[str, Decimal], where: str
) -> str | None:
    if not missing:
        return None
    resource = next((name for name in ("cpu", "memory") if name in missing), sorted(missing)[0])
    more, less = asked[resource], room.get(resource, Decimal(0))
    wanted, there = in_words(resource, more), in_words(resource, less)
    if wanted == there:  # what people read is rounded
        wanted, there = (_precisely(resource, amount) for amount in (more, less))
    return (
        f"can never be scheduled: it asks for {wanted}, and {where} has {there} "
        "for servers; make it smaller, or measure the pool with --measure"
    )


def _precisely(resource: str, amount: Decimal) -> str:
    if resource == "memory":
        return f"{float(amount) / 2**20:.9g} MB"
    return f"{amount.normalize():f} {'cores' if resource == 'cpu' else resource}"


def _severity(missing: Mapping[str, Decimal], asked: Mapping[str, Decimal]) -> Decimal:
    return sum((amount / asked[name] for name, amount in missing.items()), Decimal(0))


def _short(text: str) -> str:
    line = " ".join(text.split())
    # Kubernetes often says what is wrong at the end of what it quotes.
    return line if len(line) <= _MOST_SAID else f"{line[:180]} … {line[180 - _MOST_SAID :]}"
