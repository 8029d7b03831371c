"""What the service wants of its environment, and how it says so."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest
from aiohttp import web

from scalablehub.description import S3Credentials
from scalablehub.description.sharing import share
from scalablehub.services.credentials.settings import Namespaces, read_settings
from scalablehub.services.credentials.stores import s3_backend
from scalablehub.services.running import SettingsError
from tests.descriptions import described
from tests.services.credentials.conftest import run_process
from tests.services.dask_gateway.conftest import TinyServer

GOOD = {
    "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:10102",
    "JUPYTERHUB_SERVICE_PREFIX": "/base/services/credentials/",
    "JUPYTERHUB_API_URL": "http://127.0.0.1:8081/hub/api",
    "JUPYTERHUB_API_TOKEN": "canary-hub",
    "SCALABLEHUB_STATIC_ACCESS_KEY": "AK",
    "SCALABLEHUB_STATIC_SECRET_KEY": "canary-store",
}


def test_a_good_environment_and_no_secret_in_what_is_shown_of_it() -> None:
    settings = read_settings(GOOD)
    assert (settings.port, settings.prefix) == (10102, "/base/services/credentials/")
    assert settings.static_keys == ("AK", "canary-store")
    assert settings.namespaces is None
    assert "canary" not in repr(settings)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:1"}, "JUPYTERHUB_SERVICE_URL must be on loopback"),
        ({"JUPYTERHUB_SERVICE_URL": "http://hub:1"}, "JUPYTERHUB_SERVICE_URL must be on loopback"),
        ({"JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:x"}, "JUPYTERHUB_SERVICE_URL must have a port"),
        ({"JUPYTERHUB_API_TOKEN": ""}, "JUPYTERHUB_API_TOKEN is not set"),
        ({"SCALABLEHUB_KEY_SECONDS": "an hour"}, "SCALABLEHUB_KEY_SECONDS must be whole seconds"),
        ({"SCALABLEHUB_KEY_SECONDS": "5"}, "SCALABLEHUB_KEY_SECONDS must be whole seconds"),
        ({"SCALABLEHUB_SERVERS_NAMESPACE": "hub"}, "SCALABLEHUB_CLUSTERS_NAMESPACE is not set"),
    ],
    ids=str,
)
def test_each_mistake_is_one_sentence_with_the_variable(change: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        read_settings(GOOD | change)
    assert sentence in str(refusal.value)
    assert "canary" not in str(refusal.value)


def test_in_kubernetes_it_may_listen_for_others() -> None:
    change = {
        "JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:8080",
        "SCALABLEHUB_SERVERS_NAMESPACE": "hub",
        "SCALABLEHUB_CLUSTERS_NAMESPACE": "dask",
    }
    settings = read_settings(GOOD | change)
    assert (settings.host, settings.namespaces) == ("0.0.0.0", Namespaces("hub", "dask"))


@pytest.mark.parametrize("missing", ["ACCESS", "SECRET"])
def test_a_static_backend_needs_its_key(missing: str) -> None:
    keys = {"ACCESS": "AK", "SECRET": "canary-store"} | {missing: ""}
    with pytest.raises(SettingsError, match=f"SCALABLEHUB_STATIC_{missing}_KEY is not set"):
        s3_backend(S3Credentials(backend="static"), (keys["ACCESS"], keys["SECRET"]))


async def run_service(environment: dict[str, str]) -> tuple[int | None, str]:
    """Return how the service's process ended, and what it said."""
    base = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[3])}
    command = (sys.executable, "-m", "scalablehub.services.credentials")
    return await run_process(*command, environment=base | environment)


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("nothing is set", "is not set"),
        ("the port is taken", "cannot be listened on"),
        ("the hub has no credentials", "has no 'credentials'"),
        ("its key is missing", "SCALABLEHUB_STATIC_ACCESS_KEY is not set"),
    ],
)
async def test_the_process_ends_with_a_sentence_and_2(what: str, sentence: str) -> None:
    keys = {"credentials": {"s3": {"backend": "static", "endpoint": "http://127.0.0.1:9000"}}}
    body = share(described(**({} if "no credentials" in what else keys))).body

    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=body, content_type="application/json")

    hub = TinyServer(answer)
    await hub.start()
    try:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1] if what == "the port is taken" else 0
            environment = GOOD | {
                "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}",
                "JUPYTERHUB_API_URL": f"http://127.0.0.1:{hub.port}/hub/api",
            }
            if what == "its key is missing":
                del environment["SCALABLEHUB_STATIC_ACCESS_KEY"]
            code, said = await run_service({} if what == "nothing is set" else environment)
    finally:
        await hub.stop()
    assert code == 2, said
    assert sentence in said.strip().splitlines()[-1]
    assert "Traceback" not in said
    assert "canary" not in said


async def test_a_token_without_its_role_is_told_in_the_services_own_words() -> None:
    refused = asyncio.Event()

    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        refused.set()
        return web.Response(status=403)

    hub = TinyServer(answer)
    await hub.start()
    environment = GOOD | {"JUPYTERHUB_API_URL": f"http://127.0.0.1:{hub.port}/hub/api"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scalablehub.services.credentials"),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[3]), **environment},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            await refused.wait()
            said = (await process.stderr.readline()).decode()
            process.terminate()
            await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await hub.stop()
    assert "service credentials, with the role scalablehub-credentials" in said
    assert "no keys are given until there is one" in said
    assert process.returncode == 0
