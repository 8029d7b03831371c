"""What everything that a person can be offered has in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from scalablehub.description.section import Section

THIS_MACHINE = "this-machine"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?$")]
Groups = Annotated[
    tuple[str, ...] | None,
    Field(
        description="Names of the groups whose members may have this. Leave it out for everybody; "
        "an empty list is nobody."
    ),
]


class Entry(Section):
    """What everything that a person can be offered has in common."""

    order: int = Field(0, description="Where it stands among its like: lowest first, then by name.")
    display_name: str = Field("", description="What people read. Default: the entry's name.")
    description: str = Field("", description="One sentence under the name.")
    icon: Annotated[str, StringConstraints(max_length=8)] = Field(
        "", description="A sign before the name, such as an emoji."
    )
    allowed_groups: Groups = None
    locked: str = Field(
        "",
        description="A sentence for those who may not have it, such as 'Ask the GPU team.'; "
        "it is then shown to them, locked. Without one it is hidden from them.",
    )
