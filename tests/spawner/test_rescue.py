"""A server starts whatever its user's home is like; each shell that images have runs what starts it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from scalablehub.pods import weaknesses
from scalablehub.spawner.kubernetes import ScalableKubeSpawner
from scalablehub.spawner.rescue import SCRIPT_FILE, rescuing, rescuing_in_pod
from tests.homes import cannot, fill, frozen, mounted
from tests.spawner.stubs import around, config

SCRIPT = SCRIPT_FILE.read_text()
TOOLS = ("cat", "cp", "dd", "mkdir", "mktemp", "mv", "rm", "sleep")
SAY = (sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ) | {'cwd': os.getcwd()}))")
MOVED = {
    "IPYTHONDIR",
    "JUPYTERLAB_SETTINGS_DIR",
    "JUPYTERLAB_WORKSPACES_DIR",
    "JUPYTER_CONFIG_DIR",
    "JUPYTER_DATA_DIR",
    "JUPYTER_RUNTIME_DIR",
    "XDG_CACHE_HOME",
}


class Shell(NamedTuple):
    """The words that run a shell, and a PATH with its tools."""

    words: tuple[str, ...] = ("/bin/sh",)
    path: str = os.environ["PATH"]


DEFAULT_SHELL = Shell()


@pytest.fixture(params=["dash", "bash", "busybox"])
def sh(request: pytest.FixtureRequest, tmp_path: Path) -> Shell:
    """A shell and a PATH with its tools: Debian's and GNU's, or busybox's alone."""
    found = shutil.which(request.param)
    if found is None:
        cannot(f"there is no {request.param} on PATH")
    if request.param != "busybox":
        return Shell((found,))
    for tool in TOOLS:
        (tmp_path / "busybox" / tool).parent.mkdir(exist_ok=True)
        (tmp_path / "busybox" / tool).symlink_to(found)
    return Shell((found, "sh"), str(tmp_path / "busybox"))


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Where temporary space is looked for first; not in a folder of pytest, which nobody else may enter."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def run(
    *command: str,
    home: Path | str,
    temporary: Path,
    sh: Shell = DEFAULT_SHELL,
    variables: Mapping[str, str] | None = None,
    user: int | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command as a server is started: with a home, and nothing else in its environment."""
    return subprocess.run(
        [*sh.words, "-c", SCRIPT, "rescue", *command],
        env={"HOME": str(home), "TMPDIR": str(temporary), "PATH": sh.path} | dict(variables or {}),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
        user=user,
    )


def environment(**options: Any) -> dict[str, str]:
    """Return the environment that a server would start with, and its working directory."""
    done = run(*SAY, **options)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@contextmanager
def home_that_is(kind: str, folder: Path) -> Iterator[Path]:
    home = folder / "home"
    if kind == "full":
        with mounted(home):
            fill(home)
            yield home
    elif kind == "nearly full":
        with mounted(home, "size=256k"):
            yield home
    elif kind == "full of files":
        with mounted(home, "size=2m,nr_inodes=6"):
            for number in range(5):
                (home / str(number)).touch()
            yield home
    elif kind == "read-only":
        with mounted(home, "ro"):
            yield home
    elif kind == "not a folder":
        home.touch()
        yield home
    elif kind == "not there, on a full disk":
        with mounted(home, "size=2m,nr_inodes=1"):
            yield home / "alice"
    else:
        home.mkdir()
        yield home


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("full", ("full", "the home")),
        ("nearly full", ("full", "the home")),
        ("full of files", ("full", "the home")),
        ("read-only", ("read-only", "the home")),
        ("not a folder", ("broken", "an empty one")),
        ("not there, on a full disk", ("full", "an empty one")),
    ],
)
def test_a_home_that_takes_no_files_is_said_with_why(
    tmp_path: Path, temporary: Path, sh: Shell, kind: str, expected: tuple[str, str]
) -> None:
    with home_that_is(kind, tmp_path) as home:
        found = environment(home=home, temporary=temporary, sh=sh)
    used = "the home" if found["HOME"] == str(home) else "an empty one"
    assert found["SCALABLEHUB_RESCUE"] == "1"
    assert (found["SCALABLEHUB_RESCUE_WHY"], used) == expected
    assert {name for name in MOVED if Path(found[name]).is_relative_to(temporary)} == MOVED
    assert {name for name in MOVED if not Path(found[name]).is_dir()} == set()


def test_a_home_that_takes_files_changes_nothing(tmp_path: Path, temporary: Path, sh: Shell) -> None:
    found = environment(home=tmp_path, temporary=temporary, sh=sh)
    by_shells = {"PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE", "cwd"}
    assert found["cwd"] == "/"
    assert {name: value for name, value in found.items() if name not in by_shells} == {
        "HOME": str(tmp_path),
        "TMPDIR": str(temporary),
        "PATH": sh.path,
    }
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("kind", ["full", "fine"])
def test_looking_leaves_nothing_in_the_home(tmp_path: Path, temporary: Path, sh: Shell, kind: str) -> None:
    with home_that_is(kind, tmp_path) as home:
        before = sorted(home.iterdir())
        run("true", home=home, temporary=temporary, sh=sh)
        assert sorted(home.iterdir()) == before


def test_a_home_that_is_not_there_yet_is_made(tmp_path: Path, temporary: Path, sh: Shell) -> None:
    found = environment(home=tmp_path / "new" / "home", temporary=temporary, sh=sh)
    assert "SCALABLEHUB_RESCUE" not in found
    assert (tmp_path / "new" / "home").is_dir()


def test_a_home_that_does_not_answer_is_not_waited_for(tmp_path: Path, temporary: Path) -> None:
    with frozen(tmp_path / "image", tmp_path / "home") as home:
        found = environment(home=home, temporary=temporary, variables={"SCALABLEHUB_RESCUE_PATIENCE": "1"})
    assert found["SCALABLEHUB_RESCUE_WHY"] == "away"
    assert Path(found["HOME"]).is_relative_to(temporary)
    assert found["JUPYTERHUB_ROOT_DIR"] == found["cwd"] == found["HOME"]


def test_a_home_of_somebody_else_is_read_if_it_may_be(temporary: Path) -> None:
    if os.geteuid() != 0:
        cannot("only root can be somebody else")
    temporary.chmod(0o755)
    (temporary / "theirs").mkdir(mode=0o755)
    (temporary / "space").mkdir()
    os.chown(temporary / "space", 65534, 65534)
    done = run(
        *("/bin/sh", "-c", 'echo "$SCALABLEHUB_RESCUE_WHY $HOME"'),
        home=temporary / "theirs",
        temporary=temporary / "space",
        user=65534,
    )
    assert done.stdout == f"denied {temporary / 'theirs'}\n"


@pytest.mark.parametrize("said", ["Disk quota exceeded", "Quota exceeded"])
def test_a_quota_that_is_used_up_is_full(tmp_path: Path, temporary: Path, said: str) -> None:
    # A mock: file systems with quotas are not to be had in every kernel. The words are glibc's and musl's.
    tool = tmp_path / "bin" / "dd"
    tool.parent.mkdir()
    tool.write_text(
        f'#!/bin/sh\ncase $* in *"{tmp_path}/home/"*) echo "dd: {said}" >&2; exit 1;; esac\n'
        'exec /bin/dd "$@"\n'
    )
    tool.chmod(0o755)
    found = environment(
        home=tmp_path / "home",
        temporary=temporary,
        sh=Shell(path=f"{tool.parent}:{os.environ['PATH']}"),
    )
    assert found["SCALABLEHUB_RESCUE_WHY"] == "full"


@pytest.mark.parametrize("kind", ["full", "fine"])
def test_arguments_and_the_exit_code_stay_as_they_are(
    tmp_path: Path, temporary: Path, sh: Shell, kind: str
) -> None:
    odd = ["a b", "", "*", "$HOME", "`id`", "it's", '"', "-n", "\\", "é\n", "--flag=x y"]
    code = "import json, sys; print(json.dumps(sys.argv[1:])); sys.exit(7)"
    with home_that_is(kind, tmp_path) as home:
        done = run(sys.executable, "-c", code, *odd, home=home, temporary=temporary, sh=sh)
    assert json.loads(done.stdout) == odd
    assert done.returncode == 7


@pytest.mark.parametrize("kind", ["full", "fine"])
def test_the_server_is_the_process_that_was_started(
    tmp_path: Path, temporary: Path, sh: Shell, kind: str
) -> None:
    code = (
        "import os, psutil, signal; children = psutil.Process().children(); "
        "print(os.getpid(), len(children), flush=True); signal.pause()"
    )
    with (
        home_that_is(kind, tmp_path) as home,
        subprocess.Popen(
            [*sh.words, "-c", SCRIPT, "rescue", sys.executable, "-c", code],
            env={"HOME": str(home), "TMPDIR": str(temporary), "PATH": sh.path},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == f"{process.pid} 0\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM


@pytest.mark.parametrize(
    ("home", "path", "variables"),
    [
        ("/proc", os.environ["PATH"], {"SCALABLEHUB_RESCUE_PATIENCE": "0"}),
        ("", os.environ["PATH"], {}),
        ("/proc", "/nonexistent", {}),
    ],
    ids=["turned off", "no home", "no tools"],
)
def test_where_it_cannot_look_the_server_just_starts(
    temporary: Path, home: str, path: str, variables: dict[str, str]
) -> None:
    found = environment(home=home, temporary=temporary, sh=Shell(path=path), variables=variables)
    assert "SCALABLEHUB_RESCUE" not in found


@pytest.mark.parametrize("patience", ["soon", "-1", "", "1; touch /tmp/x"])
def test_a_patience_that_is_no_number_is_the_usual_one(temporary: Path, patience: str) -> None:
    found = environment(
        home="/proc", temporary=temporary, variables={"SCALABLEHUB_RESCUE_PATIENCE": patience}
    )
    assert found["SCALABLEHUB_RESCUE"] == "1"


def test_without_temporary_space_it_is_said_what_is_missing(tmp_path: Path) -> None:
    with mounted(tmp_path / "tmp", "size=256k") as small:
        over = " && ".join(
            f"mount --bind {small} {folder}"
            for folder in ("/var/tmp", "/dev/shm", "/tmp")
            if Path(folder).is_dir()
        )
        command = ["unshare", "--mount", "sh", "-c", f'{over} && exec "$@"', "sh"]
        done = run(
            "echo",
            "started",
            home="/proc",
            temporary=Path("/tmp"),
            sh=Shell((*command, "sh")),
        )
    if "unshare" in done.stderr:
        cannot(done.stderr)
    assert done.stdout == "started\n"
    assert done.stderr == (
        "scalablehub: no rescue: /proc does not take files (broken), and no temporary folder does: "
        "mount one at /tmp\n"
    )


def test_what_was_configured_is_still_read_after_what_rescues(tmp_path: Path, temporary: Path) -> None:
    with home_that_is("full", tmp_path) as home:
        found = environment(
            home=home,
            temporary=temporary,
            variables={"JUPYTER_CONFIG_PATH": "/etc/a:/etc/b", "JUPYTER_PATH": "/opt/share"},
        )
    assert found["JUPYTER_CONFIG_PATH"].split(":")[1:] == ["/etc/a", "/etc/b", f"{home}/.jupyter"]
    assert found["JUPYTER_PATH"].split(":")[1:] == ["/opt/share", f"{home}/.local/share/jupyter"]


def test_settings_of_the_lab_are_taken_along(tmp_path: Path, temporary: Path) -> None:
    with home_that_is("full", tmp_path) as home:
        (home / "results.bin").unlink()
        theme = Path(".jupyter", "lab", "user-settings", "@jupyterlab", "themes.jupyterlab-settings")
        (home / theme).parent.mkdir(parents=True)
        (home / theme).write_text('{"theme": "JupyterLab Dark"}')
        fill(home)
        found = environment(home=home, temporary=temporary)
        settings = Path(found["JUPYTERLAB_SETTINGS_DIR"])
    assert (settings / "@jupyterlab" / theme.name).read_text() == '{"theme": "JupyterLab Dark"}'


def test_temporary_space_is_not_in_the_home(tmp_path: Path) -> None:
    with home_that_is("read-only", tmp_path) as home:
        found = environment(home=home, temporary=home / "tmp", variables={"XDG_RUNTIME_DIR": f"{home}/run"})
    space = Path(found["IPYTHONDIR"]).parent
    try:
        assert (found["TMPDIR"], found["XDG_RUNTIME_DIR"]) == (f"{space}/tmp", f"{space}/runtime")
        assert not space.is_relative_to(home)
    finally:
        shutil.rmtree(space)


def test_nobody_else_may_read_the_temporary_space(temporary: Path) -> None:
    found = environment(home="/proc", temporary=temporary)
    assert Path(found["IPYTHONDIR"]).parent.stat().st_mode & 0o777 == 0o700


def test_the_next_start_removes_what_the_last_rescue_of_this_server_left(
    tmp_path: Path, temporary: Path
) -> None:
    one, other = {"JUPYTERHUB_SERVICE_PREFIX": "/user/a/"}, {"JUPYTERHUB_SERVICE_PREFIX": "/user/a/b/"}
    with home_that_is("full", tmp_path) as home:
        earlier = environment(home=home, temporary=temporary, variables=one)
        beside = environment(home=home, temporary=temporary, variables=other)
        (home / "results.bin").unlink()
        now = environment(home=home, temporary=temporary, variables=one)
    assert "SCALABLEHUB_RESCUE" not in now
    assert not Path(earlier["IPYTHONDIR"]).exists()
    assert Path(beside["IPYTHONDIR"]).exists()


def test_a_command_is_wrapped_once_and_none_stays_none() -> None:
    for wrap in (rescuing, rescuing_in_pod):
        command = wrap(["jupyterhub-singleuser", "--x y"])
        assert command[-2:] == ["jupyterhub-singleuser", "--x y"]
        assert wrap(command) == command
        assert wrap([]) == []


def as_kubernetes_reads(text: str, variables: Mapping[str, str]) -> str:
    """Return what Kubernetes makes of an argument: ``$(NAME)`` may be a variable, and ``$$`` is ``$``."""

    def read(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        return variables.get(found[1], found[0])

    return re.sub(r"\$\$|\$\(([^)]*)\)", read, text)


def test_kubernetes_hands_the_script_on_as_it_is() -> None:
    hostile = dict.fromkeys(re.findall(r"\$\(([^)]*)\)", SCRIPT), "; exit 1")
    assert hostile
    assert as_kubernetes_reads(rescuing_in_pod(["x"])[2], hostile) == SCRIPT


@pytest.mark.parametrize(
    ("cmd", "starts"), [(None, 0), (["jupyterhub-singleuser"], 1), (["start.sh", "x y"], 1)]
)
async def test_a_pod_starts_what_its_command_is_known_of(cmd: list[str] | None, starts: int) -> None:
    c = config()
    c.KubeSpawner.cmd = cmd
    spawner = ScalableKubeSpawner(_mock=True, config=c, **around())
    for _ in range(2):
        await spawner.load_user_options()
        pod = spawner.api.api_client.sanitize_for_serialization(await spawner.get_pod_manifest())
    args = pod["spec"]["containers"][0].get("args") or []
    assert sum("scalablehub-rescue" in arg for arg in args) == starts
    assert args[4 : 4 + len(cmd or ())] == (cmd or [])
    assert list(weaknesses(pod)) == []
