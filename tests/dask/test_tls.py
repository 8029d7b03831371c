"""One broken TLS stream does not break another, with the cure that Dask is handed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from scalablehub.dask.tls import client_environment, cure, scheduler_options, worker_options


def test_each_part_of_a_cluster_is_handed_the_cure() -> None:
    assert client_environment()["DASK_DISTRIBUTED__CLIENT__PRELOAD"] == cure()
    assert scheduler_options() == ["--preload", cure()]
    assert worker_options() == ["--preload", cure(), "--preload-nanny", cure()]


@pytest.mark.parametrize("character", "{}$\n")
def test_cure_is_one_line_that_neither_kubespawner_nor_kubernetes_expands(character: str) -> None:
    assert character not in cure()


@pytest.mark.parametrize(
    ("minor", "outcome"),
    [
        ([], "lost"),
        (["11"], "lost"),  # an older Python leaves no error; it is not touched
        (["12"], "hello"),
        (["14"], "hello"),
    ],
    ids=["without", "3.11", "3.12", "3.14"],
)
def test_stream_survives_the_error_of_another(minor: list[str], outcome: str) -> None:
    command = [sys.executable, "-m", "tests.dask.tls_streams", *minor]
    environment = os.environ | client_environment()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{outcome}\n", "")


def test_notebooks_do_not_hear_of_it() -> None:
    code = "import distributed; distributed.Client(processes=False, dashboard_address=None).close()"
    environment = os.environ | client_environment()
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
