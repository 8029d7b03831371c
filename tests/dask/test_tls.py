"""One broken TLS stream does not break another, with the cure that Dask is handed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scalablehub.dask.tls import client_environment, cure, scheduler_options, worker_options

STREAMS = str(Path(__file__).with_name("tls_streams.py"))


def test_each_part_of_a_cluster_is_handed_the_cure() -> None:
    assert client_environment()["DASK_DISTRIBUTED__CLIENT__PRELOAD"] == cure()
    assert scheduler_options() == ["--preload", cure()]
    assert worker_options() == ["--preload", cure(), "--preload-nanny", cure()]


@pytest.mark.parametrize("character", "{}$\n")
def test_cure_is_one_line_that_neither_kubespawner_nor_kubernetes_expands(character: str) -> None:
    assert character not in cure()


@pytest.mark.parametrize(
    ("arguments", "outcome"),
    [
        ([], "lost"),
        ([cure(), "11"], "lost"),  # an older Python leaves no error; it is not touched
        ([cure(), "12"], "hello"),
        ([cure(), "14"], "hello"),
    ],
    ids=["without", "3.11", "3.12", "3.14"],
)
def test_stream_survives_the_error_of_another(arguments: list[str], outcome: str) -> None:
    command = [sys.executable, STREAMS, "injected", *arguments]
    environment = os.environ | client_environment()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{outcome}\n", "")


def test_this_python_is_fine_with_the_cure() -> None:
    command = [sys.executable, STREAMS, "broken", cure()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "hello\n")


def test_notebooks_do_not_hear_of_it() -> None:
    code = "import distributed; distributed.Client(processes=False, dashboard_address=None).close()"
    environment = os.environ | client_environment()
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
