"""Runs inside an image, from standard input, and prints one line about it.

Its argument is JSON: names of packages, modules and commands to look for. It stands alone: only the standard
library, and nothing that Python 3.8 does not know.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import socket
import ssl
import sys
from importlib import metadata
from pathlib import Path


def version_of(package: str) -> str | None:
    """Return the version of an installed distribution."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def has_module(name: str) -> bool:
    """Return whether a module could be imported."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def kernels() -> list[str]:
    """Return the names of the Jupyter kernels."""
    shared = [Path(sys.prefix, "share"), Path("/usr/local/share"), Path("/usr/share")]
    own = [Path(folder) for folder in os.environ.get("JUPYTER_PATH", "").split(os.pathsep) if folder]
    folders = [*own, *(folder / "jupyter" for folder in shared)]
    return sorted({spec.parent.name for folder in folders for spec in folder.glob("kernels/*/kernel.json")})


def tls_pair() -> list[ssl.SSLSocket]:
    """Return the sides of a TLS connection; its ciphers need no certificate."""
    sides = []
    for server, sock in enumerate(socket.socketpair()):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        if not server:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("aNULL:@SECLEVEL=0")
        sock.setblocking(False)
        sides.append(context.wrap_socket(sock, server_side=bool(server), do_handshake_on_connect=False))
    waiting = list(sides)
    while waiting:
        for side in list(waiting):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
                waiting.remove(side)
    return sides


def tls_needs_cure() -> bool | None:
    """Return whether a write to a peer that is gone breaks another TLS stream; None if it cannot be tried."""
    try:
        (healthy, peer), (left, gone) = tls_pair(), tls_pair()
    except (OSError, ValueError):
        return None
    gone.close()
    with contextlib.suppress(OSError):
        left.send(b"x")
    try:
        healthy.recv(1)
    except ssl.SSLWantReadError:
        return False
    except OSError:
        return True
    finally:
        for side in (healthy, peer, left):
            side.close()
    return None


def report(asked: dict[str, list[str]]) -> dict[str, object]:
    """Return what there is."""
    home = Path(os.environ.get("HOME", "/"))
    return {
        "python": ".".join(map(str, sys.version_info[:3])),
        "openssl": ssl.OPENSSL_VERSION,
        "uid": os.getuid(),
        "home": str(home),
        "home_writable": home.is_dir() and os.access(home, os.W_OK),
        "packages": {name: version_of(name) for name in asked["packages"]},
        "modules": {name: has_module(name) for name in asked["modules"]},
        "commands": {name: shutil.which(name) for name in asked["commands"]},
        "kernels": kernels(),
        "tls_needs_cure": tls_needs_cure(),
    }


if __name__ == "__main__":
    print("scalablehub-report " + json.dumps(report(json.loads(sys.argv[1]))))
