"""Stand-ins for hub and dask-gateway, with many clusters: `python -m tests.bench.echoing PORT CLUSTERS`.

A cluster's dashboard is one websocket, which sends back what it gets.
"""

from __future__ import annotations

import gc
import json
import sys

from aiohttp import web

PERSON = {"kind": "user", "name": "alice", "groups": [], "scopes": ["access:services!service=dask-gateway"]}


def names(count: int) -> list[str]:
    """Return the names of so many clusters."""
    return [f"{number:032x}" for number in range(count)]


def _cluster(name: str) -> dict[str, object]:
    return {
        "name": name,
        "status": "RUNNING",
        "dashboard_route": f"/clusters/{name}/status",
        "scheduler_address": f"gateway://127.0.0.1:8786/{name}",
        "start_time": 1767225600000,
        "stop_time": None,
    }


def _details(name: str) -> dict[str, object]:
    return {
        **{"name": name, "owner": "alice", "groups": ["research"], "server": "", "status": "RUNNING"},
        **{"size": "standard-1-4", "image": "pangeo", "age_seconds": 3600, "alone": False},
        **{"wanted": 50, "granted": 40, "running": 38, "pending": 2, "price": 8.0, "cost": 21.5},
        "why": "40 workers is the most that you may have at a time; in use already: 40 workers",
    }


def application(count: int) -> web.Application:
    """Return both servers as one."""
    clusters = {name: _cluster(name) for name in names(count)}
    listed = json.dumps(clusters)
    shown = {"admin": False, "everybody": False, "currency": "$", "ended": []}
    details = json.dumps(shown | {"clusters": [_details(name) for name in clusters]})
    counts = json.dumps({"tasks": 9000, "processing": 76, "waiting": 8000, "erred": 0, "bytes": 2**33})

    def answering(text: str) -> web.RequestHandler:  # type: ignore[type-arg]
        async def answer(_request: web.Request) -> web.Response:
            return web.Response(text=text, content_type="application/json")

        return answer  # type: ignore[return-value]

    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        async for message in socket:
            await socket.send_bytes(message.data)
        return socket

    async def one(request: web.Request) -> web.Response:
        return web.json_response(clusters[request.match_info["name"]])

    app = web.Application()
    app.router.add_get("/", answering("{}"))
    app.router.add_get("/hub/api/user", answering(json.dumps(PERSON)))
    app.router.add_get("/api/v1/clusters/", answering(listed))
    app.router.add_get("/api/v1/clusters/{name}", one)
    app.router.add_get("/api/scalablehub/clusters", answering(details))
    app.router.add_get("/clusters/{name}/json/counts.json", answering(counts))
    app.router.add_get("/clusters/{name}/ws", echo)
    return app


if __name__ == "__main__":
    gc.disable()  # what stands behind should not halt
    web.run_app(
        application(int(sys.argv[2])), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None
    )
