"""The service: who asks, what they may have, and keys for exactly that."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from aiohttp import web

from scalablehub.decisions import Decision, User, decide
from scalablehub.description import Description
from scalablehub.errors import PublicError, shown
from scalablehub.services.credentials import metadata
from scalablehub.services.credentials.backends import Keys
from scalablehub.services.credentials.desk import Desk, moment
from scalablehub.services.credentials.guarding import bearer_of, check_request, hosts_of
from scalablehub.services.credentials.hub_users import unknown
from scalablehub.services.credentials.identity import Identity, Person
from scalablehub.services.credentials.vending import Limits

log = logging.getLogger(__name__)
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Service:
    """The whole service: `start`, then `close`; in between it listens at `port`.

    Args:
        identity: who a bearer is.
        description: returns the hub's description as it is now; raises PublicError if none is known.
        s3: gives keys for S3, if the hub has them.
        google: gives tokens for Google's buckets, if the hub has them, with the project that clients name.
        host: address to listen at.
        port: 0 takes a free one.
        prefix: of all addresses; begins and ends with a slash.
        on_loopback: whether clients come to it themselves, under a name of loopback; else the forwarder
            beside them does, which sees to that.
        recheck_seconds: between two looks at who has keys.
    """

    def __init__(
        self,
        identity: Identity,
        description: Callable[[], Description],
        *,
        s3: Desk | None = None,
        google: tuple[Desk, str] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        prefix: str = "/",
        on_loopback: bool = True,
        recheck_seconds: float = Limits.recheck_seconds,
    ) -> None:
        self.port = port
        self._identity = identity
        self._description = description
        self._s3 = s3
        self._google = google
        self._desks = [desk for desk in (s3, google and google[0]) if desk is not None]
        self._host = host
        self._prefix = prefix
        self._on_loopback = on_loopback
        self._recheck_seconds = recheck_seconds
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen, and look after what was handed out; raises OSError when the address is taken."""
        for desk in self._desks:
            await desk.start()
        server = web.Server(
            self._handle, access_log=None, max_line_size=8190, max_field_size=8190, handler_cancellation=True
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=1)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self.port, backlog=1024).start()
        except OSError:
            await self.close()
            raise
        address: Any = self._runner.addresses[0]
        self.port = address[1]
        self._hosts = hosts_of(self.port) if self._on_loopback else None
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Stop listening. Keys that are out live on."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        await self._runner.cleanup()
        for desk in self._desks:
            await desk.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except PublicError as error:
            log.info("%s %s: %s %s", request.method, self._shown(request), error.status, error.code)
            # Amazon's SDKs show the first two.
            body = {"code": error.code, "message": error.message}
            return _json(body, error.status)
        except Exception as error:  # the edge: no traceback to a person, no text of others in a log
            log.error("A request failed: %s", type(error).__name__)
            return _json({"code": "failed", "message": "Something failed here; try again in seconds."}, 500)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        asked = path.removeprefix(self._prefix) if path.startswith(self._prefix) else ""
        to_google, _, below = asked.partition("/")
        is_google = self._google is not None and to_google == metadata.PREFIX
        check_request(request.headers, "" if is_google else query, self._hosts)
        if request.method != "GET":
            raise PublicError("method-not-allowed", "This address takes GET.", 405)
        if self._google is not None and is_google:
            metadata.check_flavor(request.headers)
            return await self._metadata(request, below, *self._google)
        match asked:
            case "health":
                return _json({"status": "ok"})
            case "aws/credentials" if self._s3 is not None:
                return await self._credentials(request, self._s3)
            case "whoami":
                return await self._whoami(request)
        raise PublicError("not-found", "There is no such address here.", 404)

    async def _credentials(self, request: web.BaseRequest, desk: Desk) -> web.Response:
        keys = await self._give(bearer_of(request.headers), desk)
        return _json(
            {
                "AccessKeyId": keys.access_key,
                "SecretAccessKey": keys.secret_key,
                "Token": keys.token,
                "Expiration": moment(keys.expires),
            }
        )

    async def _metadata(self, request: web.BaseRequest, path: str, desk: Desk, project: str) -> web.Response:
        """Answer as Google's metadata server does."""
        question = metadata.question_of(path)
        if question.path is None:
            return web.Response(headers=_HEADERS | metadata.FLAVOR)
        bearer = question.token or bearer_of(request.headers)
        if metadata.asks_for_token(question.path):
            keys = await self._give(bearer, desk)
            body = metadata.token_body(keys.token, int(keys.expires - time.time()))
            return _json(body, headers=metadata.FLAVOR)
        await self._person(bearer)
        kind, text = metadata.facts(question.path, project)
        return web.Response(text=text, content_type=kind, headers=_HEADERS | metadata.FLAVOR)

    def _shown(self, request: web.BaseRequest) -> str:
        """Return an address for the log; one of Google's may hold a token."""
        asked = request.path.removeprefix(self._prefix)
        return metadata.PREFIX if asked.startswith(metadata.PREFIX) else shown(request.path)

    async def _whoami(self, request: web.BaseRequest) -> web.Response:
        person = await self._person(bearer_of(request.headers))
        decision = self._decide(person)
        return _json(
            {
                "user": person.name,
                "server": person.server,
                "cluster": person.cluster,
                "groups": sorted(person.groups),
                "token_expires": moment(person.expires),
                "buckets": [bucket for desk in self._desks for bucket in desk.buckets(decision)],
            }
        )

    async def _give(self, bearer: str, desk: Desk) -> Keys:
        """Return keys for who asks, before clients give up."""
        clock = asyncio.get_running_loop().time
        until = clock() + Limits.answer_seconds
        person = await self._person(bearer)
        return await desk.give(person, self._decide(person), until - clock())

    async def _person(self, bearer: str) -> Person:
        """Return who asks, before clients give up."""
        try:
            async with asyncio.timeout(Limits.answer_seconds):
                return await self._identity.person(bearer)
        except TimeoutError:
            raise unknown() from None

    def _decide(self, person: Person) -> Decision:
        return decide(self._description(), User(person.name, person.groups))

    async def _watch(self) -> None:
        while True:
            for desk in self._desks:
                try:
                    await desk.recheck(self._identity, self._decide)
                except Exception as error:  # whatever it was, keys of those who leave have to end
                    log.error("Who has keys could not be looked at: %s; again soon", type(error).__name__)
            await asyncio.sleep(self._recheck_seconds)


def _json(
    body: dict[str, Any], status: int = 200, headers: Mapping[str, str] = MappingProxyType({})
) -> web.Response:
    return web.Response(
        status=status,
        body=json.dumps(body).encode(),
        content_type="application/json",
        headers={**_HEADERS, **headers},
    )
