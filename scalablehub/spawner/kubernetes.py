"""Servers as pods: KubeSpawner, with sizes, images and interfaces from the hub's description."""

from __future__ import annotations

from typing import Any

from kubespawner import KubeSpawner

from scalablehub.spawner.choosing import ChoosingSpawner


class ScalableKubeSpawner(ChoosingSpawner, KubeSpawner):  # type: ignore[misc]
    """A user's server is a pod whose size, image and interface were decided.

    * Memory is guaranteed and the limit; cores are guaranteed and may burst.
    * The profiles of KubeSpawner are not used: the description has their place.
    """

    async def load_user_options(self) -> None:
        """Set resources, image and landing page from what the user's options select.

        Raises:
            tornado.web.HTTPError: the user may not have it.
        """
        selection = self.select()
        self.profile_list: list[Any] = []
        await super().load_user_options()
        self.mem_guarantee = self.mem_limit = selection.size.memory
        self.cpu_guarantee, self.cpu_limit = selection.size.cores, None
        if selection.image.image:
            self.image = selection.image.image
        self.default_url = selection.interface.url
