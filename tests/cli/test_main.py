from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scalablehub._version import __version__
from scalablehub.cli import main
from scalablehub.local.settings import DEFAULT_FILE


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["down"], "invalid choice: 'down' (choose from"),
        (["up", "--prot", "8001"], "unrecognized arguments: --prot 8001"),
        (["up", "--config"], "argument --config: expected one argument"),
        (["up", "--port", "web"], "'web' is not a port; write a number from 1 to 65535"),
        (["up", "--port", "0"], "'0' is not a port; write a number from 1 to 65535"),
        (["up", "--port", "65536"], "'65536' is not a port; write a number from 1 to 65535"),
        (["up", "--port", "-1"], "'-1' is not a port; write a number from 1 to 65535"),
        (["up", "--port", "8000.0"], "'8000.0' is not a port; write a number from 1 to 65535"),
        (["up", "--port", "9" * 5000], "9999… is not a port; write a number from 1 to 65535"),
        (["config", "mine.yaml"], "unrecognized arguments: mine.yaml"),
        (["check"], "there is nothing to check; give --config FILE or --image NAME"),
        (["check", "--image", "a", "--using", "lxc"], "argument --using: invalid choice: 'lxc'"),
    ],
    ids=lambda value: " ".join(value)[:20] or "nothing" if isinstance(value, list) else "",
)
def test_misuse_exits_2_and_says_what_is_wrong(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert words in capsys.readouterr().err


def test_refusal_exits_1_with_one_line_and_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "absent.yaml"
    code = main(["up", "--config", str(file), "--data-dir", str(tmp_path / "data")])
    output, errors = capsys.readouterr()
    assert (code, output) == (1, "")
    assert errors == f"scalablehub: {file}: No such file or directory; give a readable file.\n"


def test_refusal_leaves_no_data_folder(tmp_path: Path) -> None:
    main(["up", "--config", str(tmp_path / "absent.yaml"), "--data-dir", str(tmp_path / "data")])
    assert list(tmp_path.iterdir()) == []


def test_config_prints_the_file_that_up_uses(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config"]) == 0
    assert capsys.readouterr() == (DEFAULT_FILE.read_text(encoding="utf-8"), "")


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr() == (f"scalablehub {__version__}\n", "")


def without(package: str, *arguments: str) -> tuple[int, str]:
    """Run the command in an environment without a package; return its exit code and what it says."""
    code = f"import sys; sys.modules[{package!r}] = None; from scalablehub.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stderr


@pytest.mark.parametrize("package", ["platformdirs", "psutil", "yaml"])
def test_up_without_the_local_extra_says_how_to_install_it(package: str) -> None:
    assert without(package, "up") == (
        1,
        f"scalablehub: This needs what is not installed ({package}); run: pip install 'scalablehub[local]'\n",
    )


def test_config_works_without_the_local_extra() -> None:
    assert without("yaml", "config") == (0, "")


def test_reader_that_is_gone_is_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone:
        command = [sys.executable, "-m", "scalablehub", "config"]
        done = subprocess.run(command, stdout=gone, stderr=subprocess.PIPE, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (1, b"")


def test_module_is_the_command() -> None:
    command = [sys.executable, "-m", "scalablehub", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, f"scalablehub {__version__}\n")
