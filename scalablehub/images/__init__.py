"""What a container image has, and whether a hub's servers can run in it: `scalablehub check --image`.

An image needs little: `jupyterhub-singleuser` that fits the hub, an interface, and for clusters Dask with
dask-gateway's client. A small program runs inside it and says what is there; `judge` compares that with
the hub.
"""

from scalablehub.images.judging import Finding, Hub, Level, judge
from scalablehub.images.probing import Asked, probe_program, read_report
from scalablehub.images.running import Tool, choose_tool, run_in_image

__all__ = [
    "Asked",
    "Finding",
    "Hub",
    "Level",
    "Tool",
    "choose_tool",
    "judge",
    "probe_program",
    "read_report",
    "run_in_image",
]
