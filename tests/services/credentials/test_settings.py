"""What the service wants of its environment, and how it says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scalablehub.services.credentials.backends.static import Static
from scalablehub.services.credentials.settings import new_backend, read_settings
from scalablehub.services.running import SettingsError
from tests.services.credentials.versitygw import free_port

GOOD = {
    "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:10102",
    "JUPYTERHUB_SERVICE_PREFIX": "/base/services/credentials/",
    "JUPYTERHUB_API_URL": "http://127.0.0.1:8081/hub/api",
    "JUPYTERHUB_API_TOKEN": "canary-hub",
    "SCALABLEHUB_CREDENTIALS_BACKEND": "static",
    "SCALABLEHUB_CREDENTIALS_ENDPOINT": "http://127.0.0.1:9000/",
    "SCALABLEHUB_STATIC_ACCESS_KEY": "AK",
    "SCALABLEHUB_STATIC_SECRET_KEY": "canary-store",
}


def test_a_good_environment_and_no_secret_in_what_is_shown_of_it() -> None:
    settings = read_settings(GOOD)
    assert (settings.port, settings.prefix) == (10102, "/base/services/credentials/")
    assert settings.endpoint == "http://127.0.0.1:9000"
    assert isinstance(new_backend(settings), Static)
    assert "canary" not in repr(settings)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:1"}, "JUPYTERHUB_SERVICE_URL must be on loopback"),
        ({"JUPYTERHUB_SERVICE_URL": "http://hub:1"}, "JUPYTERHUB_SERVICE_URL must be on loopback"),
        ({"JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:x"}, "JUPYTERHUB_SERVICE_URL must be on loopback"),
        ({"JUPYTERHUB_API_TOKEN": ""}, "JUPYTERHUB_API_TOKEN is not set"),
        ({"SCALABLEHUB_CREDENTIALS_BACKEND": ""}, "write one of static, sts, versity"),
        ({"SCALABLEHUB_CREDENTIALS_BACKEND": "gcs"}, "must be one of static, sts, versity"),
        ({"SCALABLEHUB_CREDENTIALS_BACKEND": "sts"}, "SCALABLEHUB_CREDENTIALS_ROLE is not set"),
        ({"SCALABLEHUB_CREDENTIALS_BACKEND": "versity"}, "SCALABLEHUB_CREDENTIALS_IAM_ENDPOINT is not set"),
        ({"SCALABLEHUB_STATIC_SECRET_KEY": ""}, "SCALABLEHUB_STATIC_SECRET_KEY is not set"),
        ({"SCALABLEHUB_CREDENTIALS_GRACE_SECONDS": "soon"}, "must be seconds, from 0 to 86400"),
        ({"SCALABLEHUB_CREDENTIALS_GRACE_SECONDS": "nan"}, "must be seconds, from 0 to 86400"),
    ],
    ids=str,
)
def test_each_mistake_is_one_sentence_with_the_variable(change: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        read_settings(GOOD | change)
    assert sentence in str(refusal.value)
    assert "canary" not in str(refusal.value)


@pytest.mark.parametrize("what", ["nothing is set", "the port is taken"])
def test_the_process_ends_with_a_sentence_and_2(what: str) -> None:
    import socket

    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[3])}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        if what == "the port is taken":
            port, hub = taken.getsockname()[1], free_port()
            environment |= GOOD | {
                "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}",
                "JUPYTERHUB_API_URL": f"http://127.0.0.1:{hub}/hub/api",
            }
        run = subprocess.run(
            [sys.executable, "-m", "scalablehub.services.credentials"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert run.returncode == 2
    last = run.stderr.strip().splitlines()[-1]
    assert "is not set" in last if what == "nothing is set" else "cannot be listened on" in last
    assert "Traceback" not in run.stderr
    assert "canary" not in run.stderr
