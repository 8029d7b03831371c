"""The typed models of a hub description.

They are the reference manual of what an admin may write. Sections are dicts by name; ``order`` sorts
their entries on the page, then the name does. Unknown keys are errors.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    JsonValue,
    StringConstraints,
    model_validator,
)

from scalablehub.description.buckets import REGION, Bucket
from scalablehub.description.credentials import Credentials
from scalablehub.description.entry import Entry, Groups, Name
from scalablehub.description.grouping import GROUPING_PATTERNS, Grouping
from scalablehub.description.section import Section, finite
from scalablehub.description.units import Bytes, Cores, Price, Seconds, Share, SomeBytes, SomeCores
from scalablehub.errors import shown

OWN_IMAGE = "own"
"""How a user's options call an image that they name themselves: ``own:quay.io/pangeo/base:2026.1``."""


class Reserved(Section):
    """What the system takes of each node before anybody's server gets a share.

    `scalablehub check --measure` reads it from a live Kubernetes cluster.
    """

    cores: Cores = Field(0, description="Cores kept for the system, such as 0.5.")
    memory: Bytes = Field(0, description="Memory kept for the system, such as '1G'.")


_OPTION = r"^[a-z][a-z0-9_]*$"
Override = Annotated[
    dict[Annotated[str, StringConstraints(pattern=_OPTION)], JsonValue],
    AfterValidator(finite),
    Field(
        description="Options of KubeSpawner for what the description has no word for, such as "
        "{extra_resource_limits: {nvidia.com/gpu: 1}}. They come before everything that is decided, and "
        "cannot take it back."
    ),
]

_LABEL_NAME = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_LABEL_KEY = rf"^([a-z0-9]([a-z0-9.-]{{0,251}}[a-z0-9])?/)?{_LABEL_NAME}$"
_LABEL_VALUE = rf"^({_LABEL_NAME})?$"
LabelKey = Annotated[str, StringConstraints(pattern=_LABEL_KEY)]
LabelValue = Annotated[str, StringConstraints(pattern=_LABEL_VALUE)]
_CLAIM = r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"
_MOUNT = r"^(/[A-Za-z0-9._-]*[A-Za-z0-9_-])+$"
_FOLDER = r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$"

PATTERNS = {
    _OPTION: "is not an option of KubeSpawner; they are written such as extra_resource_limits",
    _LABEL_KEY: "is not the key of a label; write it such as 'cost-center' or 'example.org/pool'",
    _LABEL_VALUE: "is not the value of a label; use at most 63 letters, digits, '-', '_' and '.', with a "
    "letter or a digit at both ends",
    _CLAIM: "is not the name of a claim; use small letters, digits, '-' and '.'",
    _MOUNT: "is not a path on a server; write it such as '/home/jovyan/shared'",
    _FOLDER: "is not a folder of a volume; write it such as 'shared/data', without '/' at either end",
    REGION: "is not a region; write it such as 'eu-west-1'",
    **GROUPING_PATTERNS,
}
"""What is wrong with text that has not the form it should."""


class Toleration(Section):
    """A taint of a node pool that what runs there accepts, in Kubernetes' own words."""

    key: LabelKey = Field(description="Key of the taint.")
    operator: Literal["Exists", "Equal"] = Field("Equal", description="'Exists' accepts every value.")
    value: LabelValue = Field("", description="Value of the taint, for 'Equal'.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="Effect of the taint. Default: every effect."
    )

    @model_validator(mode="after")
    def _has_a_value_to_equal(self) -> Toleration:
        if self.operator == "Exists" and self.value:
            raise ValueError("a toleration that 'Exists' has no value; leave 'value' out or write 'Equal'")
        return self


