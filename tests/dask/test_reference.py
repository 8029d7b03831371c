"""The reference of dask-gateway's server lists what there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scalablehub.dask.authenticator import ScalableHubAuthenticator
from scalablehub.dask.kubernetes import ScalableKubeBackend
from scalablehub.services.source import DescriptionSource

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "dask-gateway.md").read_text()
TRAITS = [
    pytest.param(owner, name, id=f"{owner.__name__}.{name}")
    for owner in (ScalableKubeBackend, DescriptionSource, ScalableHubAuthenticator)
    for name, trait in owner.class_own_traits(config=True).items()
]


@pytest.mark.parametrize(("owner", "name"), TRAITS)
def test_every_trait_of_ours_is_listed_with_its_default(owner: Any, name: str) -> None:
    default = owner.class_own_traits()[name].default_value
    shown = f"{default:g}" if isinstance(default, int | float) else "`{}`"
    section = PAGE.partition(f"| `c.{owner.__name__}…` |")[2].partition("\n\n")[0]
    assert f"| `{name}` | {shown} |" in section
