"""The service: who asks, what they may have, and keys for exactly that."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from scalablehub.decisions import Decision, User, decide
from scalablehub.description import Description
from scalablehub.errors import PublicError, shown
from scalablehub.services.credentials.backends import Backend, StoreError
from scalablehub.services.credentials.guarding import bearer_of, check_request, hosts_of
from scalablehub.services.credentials.identity import Identity, Person
from scalablehub.services.credentials.vending import Entry, Limits, Vendor
from scalablehub.storage.policy import policy_text

log = logging.getLogger(__name__)
audit = logging.getLogger("scalablehub.audit.credentials")
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Service:
    """The whole service: `start`, then `close`; in between it listens on loopback at `port`.

    Args:
        identity: who a bearer is.
        backend: where keys come from; the service starts and closes it.
        description: returns the hub's description as it is now; raises PublicError if none is known.
        endpoint: the store whose buckets the keys open; None is Amazon's own.
        host: address of loopback to listen at.
        port: 0 takes a free one.
        prefix: of all addresses; begins and ends with a slash.
        limits: times.
    """

    def __init__(
        self,
        identity: Identity,
        backend: Backend,
        description: Callable[[], Description],
        *,
        endpoint: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        prefix: str = "/",
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.port = port
        self.vendor = Vendor(backend, limits or Limits(), clock)
        self._identity = identity
        self._backend = backend
        self._description = description
        self._endpoint = endpoint
        self._host = host
        self._prefix = prefix
        self._limits = limits or Limits()
        self._clock = clock
        self._people: dict[Entry, dict[tuple[str, str], Person]] = {}
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen, and look after what was handed out; raises OSError when the address is taken."""
        await self._backend.start()
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
        self._hosts = hosts_of(self.port)
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Stop listening. Keys that are out live on."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        await self._runner.cleanup()
        await self.vendor.close()
        await self._backend.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except PublicError as error:
            log.info("%s %s: %s %s", request.method, shown(request.path), error.status, error.code)
            # Amazon's SDKs show the first two.
            body = {"code": error.code, "message": error.message}
            return _json(body, error.status)
        except Exception as error:  # the edge: no traceback to a person, no text of others in a log
            log.error("A request failed: %s", type(error).__name__)
            return _json({"code": "failed", "message": "Something failed here; try again in seconds."}, 500)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        check_request(request.headers, query, self._hosts)
        if request.method != "GET":
            raise PublicError("method-not-allowed", "This address takes GET.", 405)
        match path.removeprefix(self._prefix) if path.startswith(self._prefix) else None:
            case "health":
                return _json({"status": "ok"})
            case "aws/credentials":
                return await self._credentials(request)
            case "whoami":
                return await self._whoami(request)
        raise PublicError("not-found", "There is no such address here.", 404)

    async def _credentials(self, request: web.BaseRequest) -> web.Response:
        person = await self._identity.person(bearer_of(request.headers))
        decision, policy = self._policy(person)
        keys = await self.vendor.keys(person.name, policy)
        entry = self.vendor.entry(person.name, policy)
        known = self._people.setdefault(entry, {})
        claims = person.claims
        known[(claims.server, claims.cluster)] = person
        audit.info(
            "%s",
            json.dumps(
                {
                    "user": person.name,
                    "server": claims.server,
                    "cluster": claims.cluster,
                    "access_key": keys.access_key,
                    "buckets": {one["name"]: one["access"] for one in self._buckets(decision)},
                    "expires": _moment(keys.expires),
                },
            ),
        )
        return _json(
            {
                "AccessKeyId": keys.access_key,
                "SecretAccessKey": keys.secret_key,
                "Token": keys.token,
                "Expiration": _moment(keys.expires),
            }
        )

    async def _whoami(self, request: web.BaseRequest) -> web.Response:
        person = await self._identity.person(bearer_of(request.headers))
        decision = self._decide(person)
        return _json(
            {
                "user": person.name,
                "server": person.claims.server,
                "cluster": person.claims.cluster,
                "groups": sorted(person.groups),
                "token_expires": _moment(person.claims.expires),
                "buckets": self._buckets(decision),
            }
        )

    def _decide(self, person: Person) -> Decision:
        return decide(self._description(), User(person.name, person.groups))

    def _policy(self, person: Person) -> tuple[Decision, str]:
        decision = self._decide(person)
        return decision, policy_text(decision, self._endpoint, self._backend.limit)

    def _buckets(self, decision: Decision) -> list[dict[str, Any]]:
        return [
            {"name": one.name, "url": one.url, "access": "write" if one.writable else "read", "why": one.why}
            for one in decision.buckets
            if one.is_open and one.endpoint == self._endpoint
        ]

    async def _watch(self) -> None:
        """End keys whose owners may not have them any more, where the store can; delete what has expired."""
        while True:
            with suppress(StoreError):
                await self._backend.sweep(self._clock())
            for entry in self.vendor.entries:
                await self._recheck(entry)
            self.vendor.forget_expired()
            live = set(self.vendor.entries)
            self._people = {entry: known for entry, known in self._people.items() if entry in live}
            await asyncio.sleep(self._limits.recheck_seconds)

    async def _recheck(self, entry: Entry) -> None:
        people = self._people.get(entry, {})
        for which, person in list(people.items()):
            try:
                _, policy = self._policy(await self._identity.again(person))
            except PublicError as error:
                if error.status >= 500:
                    return  # Unknown is not gone.
            else:
                if self.vendor.entry(person.name, policy) == entry:
                    return
            people.pop(which, None)
        if people or entry not in self._people:
            return
        try:
            ended = await self.vendor.end(entry)
        except StoreError:
            # The next round tries again.
            return
        self._people.pop(entry, None)
        audit.info("%s", json.dumps({"user": entry.user, "ended": ended}))


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _json(body: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(
        status=status, body=json.dumps(body).encode(), content_type="application/json", headers=_HEADERS
    )