class NodePool(Section):
    """Nodes of one kind: a machine type of a cloud, or this machine.

    Where `sizes` has none on it, its ladder gives the sizes.
    """

    order: int = Field(0, description="Where it stands among its like: lowest first, then by name.")
    display_name: str = Field("", description="What people read. Default: the entry's name.")
    description: str = Field("", description="One sentence under the sizes of its ladder.")
    allowed_groups: Groups = None
    locked: str = Field(
        "",
        description="A sentence for those who may not have it, such as 'Ask the GPU team.'; "
        "its sizes are then shown to them, locked. Without one they are hidden from them.",
    )
    instance: Literal["this-machine"] | None = Field(
        None, description="'this-machine': the capacity is measured where the hub runs."
    )
    cores: SomeCores | None = Field(None, description="Cores of one node.")
    memory: SomeBytes | None = Field(None, description="Memory of one node, such as '64G'.")
    gpus: int = Field(0, ge=0, description="GPUs of one node.")
    gpu_resource: Annotated[str, StringConstraints(pattern=_LABEL_KEY)] = Field(
        "nvidia.com/gpu", description="How Kubernetes calls its GPUs."
    )
    reserved: Reserved | None = Field(
        None,
        description="What the system takes of one node. Default: half a core, and a tenth of the memory "
        "but at least 1G.",
    )
    ladder: tuple[Share, ...] | None = Field(
        None,
        description="Shares of one node that are sizes, such as [1, 1/2, 1/4]; their names are the pool's "
        "and the share's, such as 'highmem-1-4'. Default: halves down to one core, where no size names the "
        "pool. An empty list is no ladder.",
    )
    price: Price | None = Field(None, description="Price of one node per hour, in `currency`.")
    spot: bool = Field(False, description="Whether the cloud may take its nodes back at any time.")
    max_nodes: Annotated[int, Field(ge=1)] | None = Field(None, description="Most nodes that it can have.")
    startup: Seconds | None = Field(
        None, description="How long a new node takes to be ready, such as '5m'. Default: it is not said."
    )
    selector: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, description="Labels of its nodes in Kubernetes. Default: any node."
    )
    tolerations: tuple[Toleration, ...] = Field((), description="Taints of its nodes that are accepted.")
    kubespawner_override: Override = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_a_capacity(self) -> NodePool:
        if self.instance is None and (self.cores is None or self.memory is None):
            raise ValueError("a node pool needs its capacity; write 'cores' and 'memory' of one node")
        return self


class Size(Entry):
    """A server's or a Dask worker's share of a node: cores may burst, memory is guaranteed and the limit.

    A size with the name of a ladder's changes that one: `highmem-1-4: {display_name: Small}`.
    """

    node: Name | None = Field(
        None, description="The node pool it runs on. May be left out where the name is a ladder's."
    )
    share: Share | None = Field(None, description="A share of one node, such as '1/4', after the system's.")
    cores: SomeCores | None = Field(None, description="Cores, if not given by a share.")
    memory: SomeBytes | None = Field(None, description="Memory, such as '8G', if not given by a share.")
    gpus: Annotated[int, Field(ge=0)] | None = Field(
        None, description="GPUs. Default: the share of its node's, and none beside 'cores'."
    )
    price: Price | None = Field(
        None, description="Price per hour, in `currency`. Default: its part of the node's."
    )
    hidden: bool = Field(
        False,
        description="Whether servers cannot have it, and Dask workers only where `dask.workers` says so.",
    )

    @model_validator(mode="after")
    def _has_one_measure(self) -> Size:
        stated = (self.cores is not None, self.memory is not None)
        if self.share is not None and any(stated):
            raise ValueError("a size has either 'share' or 'cores' and 'memory'; leave one of them out")
        if any(stated) and not all(stated):
            raise ValueError("a size needs 'share', such as '1/4', or both 'cores' and 'memory'")
        return self


class Interface(Entry):
    """Where a user lands: JupyterLab, Jupyter Notebook, RStudio."""

    url: str = Field(
        description="Path on the user's server, such as '/lab'.", pattern=r"^/[A-Za-z0-9._~/-]*$"
    )
    packages: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], ...] = Field(
        (), description="Python packages that an image needs for it, by the name that one imports."
    )
    commands: tuple[str, ...] = Field((), description="Commands that an image needs for it.")
    kubespawner_override: Override = Field(default_factory=dict)


class Image(Entry):
    """An environment: a container image, or on one machine a Python environment."""

    image: str | None = Field(None, description="Container image with its tag, for hubs in Kubernetes.")
    prefix: str | None = Field(
        None,
        description="Folder of a Python environment, for a hub on one machine; "
        "'this-environment' is the hub's own. A relative one begins where the hub was started.",
    )
    interfaces: tuple[Name, ...] | None = Field(
        None, description="Names of the interfaces it has. Default: all of them."
    )
    kubespawner_override: Override = Field(default_factory=dict)

    @model_validator(mode="after")
    def _can_be_found(self) -> Image:
        if self.image is None and self.prefix is None:
            raise ValueError("an image needs 'image' (a container image) or 'prefix' (a Python environment)")
        return self


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{shown(value)} is not a regular expression: {error}") from None
    return value


