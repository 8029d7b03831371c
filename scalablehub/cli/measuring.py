"""`scalablehub check` on sizes: their table, what nodes really have, and a dry run of every choice."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalablehub.cli.descriptions import read_values
from scalablehub.description import Description, DescriptionError, Problem, resolve
from scalablehub.description.ladder import as_written, room_of
from scalablehub.description.units import format_bytes, format_cores
from scalablehub.errors import PublicError
from scalablehub.measuring.stating import doubts, layers_of, number_on_a_node, unstated
from scalablehub.moving.values import locate

if TYPE_CHECKING:
    from scalablehub.measuring.asking import Cluster
    from scalablehub.measuring.capacities import NodeMeasure, PoolMeasure
    from scalablehub.measuring.placing import Places
    from scalablehub.measuring.trying import Trial

_AT_ONCE = 4
"""Pods that the API server is asked about at a time."""


def add_measuring(check: argparse.ArgumentParser, about: argparse._MutuallyExclusiveGroup) -> None:
    """Add what concerns sizes and nodes to the command's own options.

    Args:
        check: the command.
        about: its questions, of which one is asked at a time.
    """
    about.add_argument("--sizes", action="store_true", help="every size with what it has and costs")
    about.add_argument(
        "--measure",
        action="store_true",
        help="read from the Kubernetes cluster what its nodes have for servers, as YAML to paste",
    )
    about.add_argument(
        "--dry-run",
        action="store_true",
        help="ask the Kubernetes cluster about a pod for every choice, without making one",
    )
    check.add_argument("--kubeconfig", type=Path, metavar="FILE", help="default: the one that kubectl uses")
    check.add_argument("--context", metavar="NAME", help="of the kubeconfig (default: its current one)")
    check.add_argument(
        "--namespace", metavar="NAME", help="of the servers, for --dry-run (default: the context's)"
    )


def is_asked(options: argparse.Namespace) -> bool:
    """Return whether the question is one of these."""
    return bool(options.sizes or options.measure or options.dry_run)


def answer(options: argparse.Namespace, description: Description) -> int:
    """Print the answer and return the command's exit code.

    Raises:
        PublicError: something is wrong with the description, or the Kubernetes cluster cannot be asked.
    """
    if options.sizes:
        print(size_table(resolve(description)), flush=True)
        return 0
    try:
        if options.measure:
            print(asyncio.run(_measured(options, description)), flush=True)
        else:
            print(asyncio.run(_tried(options, description)), flush=True)
    except ModuleNotFoundError as error:
        raise PublicError("not-installed", f"This needs {_missing(error)}") from None
    return 0


def prove(description: Description) -> list[str]:
    """Return what is to be said about a description that can be used.

    Raises:
        DescriptionError: something that can be chosen could never run.
    """
    resolved = resolve(description)
    notes = [
        f"note: ScalableHub.{place} {sentence}."
        for place, sentence in (*doubts(resolved), *unstated(description))
    ]
    try:
        from scalablehub.measuring.proving import impossible
    except ModuleNotFoundError as error:  # as on one machine, where no override has an effect
        if any(layer.override for layer, _ in layers_of(resolved)):
            notes.append(
                f"note: what kubespawner_override does to pods was not looked at; {_missing(error)}."
            )
        return notes
    if problems := [Problem(f"ScalableHub.{place}", sentence) for place, sentence in impossible(resolved)]:
        raise DescriptionError(problems)
    return notes


def size_table(description: Description) -> str:
    """Return every size with its node pool, what it has, its price, and how many of it a node takes.

    Args:
        description: the hub's description, resolved.
    """
    rows = [("size", "node pool", "cores", "memory", "GPUs", "price", "on a node", "")]
    pools = list(description.nodes)
    for name, size in sorted(
        description.sizes.items(), key=lambda item: (pools.index(item[1].node or ""), item[1].order, item[0])
    ):
        pool = description.nodes[size.node or ""]
        if size.cores is None or size.memory is None:
            rows.append((name, size.node or "", "?", "?", "?", "", "?", "measured where the hub runs"))
            continue
        rows.append(
            (
                name,
                size.node or "",
                f"{size.cores:g}",
                format_bytes(size.memory),
                str(size.gpus or 0),
                f"{description.currency}{size.price:.2f}/h" if size.price is not None else "",
                str(number_on_a_node(size, pool)),
                "hidden" if size.hidden else "",
            )
        )
    return _columns(rows)


def measures_in_words(measures: Mapping[str, PoolMeasure], description: Description) -> str:
    """Return what was measured of each pool, and what of it is to be known.

    Args:
        measures: by the pool's name.
        description: the hub's description, as it is written.
    """
    parts = [_pool_in_words(measure, description) for measure in measures.values()]
    parts += [
        f"{name}: is this machine, which the hub measures itself where it runs."
        for name, pool in description.nodes.items()
        if pool.instance is not None
    ]
    return "\n\n".join(parts)


def measures_as_yaml(measures: Iterable[PoolMeasure]) -> str:
    """Return what was measured as YAML of a description; empty where no node could be measured."""
    lines = [
        f"  {measure.name}: {{cores: {_plain(measure.cores)}, memory: {measure.memory}M, "
        + (f"gpus: {measure.gpus}, " if measure.gpus else "")
        + f"reserved: {{cores: {_plain(measure.cores - measure.room_cores)}, "
        f"memory: {measure.memory - measure.room_memory}M}}}}"
        for measure in measures
        if measure.nodes
    ]
    return "\n".join(["nodes:", *lines]) if lines else ""


async def _measured(options: argparse.Namespace, description: Description) -> str:
    from scalablehub.measuring.asking import connect
    from scalablehub.measuring.capacities import measure

    selector, tolerated = _chart_placement(options.config)
    async with connect(options.kubeconfig, options.context, options.namespace) as cluster:
        nodes, pods = await asyncio.gather(cluster.nodes(), cluster.pods())
    measures = measure(description, nodes, pods, selector=selector, tolerated=tolerated)
    words = measures_in_words(measures, description)
    yaml = measures_as_yaml(measures.values())
    if not yaml:
        none = "The description has no node pool of Kubernetes; write one in `nodes`, with its selector."
        raise PublicError("nothing-measured", f"Nothing could be measured.\n{words or none}", 404)
    return f"{words}\n\nPaste this over the description; what it does not name stays:\n\n{yaml}"


async def _tried(options: argparse.Namespace, description: Description) -> str:
    from scalablehub.measuring.asking import connect
    from scalablehub.measuring.placing import Places, blame
    from scalablehub.measuring.trying import chart_settings, trials

    prove(description)
    resolved = resolve(description)
    settings = chart_settings(_chart_values(options.config))
    async with connect(options.kubeconfig, options.context, options.namespace) as cluster:
        pods = await trials(resolved, settings, cluster.namespace)
        if not any(trial.combinations for trial in pods):
            raise PublicError("nothing-to-try", "Nobody could choose anything: there is nothing to try.")
        places = Places(resolved, *await asyncio.gather(cluster.nodes(), cluster.pods()))
        never, notes = await _verdicts(cluster, places, pods, resolved)
    tried = [combination for trial in pods for combination in trial.combinations]
    lines = {size: _place_of_size(description, resolved, size) for size in resolved.sizes}
    refused = {one: sentence for trial, sentence in never for one in trial.combinations}
    empty = sorted({pool for size in {one.size for one in tried} if (pool := resolved.sizes[size].node)})
    notes += [
        f"node pool '{pool}' has no node at the moment; its sizes were held against the description alone"
        for pool in empty
        if not places.has_nodes(pool)
    ]
    asked = _count(len(pods), "pod")
    head = f"{_count(len(tried), 'choice')}, which {asked} stand for, in the namespace '{cluster.namespace}'."
    said = "\n".join([head, *(f"note: {note}." for note in dict.fromkeys(notes))])
    if refused:
        print(said, flush=True)
        raise DescriptionError(
            Problem(place if place == "every server" else f"ScalableHub.{place}", sentence)
            for place, sentence in blame(refused, tried, lines)
        )
    return f"{said}\nEvery one of them is admitted, and fits a node."


async def _verdicts(
    cluster: Cluster, places: Places, pods: Sequence[Trial], description: Description
) -> tuple[list[tuple[Trial, str]], list[str]]:
    """Return the pods that could never run, each with the reason, and what else is to be said."""
    from scalablehub.measuring.placing import refused_by

    gate = asyncio.Semaphore(_AT_ONCE)
    never: list[tuple[Trial, str]] = []
    notes: list[str] = []

    async def find_out(trial: Trial) -> None:
        if trial.manifest is None:
            never.append((trial, trial.refusal))
            return
        async with gate:
            said = await cluster.try_pod(trial.manifest)
        if said.pod is None:
            is_for_good, sentence = refused_by(said.status, said.message)
            if is_for_good:
                never.append((trial, sentence))
                return
            notes.append(sentence)
        pool = description.sizes[trial.combinations[0].size].node or ""
        if sentence := places.refuses(said.pod or trial.manifest, pool) or "":
            never.append((trial, sentence))

    await asyncio.gather(*map(find_out, pods))
    return never, notes


def _place_of_size(written: Description, resolved: Description, size: str) -> str:
    """Return the line of a size; one of a ladder, which nobody wrote, has the ladder's with its name."""
    if size in written.sizes:
        return f"sizes.{size}"
    return f"nodes.{resolved.sizes[size].node}.ladder ({size})"


