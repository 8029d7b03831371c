"""The spawn page with a choice that stands in the address: ``/hub/scalablehub/spawn?size=large&image=geo``.

A link of JupyterHub's own (``/hub/spawn?opt-size=large``) starts the server at once. This one only selects:
who follows somebody else's link sees what it would start, and what it would cost.
"""

from __future__ import annotations

from typing import Any

from jupyterhub.handlers.pages import SpawnHandler

ROUTES = tuple(f"/scalablehub/spawn{rest}" for rest in ("", "/([^/]+)", "/([^/]+)/([^/]+)"))
_KEPT = ("next", "_xsrf", "display_name")


class PreselectingHandler(SpawnHandler):  # type: ignore[misc]
    """JupyterHub's spawn page, which takes the query for a choice to show instead of one to start.

    Names may have the prefix ``opt-``, as in JupyterHub 6, or not, as before.
    """

    def prepare(self) -> Any:
        """Take the choice out of the query, before JupyterHub sees options in it."""
        arguments = self.request.query_arguments
        self.preselected = {
            name.removeprefix("opt-"): values[-1].decode(errors="replace")
            for name, values in arguments.items()
            if name not in _KEPT and values
        }
        for name in [name for name in arguments if name not in _KEPT]:
            del arguments[name]
        return super().prepare()