class OwnImage(Entry):
    """A container image that a user names themselves, for hubs in Kubernetes."""

    patterns: tuple[Annotated[str, AfterValidator(_pattern)], ...] = Field(
        (),
        description="Regular expressions, one of which the whole name has to match, such as "
        "'quay\\.io/pangeo/.*:[0-9.]+'. An empty list allows nothing.",
    )
    interfaces: tuple[Name, ...] | None = Field(
        None, description="Names of the interfaces it can be used with. Default: all of them."
    )
    max_size: SomeBytes | None = Field(
        None, description="Most that its download may be, such as '8G', where its registry is asked."
    )


class Registries(Section):
    """What is asked of the registries that images come from. Credentials are not part of the description."""

    check: bool = Field(
        True, description="Whether a user's own image is looked for in its registry before the start."
    )
    pin: bool = Field(
        True,
        description="Whether a tag is replaced by its digest at the start, so that a server and its Dask "
        "workers run the same image. Where a registry does not answer, the tag stays.",
    )
    platform: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+/[a-z0-9]+(/[a-z0-9.]+)?$")] = Field(
        "linux/amd64", description="What the nodes are."
    )
    insecure: tuple[str, ...] = Field(
        (),
        description="Hosts, with their ports, that are asked over plain HTTP, such as 'registry.local:5000'.",
    )


class GroupCap(Section):
    """What every cap has in common: whose it is."""

    groups: tuple[str, ...] | None = Field(
        None, description="Names of the groups whose members it is for. Default: everybody."
    )
    together: bool = Field(
        False,
        description="Whether all members of a group together have that much, instead of each of them. "
        "It holds beside what each may have.",
    )
    cores: Cores | None = Field(None, description="Most cores.")
    memory: Bytes | None = Field(None, description="Most memory, such as '64G'.")
    gpus: Annotated[int, Field(ge=0)] | None = Field(None, description="Most GPUs.")
    price: Price | None = Field(
        None, description="Highest price per hour, in `currency`. A size without a price costs nothing."
    )

    @model_validator(mode="after")
    def _is_of_a_group(self) -> GroupCap:
        if self.together and not self.groups:
            raise ValueError("'together' is for groups; write their names in 'groups'")
        return self


class Cap(GroupCap):
    """The most that somebody may have at a time, all their servers together.

    What the entries of a user's groups say goes before what the entries for everybody say; of several, the
    most generous holds, measure by measure.
    """

    servers: Annotated[int, Field(ge=0)] | None = Field(None, description="Most servers.")


class DaskCap(GroupCap):
    """The most that somebody may have at a time, all workers of all their clusters together.

    Entries of groups go before those for everybody, as in `caps`. Schedulers are not counted.
    """

    clusters: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Most clusters. Goes before `dask.max_clusters`."
    )
    workers: Annotated[int, Field(ge=0)] | None = Field(None, description="Most workers.")


class Directory(Entry):
    """A folder that people share: a volume claim that is there already, or a folder of the machine."""

    claim: Annotated[str, StringConstraints(pattern=_CLAIM)] | None = Field(
        None, description="Name of the persistent volume claim, in the namespace of the servers."
    )
    path: Annotated[str, StringConstraints(pattern=_MOUNT)] | None = Field(
        None, description="Folder of the machine, for a hub on one machine. Its own rights are what counts."
    )
    mount: Annotated[str, StringConstraints(pattern=_MOUNT)] = Field(
        description="Where it is on a server, such as '/home/jovyan/shared'; on one machine its last name in "
        "the home."
    )
    folder: Annotated[str, StringConstraints(pattern=_FOLDER)] | None = Field(
        None, description="The part of the volume that is shared. Default: all of it."
    )
    access: Literal["read", "write"] = Field("read", description="'write' includes reading.")

    @model_validator(mode="after")
    def _can_be_found(self) -> Directory:
        if self.claim is None and self.path is None:
            raise ValueError("a folder needs 'claim' (a volume claim) or 'path' (a folder of this machine)")
        return self