def _chart_values(files: Sequence[Path]) -> Mapping[str, Any]:
    """Return zero-to-jupyterhub's values in files; empty if they are the description of a hub without it."""
    try:
        return locate(read_values(files)).values
    except PublicError:
        return {}


def _chart_placement(files: Sequence[Path]) -> tuple[dict[str, str], list[Mapping[str, Any]]]:
    """Return the labels that the chart's values ask of every node for servers, and the taints they accept."""
    from scalablehub.measuring.trying import chart_settings

    settings = chart_settings(_chart_values(files))
    selector: dict[str, str] = {}
    tolerated: list[Mapping[str, Any]] = []
    for section in ("KubeSpawner", "ScalableKubeSpawner"):
        found = settings[section]
        selector |= {key: str(value) for key, value in (found.get("node_selector") or {}).items()}
        more = found.get("tolerations") or []
        tolerated = list(more.values() if isinstance(more, Mapping) else more) or tolerated
    return selector, tolerated


def _pool_in_words(measure: PoolMeasure, description: Description) -> str:
    pool = description.nodes[measure.name]
    lines = [f"note: {sentence}" for sentence in measure.passed_over]
    if not measure.nodes:
        kept = "what is stated" if pool.reserved is not None else "the default"
        return "\n".join(
            [
                f"{measure.name}: no node is there, so nothing can be measured, and `reserved` stays {kept}.",
                "  Start a server of one of its sizes, and measure again while its node is there.",
                *lines,
            ]
        )
    cores = min(measure.nodes, key=lambda node: node.room.get("cpu", Decimal(0)))
    memory = min(measure.nodes, key=lambda node: node.room.get("memory", Decimal(0)))
    head = f"{measure.name}: {_count(len(measure.nodes), 'node')}"
    table = _columns(list(_node_rows(cores, memory, measure)))
    lines = ["", *lines] if lines else []
    if len(measure.kinds) > 1:
        kinds = "; ".join(
            f"{_amounts(*kind)} ({', '.join(sorted(names)[:3])}{', …' if len(names) > 3 else ''})"
            for kind, names in sorted(measure.kinds.items())
        )
        lines.append(
            f"note: its nodes are not alike: {kinds}. What is written fits the smallest; give the others a "
            "node pool of their own."
        )
    lines += _notes_on(measure, description)
    return "\n".join([head, *(f"  {line}" for line in table.splitlines()), *lines])


