"""The Debian packages that the Kubernetes cluster and its images are made with."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.alone import alone

from .errors import Unsupported
from .settings import cache_dir

# Package -> a file that it brings.
CLUSTER: dict[str, str] = {
    "busybox-static": "/bin/busybox",
    "conntrack": "/usr/sbin/conntrack",
    "containerd": "/usr/bin/containerd",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "iproute2": "/sbin/ip",
    "iptables": "/usr/sbin/iptables",
    "nftables": "/usr/sbin/nft",
    "procps": "/sbin/sysctl",
    "runc": "/usr/sbin/runc",
    "util-linux": "/usr/bin/nsenter",
}
IMAGES: dict[str, str] = {
    "buildah": "/usr/bin/buildah",
    "debootstrap": "/usr/sbin/debootstrap",
}

# Debian's packages are in /sbin, which is not on everybody's PATH.
PATH = os.pathsep.join(
    dict.fromkeys([*os.environ.get("PATH", "").split(os.pathsep), "/usr/sbin", "/usr/bin", "/sbin", "/bin"])
)


def missing(packages: Mapping[str, str]) -> list[str]:
    """Return the packages whose file is not here."""
    return sorted(name for name, file in packages.items() if not Path(file).exists())


def install(packages: Mapping[str, str]) -> list[str]:
    """Install what is missing, and return it; only root may, and only with apt."""
    wanted = missing(packages)
    if not wanted:
        return []
    if os.geteuid() != 0 or not shutil.which("apt-get", path=PATH):
        raise Unsupported(f"These Debian packages are missing: {' '.join(wanted)}.")
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "PATH": PATH}
    update = ["apt-get", "update", "-qq"]
    add = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *wanted]
    cache_dir().mkdir(parents=True, exist_ok=True)
    # apt refuses a second one that comes meanwhile.
    with alone(cache_dir(), "debian-packages"):
        for command in (update, add):
            run = subprocess.run(command, env=quiet, capture_output=True, text=True, check=False)
            if run.returncode:
                last = (run.stderr.strip().splitlines() or ["no reason given"])[-1]
                raise Unsupported(f"'{' '.join(command[:2])}' of {' '.join(wanted)} failed: {last}")
    return wanted