class Dask(Section):
    """Dask clusters through the hub."""

    allowed_groups: Groups = None
    gateway_url: Annotated[str, StringConstraints(pattern=r"^https?://[^/]+(/.*)?$")] | None = Field(
        None, description="Where the hub's service reaches dask-gateway's server."
    )
    scheduler_address: Annotated[str, StringConstraints(pattern=r"^gateway://[^/]+:\d+$")] | None = Field(
        None, description="Where clients reach schedulers, such as 'gateway://traefik-dask-gateway:80'."
    )
    address: Annotated[str, StringConstraints(pattern=r"^https?://[^/]+(/.*)?$")] | None = Field(
        None,
        description="Where servers reach the hub's own dask-gateway service. Default in Kubernetes: "
        "through zero-to-jupyterhub's proxy, 'http://proxy-public/services/dask-gateway'.",
    )
    service_url: Annotated[str, StringConstraints(pattern=r"^http://[^/]+:\d+$")] = Field(
        "http://127.0.0.1:10101", description="Where the hub's own dask-gateway service listens."
    )
    workers: tuple[Name, ...] | None = Field(
        None, description="Names of the sizes that workers may have. Default: all of them."
    )
    schedulers: Name | None = Field(
        None,
        description="Node pool that schedulers run in, which has no spot nodes. Default: that of their "
        "workers, or where it has spot nodes or GPUs, the first that has neither among the user's sizes.",
    )
    max_workers: int = Field(32, ge=1, description="Most workers of one cluster.")
    max_clusters: int = Field(4, ge=1, description="Most clusters of one user at a time.")
    idle_timeout: Seconds = Field(
        1800, description="A cluster without work ends after this long, such as '30m'; 0 is never."
    )
    caps: dict[Name, DaskCap] = Field(
        default_factory=dict, description="The most that somebody may have of all their clusters, by name."
    )
    linger: Seconds = Field(
        300,
        description="How long a cluster goes on when the server that it was started from has stopped, such "
        "as '5m'; 0 is not at all.",
    )
    max_linger: Seconds | None = Field(
        None, description="The longest that a user may choose for it, cluster by cluster. Default: `linger`."
    )
    lifetime: Seconds = Field(
        0, description="How long a cluster lives at most, whatever it does, such as '3d'; 0 is for ever."
    )


class Description(Section):
    """One description of the hub, from which everything that a user may have is decided."""

    enabled: bool = Field(True, description="Whether scalablehub does anything at all.")
    nodes: dict[Name, NodePool] = Field(default_factory=dict, description="Node pools by name.")
    sizes: dict[Name, Size] = Field(default_factory=dict, description="Sizes of servers and workers by name.")
    images: dict[Name, Image] = Field(default_factory=dict, description="Environments by name.")
    own_image: OwnImage | None = Field(
        None, description="Images that users name themselves; leave it out for a hub without."
    )
    registries: Registries = Field(default_factory=Registries, description="What registries are asked.")
    interfaces: dict[Name, Interface] = Field(default_factory=dict, description="Interfaces by name.")
    groups: Grouping | None = Field(
        None, description="Groups from the identity provider; leave it out where the hub's admin keeps them."
    )
    caps: dict[Name, Cap] = Field(
        default_factory=dict, description="The most that somebody may have, by name."
    )
    currency: Annotated[str, StringConstraints(max_length=4)] = Field(
        "$", description="What stands before a price."
    )
    region: Annotated[str, StringConstraints(pattern=REGION)] | None = Field(
        None, description="Region of the cloud that the hub runs in. Reading a bucket of another one costs."
    )
    buckets: dict[Name, Bucket] = Field(default_factory=dict, description="Shared data by name.")
    credentials: Credentials | None = Field(
        None, description="Short-lived keys for buckets; leave it out where pods or machines have theirs."
    )
    directories: dict[Name, Directory] = Field(
        default_factory=dict, description="Shared folders on servers by name."
    )
    labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict,
        description="Labels of every server and Dask pod, such as {cost-center: geophysics}.",
    )
    dask: Dask | None = Field(None, description="Dask clusters; leave it out for a hub without them.")