def _node_rows(cores: NodeMeasure, memory: NodeMeasure, measure: PoolMeasure) -> Iterator[tuple[str, ...]]:
    def row(what: str, one: Decimal, other: Decimal, names: Iterable[str] = ()) -> tuple[str, ...]:
        return (what, format_cores(float(one)), format_bytes(int(other)), ", ".join(names))

    zero = Decimal(0)
    differ = "" if cores is memory else f"cores of {cores.name}, memory of {memory.name}"
    yield row(
        "a node has", cores.has.get("cpu", zero), memory.has.get("memory", zero), [differ or cores.name]
    )
    yield row(
        "kept by the machine",
        cores.has.get("cpu", zero) - cores.gives.get("cpu", zero),
        memory.has.get("memory", zero) - memory.gives.get("memory", zero),
    )
    for what, part in (("DaemonSets take", "daemons"), ("other pods take", "others")):
        of_cores, of_memory = getattr(cores, part), getattr(memory, part)
        yield row(
            what,
            of_cores.takes.get("cpu", zero),
            of_memory.takes.get("memory", zero),
            sorted({*of_cores.names, *of_memory.names}),
        )
    yield row(
        "left for servers",
        measure.room_cores,
        Decimal(measure.room_memory * 2**20),
        [f"{_count(measure.gpus, 'GPU')}, at most {_count(measure.room_pods, 'pod')}"],
    )


def _notes_on(measure: PoolMeasure, description: Description) -> Iterator[str]:
    """Yield where the description and the nodes differ."""
    pool = description.nodes[measure.name]
    room = room_of(pool)
    there = (measure.room_cores, measure.room_memory * 2**20)
    if room.cores > as_written(float(there[0])) or room.memory > there[1]:
        assumed = "says" if pool.reserved is not None else "assumes"
        yield (
            f"note: the description {assumed} {format_cores(float(room.cores))} and "
            f"{format_bytes(room.memory)} for servers, which is more than there is: its sizes do not pack, "
            "and the largest may never start."
        )
    if pool.gpus > measure.gpus:
        yield (
            f"note: the description says {_count(pool.gpus, 'GPU')}, and a node gives {measure.gpus} of "
            f"{measure.gpu_resource}; its device plugin may be missing."
        )
    most = max(
        (
            int(min(there[0] / Decimal(repr(size.cores)), Decimal(there[1]) / size.memory))
            for size in resolve(description).sizes.values()
            if size.node == measure.name and size.cores and size.memory
        ),
        default=0,
    )
    if most > measure.room_pods:
        yield (
            f"note: a node takes {_count(measure.room_pods, 'more pod')}, and {most} servers of its smallest "
            "size would have room; raise the node's limit of pods, or leave the smallest sizes out."
        )


def _missing(error: ModuleNotFoundError) -> str:
    return f"{error.name}, which is not installed; run: pip install 'scalablehub[kubernetes]'"


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _amounts(cores: Decimal, gibibytes: int, gpus: int) -> str:
    more = f" and {_count(gpus, 'GPU')}" if gpus else ""
    return f"{format_cores(float(cores))}, {gibibytes} GB{more}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"
