"""A hub as a research group would describe it: several pools, groups, prices and environments."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

# What a server's command does instead of serving, by the name of its environment.
_COMMANDS = {"genomics": "exec sleep 600"}


def research_hub(folder: Path) -> dict[str, Any]:
    """Return what `scalablehub up --config` takes.

    Args:
        folder: for environments that do not start as they should.
    """
    raw: dict[str, Any] = yaml.safe_load(files("scalablehub.local").joinpath("hub.yaml").read_text())
    hub = raw["ScalableHub"]
    hub["nodes"] = {
        "standard": {
            **{"order": 1, "display_name": "Standard", "instance": "this-machine", "price": 0.84},
            **{"reserved": {"memory": "1G"}, "ladder": ["1/4", "1/2", 1]},
        },
        "gpu": {
            **{"order": 3, "display_name": "GPU", "cores": 8, "memory": "64G", "gpus": 2, "price": 2.2},
            **{"spot": True, "allowed_groups": ["gpu"], "locked": "Ask the GPU team: gpu@example.org."},
        },
        "veiled": {"cores": 64, "memory": "1T", "allowed_groups": ["nobody-here"], "display_name": "Veiled"},
    }
    hub["sizes"] = {}
    environments = {
        "climate": ("Climate", "Xarray, Zarr, Dask and Cartopy, as the climate group uses them.", "☁"),
        "statistics": ("Statistics", "R and its packages.", "∑"),
        # Its servers never answer.
        "genomics": ("Genomics", "Pipelines of the genomics group, with their tools.", "⌬"),
    }
    hub["images"] = {
        name: {
            **{"order": order, "display_name": display_name, "description": description, "icon": icon},
            "prefix": _environment(folder, name) if name in _COMMANDS else "this-environment",
            **({"interfaces": ["rstudio"]} if name == "statistics" else {}),
        }
        for order, (name, (display_name, description, icon)) in enumerate(environments.items())
    }
    hub["images"]["veiled"] = {"prefix": "this-environment", "allowed_groups": ["nobody-here"]}
    for interface in hub["interfaces"].values():
        # The environments that do not start need nothing.
        interface |= {"packages": [], "commands": []}
    hub["own_image"] = {"patterns": [".*"]}
    raw["LocalHub"].pop("sample_data")
    raw["LocalHub"]["users"] |= {"erin": {"groups": ["gpu"]}, "frank": {}, "grace": {}}
    return raw


def with_many(raw: dict[str, Any]) -> dict[str, Any]:
    """Return the same with more than fifty sizes and more than twenty environments."""
    hub = raw["ScalableHub"]
    pools = {
        f"pool-{number}": {
            **{"order": 10 + number, "display_name": f"Pool {'ABCDEFGH'[number]}", "spot": number % 2 == 0},
            **{"cores": 4 * 2**number, "memory": f"{16 * 2**number}G", "price": 0.2 * 2**number},
            "description": "For work that needs all of it.",
        }
        for number in range(8)
    }
    images = {
        f"field-{number}": {
            **{"order": 10 + number, "display_name": f"Field {number}", "prefix": "this-environment"},
            "description": "Packages for one field of science.",
        }
        for number in range(20)
    }
    return raw | {"ScalableHub": hub | {"nodes": hub["nodes"] | pools, "images": hub["images"] | images}}


def _environment(folder: Path, name: str) -> str:
    binaries = folder / name / "bin"
    binaries.mkdir(parents=True, exist_ok=True)
    command = binaries / "jupyterhub-singleuser"
    command.write_text(f"#!/bin/sh\n{_COMMANDS[name]}\n")
    command.chmod(0o755)
    (binaries / "python").symlink_to(sys.executable)
    return str(binaries.parent)
