"""What we add to the start of a server: from the user's options to the pod that is sent to Kubernetes.

The rest of a start, from there on, is KubeSpawner's own code and Kubernetes; `kubernetes` measures it whole.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kubernetes_asyncio.config import kube_config
from kubespawner import KubeSpawner
from traitlets.config import Config

from scalablehub.spawner.kubernetes import ScalableKubeSpawner
from tests.bench.measuring import Row, added, at_most
from tests.spawner.stubs import around, config

STARTS = 200
OURS, STOCK = "ours", "KubeSpawner"
_SIZES = {f"size-{n}": {"order": n, "node": "standard", "share": "1/4"} for n in range(50)}
_IMAGES = {f"image-{n}": {"order": n, "image": f"quay.io/hub/image:{n}"} for n in range(20)}


def measure_spawning(rounds: int) -> list[Row]:
    """Return the milliseconds that one start takes in the hub before Kubernetes is asked, and of CPU."""
    with TemporaryDirectory() as folder:
        kube_config.KUBE_CONFIG_DEFAULT_LOCATION = str(_somewhere(Path(folder)))
        return asyncio.run(_measure(rounds))


async def _measure(rounds: int) -> list[Row]:
    wall: dict[str, list[float]] = {OURS: [], STOCK: []}
    cpu: dict[str, list[float]] = {OURS: [], STOCK: []}
    ways: dict[str, Callable[[], Awaitable[None]]] = {OURS: _ours, STOCK: _stock}
    for way in ways.values():
        await way()  # what is loaded once is not part of a start
    for _ in range(rounds):
        for name, way in ways.items():
            walls, cpus = [], []
            for _ in range(STARTS):
                began, began_cpu = time.perf_counter(), time.process_time()
                await way()
                walls.append((time.perf_counter() - began) * 1000)
                cpus.append((time.process_time() - began_cpu) * 1000)
            wall[name].append(statistics.median(walls))
            cpu[name].append(statistics.mean(cpus))
    aim = at_most(5, " ms")
    return [
        added("start in the hub, 50 sizes and 20 images", "ms", wall, (OURS, STOCK), aim),
        added("the same, CPU", "ms", cpu, (OURS, STOCK), aim),
    ]


def _described() -> Config:
    c = config(sizes=_SIZES, images=_IMAGES, dask=None, caps={"everybody": {"cores": 8}})
    c.KubeSpawner.slug_scheme = "safe"
    return c


def _profiles() -> Config:
    c = Config()
    choices = {
        f"image-{n}": {"display_name": str(n), "kubespawner_override": {"image": f"quay.io/hub/image:{n}"}}
        for n in range(20)
    }
    c.KubeSpawner.profile_list = [
        {
            "display_name": f"size-{n}",
            "slug": f"size-{n}",
            "kubespawner_override": {"mem_limit": "4G", "mem_guarantee": "4G", "cpu_guarantee": 1},
            "profile_options": {"image": {"display_name": "Image", "choices": choices}},
        }
        for n in range(50)
    ]
    return c


_OURS_CONFIG, _STOCK_CONFIG = _described(), _profiles()


async def _ours() -> None:
    given = around("alice", "research", options={"size": "size-7", "image": "image-3"})
    await _made(ScalableKubeSpawner(_mock=True, config=_OURS_CONFIG, **given))


async def _stock() -> None:
    given = around("alice", options={"profile": "size-7", "image": "image-3"})
    await _made(KubeSpawner(_mock=True, config=_STOCK_CONFIG, **given))


async def _made(spawner: Any) -> None:
    await spawner.load_user_options()
    pod = await spawner.get_pod_manifest()
    sent = spawner.api.api_client.sanitize_for_serialization(pod)
    assert json.dumps(sent)


def _somewhere(folder: Path) -> Path:
    known = {
        "current-context": "none",
        "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
        "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "none", "user": {}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(known))
    return path
