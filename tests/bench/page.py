"""The spawn page with 50 sizes and 20 images: how long the hub takes to write it, and how large it is.

Compared with KubeSpawner's own form and, where it is installed, with jupyterhub-fancy-profiles' (0.7), which
draws the page in the browser: its script counts as part of it.
"""

from __future__ import annotations

import asyncio
import copy
import importlib
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kubernetes_asyncio.config import kube_config
from kubespawner import KubeSpawner
from traitlets.config import Config

from scalablehub.spawner.kubernetes import ScalableKubeSpawner
from tests.bench.measuring import Row, absolute, at_most, ratio
from tests.spawner.stubs import around, config

PAGES = 100
OURS, STOCK, FANCY = "ours", "KubeSpawner", "fancy-profiles"
_SIZES, _IMAGES = range(50), range(20)
_WORDS = "For work of this kind, as the group does it."


def measure_page(rounds: int) -> list[Row]:
    """Return the milliseconds of CPU that one page takes in the hub, and the kilobytes that are sent."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "kubeconfig"
        path.write_text(json.dumps(_NOWHERE))
        kube_config.KUBE_CONFIG_DEFAULT_LOCATION = str(path)
        return asyncio.run(_measure(rounds))


async def _measure(rounds: int) -> list[Row]:
    ways: dict[str, Callable[[], Any]] = {OURS: _ours, STOCK: _stock} | (
        {FANCY: _fancy} if _scripts() else {}
    )
    times: dict[str, list[float]] = {name: [] for name in ways}
    sizes: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        await way().get_options_form()  # what is loaded once is not part of a page
    for _ in range(rounds):
        for name, way in ways.items():
            taken = []
            for _ in range(PAGES):
                spawner = way()
                # It waits for nobody, so what it takes is what others in the hub's one loop wait for.
                began = time.process_time()
                page = await spawner.get_options_form()
                taken.append((time.process_time() - began) * 1000)
            times[name].append(statistics.median(taken))
            scripts = _scripts() if name == FANCY else []
            sizes[name].append(sum(len(text.encode()) for text in [page, *scripts]) / 1000)
    rows = [ratio("spawn page, 50 sizes and 20 images", "ms", times, (OURS, STOCK), at_most(0.5))]
    if FANCY in ways:
        rows.append(ratio("the same", "ms", times, (OURS, FANCY)))
        rows.append(ratio("its bytes", "kB", sizes, (OURS, FANCY)))
    rows.append(ratio("its bytes", "kB", sizes, (OURS, STOCK)))
    return [*rows, absolute("spawn page, alone", "ms", times, OURS, at_most(20, " ms"))]


def _ours() -> Any:
    return ScalableKubeSpawner(_mock=True, config=_DESCRIBED, **around("alice", "research"))


def _stock() -> Any:
    return KubeSpawner(_mock=True, config=_PROFILES, **around("alice"))


def _fancy() -> Any:
    c = copy.deepcopy(_PROFILES)
    module = importlib.import_module("jupyterhub_fancy_profiles")
    c.KubeSpawner.additional_profile_form_template_paths = module.TEMPLATE_PATHS
    return KubeSpawner(_mock=True, config=c, **around("alice"))


def _scripts() -> list[str]:
    """Return the scripts without which fancy-profiles' page has nothing to choose; none: not installed."""
    try:
        module = importlib.import_module("jupyterhub_fancy_profiles")
    except ImportError:
        return []
    return [(Path(str(module.__file__)).parent / "static" / "dist" / "form.js").read_text()]


def _profiles() -> Config:
    c = Config()
    choices = {
        f"image-{n}": {
            "display_name": f"Image {n}",
            "description": _WORDS,
            "kubespawner_override": {"image": f"quay.io/hub/image:{n}"},
        }
        for n in _IMAGES
    }
    c.KubeSpawner.profile_list = [
        {
            "display_name": f"Size {n}",
            "slug": f"size-{n}",
            "description": _WORDS,
            "kubespawner_override": {"mem_limit": "4G", "mem_guarantee": "4G", "cpu_guarantee": 1},
            "profile_options": {"image": {"display_name": "Image", "choices": choices}},
        }
        for n in _SIZES
    ]
    return c


_DESCRIBED = config(
    sizes={
        f"size-{n}": {"order": n, "node": "standard", "share": "1/4", "description": _WORDS} for n in _SIZES
    },
    images={
        f"image-{n}": {"order": n, "image": f"quay.io/hub/image:{n}", "description": _WORDS} for n in _IMAGES
    },
    dask=None,
    caps={"everybody": {"cores": 8}},
)
_PROFILES = _profiles()
_NOWHERE = {
    "current-context": "none",
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:9"}}],
    "users": [{"name": "none", "user": {}}],
}
