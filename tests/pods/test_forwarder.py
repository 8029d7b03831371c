"""The forwarder as a pod runs it: its text in a Python of its own, before a small server for the service."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from scalablehub.pods import forwarder
from scalablehub.services.credentials import guarding
from tests.services.dask_gateway.conftest import TinyServer
from tests.stack import free_port

OWN = "canary-the-pods-own"
GOOGLE = {"Metadata-Flavor": "Google"}
Sent = dict[str, str]


class Pod:
    """A forwarder, the service that it leads to, and what that was asked."""

    def __init__(self, folder: Path, client: aiohttp.ClientSession) -> None:
        self.asked: list[tuple[str, Sent]] = []
        self.service = TinyServer(self.answer)
        self.token_file = folder / "token"
        self.token_file.write_text(OWN)
        self.port = free_port()
        self.client = client
        self.address = ""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append((request.raw_path, dict(request.headers)))
        return web.json_response({"keys": "some"}, status=200, headers={"X-Secret": "canary"} | GOOGLE)

    async def start(self) -> None:
        await self.service.start()
        self.address = self.address or f"http://127.0.0.1:{self.service.port}/prefix/"
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-c", Path(forwarder.__file__).read_text()),
            *(str(self.port), self.address, str(self.token_file)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    return

    async def end(self) -> bytes:
        """End it as Kubernetes does, and return what it said."""
        self.process.terminate()
        said, _ = await asyncio.wait_for(self.process.communicate(), 10)
        await self.service.stop()
        return said

    async def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str, Sent]:
        url = f"http://127.0.0.1:{self.port}{path}"
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.request(method, url, headers=sent) as answer:
            return answer.status, await answer.text(), dict(answer.headers)


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Pod]:
    async with aiohttp.ClientSession() as client:
        made = Pod(tmp_path, client)
        await made.start()
        yield made
        assert await made.end() == b"", "it says nothing of what people ask"
        assert made.process.returncode == 0


async def test_a_question_is_passed_on_with_its_token_and_nothing_else(pod: Pod) -> None:
    status, body, headers = await pod.ask("/aws/credentials", Authorization="mine", X_Other="other")
    assert (status, body) == (200, '{"keys": "some"}')
    ((path, sent),) = pod.asked
    assert path == "/prefix/aws/credentials"
    assert sent["Authorization"] == "mine"
    assert "X-Other" not in sent
    assert (headers["Cache-Control"], "X-Secret" in headers) == ("no-store", False)


async def test_for_google_the_pods_own_token_is_added(pod: Pod) -> None:
    path = "/gce/computeMetadata/v1/instance/service-accounts/default/token?scopes=a,b"
    status, _, headers = await pod.ask(path, Authorization="another", **{"Metadata_Flavor": "Google"})
    assert (status, headers["Metadata-Flavor"]) == (200, "Google")
    ((asked, sent),) = pod.asked
    assert asked == f"/prefix{path}"
    assert (sent["Authorization"], sent["Metadata-Flavor"]) == (OWN, "Google")


async def test_a_renewed_token_is_read_again(pod: Pod) -> None:
    pod.token_file.write_text("canary-next")
    await pod.ask("/gce/", **GOOGLE)
    assert pod.asked[-1][1]["Authorization"] == "canary-next"


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("/aws/credentials", {}, 401, "token-missing"),
        ("/aws/credentials", {"Authorization": "a", "Host": "evil.example"}, 403, "host-refused"),
        ("/aws/credentials", {"Authorization": "a", "Host": "127.0.0.1"}, 403, "host-refused"),
        ("/aws/credentials", {"Authorization": "a", "Origin": "null"}, 403, "not-a-client"),
        ("/aws/credentials", {"Authorization": "a", "Referer": "http://x"}, 403, "not-a-client"),
        ("/aws/credentials", {"Authorization": "a", "Cookie": "a=b"}, 403, "not-a-client"),
        ("/aws/credentials", {"Authorization": "a", "Via": "1.1 x"}, 403, "not-a-client"),
        ("/aws/credentials", {"Authorization": "a", "Forwarded": "for=x"}, 403, "not-a-client"),
        ("/aws/credentials", {"Authorization": "a", "X-Forwarded-Proto": "https"}, 403, "not-a-client"),
        ("/aws/credentials", {"Authorization": "a", "Sec-Fetch-Site": "none"}, 403, "not-a-client"),
        ("/aws/credentials", {"Authorization": "a", "Content-Length": "0"}, 400, "body-refused"),
        ("/aws/credentials?x=1", {"Authorization": "a"}, 404, "not-found"),
        ("/health", {"Authorization": "a"}, 404, "not-found"),
        ("/gce/token", {}, 403, "flavor-missing"),
        ("/gce/token", {"Metadata-Flavor": "google"}, 403, "flavor-missing"),
        ("/gce/token", {"Metadata-Flavor": "Google", "X-Forwarded-For": "1.2.3.4"}, 403, "not-a-client"),
    ],
    ids=str,
)
async def test_what_no_client_sends_is_refused_and_asked_of_nobody(
    pod: Pod, path: str, headers: Sent, status: int, code: str
) -> None:
    got, body, _ = await pod.ask(path, **headers)
    assert (got, code in body, pod.asked) == (status, True, [])


@pytest.mark.parametrize("raw", [b"GET /gce/../aws/credentials HTTP/1.1\r\nMetadata-Flavor: Google\r\n", b""])
async def test_what_is_no_request_ends_its_own_connection_only(pod: Pod, raw: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", pod.port)
    writer.write((raw or b"\x16\x03\x01\x02\x00garbage\r\n") + f"Host: 127.0.0.1:{pod.port}\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(100), 10)
    writer.close()
    assert b" 200 " not in answer
    assert pod.asked == []
    assert (await pod.ask("/whoami", Authorization="mine"))[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
async def test_only_questions_are_taken(pod: Pod, method: str) -> None:
    status, _, _ = await pod.ask("/aws/credentials", method, Authorization="mine")
    assert (status >= 400, pod.asked) == (True, [])


async def test_without_the_pods_token_google_is_told_to_try_again(pod: Pod) -> None:
    pod.token_file.unlink()
    status, body, _ = await pod.ask("/gce/", **GOOGLE)
    assert (status, "token-unread" in body) == (503, True)


async def test_a_service_that_is_away_is_a_sentence_in_time(pod: Pod) -> None:
    await pod.service.stop()
    began = asyncio.get_running_loop().time()
    status, body, _ = await pod.ask("/whoami", Authorization="mine")
    assert (status, "service-away" in body) == (503, True)
    assert asyncio.get_running_loop().time() - began < 2.5
    await pod.service.start()


def test_it_refuses_what_the_service_refuses() -> None:
    """It stands alone, so it has the list once more."""
    assert set(forwarder.FOREIGN) == set(guarding.FOREIGN)
    assert set(forwarder.FOREIGN_BEGINNINGS) == set(guarding.FOREIGN_BEGINNINGS)


def test_its_text_passes_through_kubernetes_and_dask() -> None:
    """Kubernetes reads $(NAME) as a variable, and what is not ASCII depends on the image's locale."""
    text = Path(forwarder.__file__).read_text()
    assert text.isascii()
    assert "$(" not in text
