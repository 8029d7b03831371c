"""What a description that can be read still lacks, or has, so that a hub could not start servers with it."""

from __future__ import annotations

from collections.abc import Iterator

from scalablehub.decisions import decide, in_every_group
from scalablehub.description import Description, resolve
from scalablehub.spawner.overriding import misplaced_overrides
from scalablehub.storage.catalogue import MOST_CHARACTERS, catalogue_address


def too_much_data(description: Description) -> Iterator[tuple[str, str]]:
    """Yield (place, sentence) if who may open everything has a catalogue that does not fit on a server."""
    decision = decide(resolve(description), in_every_group(description))
    if (count := len(catalogue_address(decision))) > MOST_CHARACTERS:
        yield (
            "buckets",
            f"have so many data sets that their catalogue has {count} characters, and a server takes "
            f"{MOST_CHARACTERS}; shorten descriptions, or keep a catalogue of your own in a bucket",
        )


def unfit_for_pods(description: Description) -> Iterator[tuple[str, str]]:
    """Yield (place, sentence) for each thing that a hub on one machine has, but one in Kubernetes cannot.

    Raises:
        ModuleNotFoundError: KubeSpawner is not installed, which says what an override may have.
    """
    for name, pool in description.nodes.items():
        if pool.cores is None or pool.memory is None:
            yield f"nodes.{name}.instance", "is for `scalablehub up`; write 'cores' and 'memory' of one node"
    for name, image in description.images.items():
        if image.image is None:
            yield f"images.{name}.image", "is missing; write the container image with its tag"
    if description.credentials is not None and description.credentials.address is None:
        yield (
            "credentials.address",
            "is missing; write where the credential service is, such as 'http://credentials:8080'",
        )
    for name, directory in description.directories.items():
        if directory.claim is None:
            yield f"directories.{name}.claim", "is missing; write the persistent volume claim"
    # Only hubs in Kubernetes have KubeSpawner.
    from kubespawner import KubeSpawner  # noqa: PLC0415

    yield from misplaced_overrides(description, KubeSpawner.class_traits(config=True))
