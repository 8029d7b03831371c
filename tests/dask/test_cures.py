"""With the cures that Dask is handed no broken TLS stream breaks another, and no client waits for itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scalablehub.dask.cures import (
    ADDRESS,
    CLIENT,
    TLS,
    client_environment,
    cure,
    scheduler_options,
    worker_options,
)

STREAMS = str(Path(__file__).with_name("tls_streams.py"))


def test_each_part_of_a_cluster_is_handed_the_cure() -> None:
    assert client_environment()["DASK_DISTRIBUTED__CLIENT__PRELOAD"] == cure(TLS, CLIENT, ADDRESS)
    assert scheduler_options() == ["--preload", cure(TLS)]
    assert worker_options() == ["--preload", cure(TLS), "--preload-nanny", cure(TLS)]


@pytest.mark.parametrize("character", "{}$\n")
def test_cure_is_one_line_that_neither_kubespawner_nor_kubernetes_expands(character: str) -> None:
    assert character not in cure(TLS, CLIENT, ADDRESS)


@pytest.mark.parametrize(
    ("arguments", "outcome"),
    [
        ([], "lost"),
        ([cure(TLS), "11"], "lost"),  # an older Python leaves no error; it is not touched
        ([cure(TLS), "12"], "hello"),
        ([cure(TLS), "14"], "hello"),
    ],
    ids=["without", "3.11", "3.12", "3.14"],
)
def test_stream_survives_the_error_of_another(arguments: list[str], outcome: str) -> None:
    command = [sys.executable, STREAMS, "injected", *arguments]
    environment = os.environ | client_environment()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{outcome}\n", "")


def test_this_python_is_fine_with_the_cure() -> None:
    command = [sys.executable, STREAMS, "broken", cure(TLS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "hello\n")


@pytest.mark.parametrize(
    ("arguments", "outcome"),
    [([], "waits for itself"), ([cure(CLIENT)], "goes on"), ([cure(CLIENT)] * 2, "goes on")],
    ids=["without", "with", "twice"],
)
def test_a_gateway_that_is_collected_on_its_loop_does_not_stop_it(arguments: list[str], outcome: str) -> None:
    command = [sys.executable, str(Path(__file__).with_name("collected_gateway.py")), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{outcome}\n", "")


def test_a_client_of_any_cluster_cures_what_is_imported() -> None:
    code = (
        "import dask_gateway.client as client, distributed\n"
        "distributed.Client(processes=False, dashboard_address=None).close()\n"
        "print([kind.__del__.__name__ for kind in (client.Gateway, client.GatewayCluster)])"
    )
    environment = os.environ | client_environment()
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "['collected', 'collected']\n", "")


def test_notebooks_do_not_hear_of_it() -> None:
    code = "import distributed; distributed.Client(processes=False, dashboard_address=None).close()"
    environment = os.environ | client_environment()
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
