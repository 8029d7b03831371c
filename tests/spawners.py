"""A spawner as an admin would make of one of ours."""

from __future__ import annotations

from scalablehub.spawner.kubernetes import ScalableKubeSpawner


class TheirSpawner(ScalableKubeSpawner):
    """An admin's own."""
