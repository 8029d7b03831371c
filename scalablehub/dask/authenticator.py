"""Who asks dask-gateway's server for something: the hub is asked every time.

This runs inside dask-gateway's server: https://gateway.dask.org/authentication.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
from aiohttp import web
from dask_gateway_server.auth import JupyterHubAuthenticator
from dask_gateway_server.models import User
from traitlets import Float, default

_SERVICE = "dask-gateway"
_SCHEME = "jupyterhub"
# What tokens are made of; anything else could not be sent to the hub in a header.
_TOKEN = re.compile(r"[\x21-\x7e]{1,1024}")
_MOST_BYTES = 1_048_576
_SERVER_SCOPE = "access:servers!server="

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HubUser(User):  # type: ignore[misc]
    """A user as the hub knows them.

    Attributes:
        server: name of the server whose token it is, from the token's own scopes; "" is the default server,
            None is a token that belongs to no server.
    """

    def __init__(self, name: str, groups: tuple[str, ...], admin: bool, server: str | None) -> None:
        super().__init__(name, groups=groups, admin=admin)
        self.server = server


class ScalableHubAuthenticator(JupyterHubAuthenticator):  # type: ignore[misc]
    """dask-gateway's JupyterHubAuthenticator, strict.

    * Only tokens with the access scope of the service get in.
    * A token that is missing, malformed or unknown is answered 401; a hub that cannot be asked is no answer
      about the token, and 503.
    * The hub is asked every time, and no cookie is set, read or kept: what is revoked ends at once.
    """

    session: aiohttp.ClientSession

    hub_timeout = Float(10, min=0.1, help="Seconds to wait for the hub's answer.").tag(config=True)

    @default("jupyterhub_service_name")
    def _default_jupyterhub_service_name(self) -> str:
        return super()._default_jupyterhub_service_name() or _SERVICE

    @default("cache_max_age")
    def _default_cache_max_age(self) -> int:
        return 0

    async def setup(self, app: web.Application) -> None:
        """Open the connection to the hub, and refuse malformed headers before dask-gateway reads them."""
        await super().setup(app)
        await self.session.close()
        self.session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=self.hub_timeout)
        )
        app.middlewares.append(refuse_malformed)

    async def authenticate_and_handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer the request as the user that its token belongs to."""
        request["user"] = await self.authenticate(request)
        return await handler(request)

    async def authenticate(self, request: web.Request) -> HubUser:
        """Return whose the request's token is.

        Raises:
            aiohttp.web.HTTPException: 401 for every token that is not good for clusters, 503 if the hub
                cannot be asked.
        """
        model = await self._ask(_token(request.headers))
        user = _user(model)
        if user is None:
            self.log.error("The hub's answer about a token is not one of JupyterHub's")
            raise _unavailable()
        needed = {"access:services", f"access:services!service={self.jupyterhub_service_name}"}
        if not needed.intersection(model["scopes"]):
            self.log.info("%s may not use %s", user.name, self.jupyterhub_service_name)
            raise unauthorized(
                f"This token may not use Dask clusters: it lacks the access scope of the service "
                f"{self.jupyterhub_service_name}."
            )
        return user

    async def _ask(self, token: str) -> dict[str, Any]:
        url = f"{self.jupyterhub_api_url.rstrip('/')}/user"
        headers = {"Authorization": f"token {token}"}
        try:
            async with self.session.get(
                url, headers=headers, allow_redirects=False, ssl=self.ssl_context or True
            ) as response:
                status, body = response.status, await response.content.read(_MOST_BYTES)
                while status == 200 and not response.content.at_eof() and len(body) < _MOST_BYTES:
                    body += await response.content.read(_MOST_BYTES)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.log.warning("The hub does not answer: %s", str(error)[:200] or type(error).__name__)
            raise _unavailable() from None
        if status in (401, 403, 404):
            raise unauthorized("The hub does not accept this token: it may be revoked or expired.")
        if status != 200:
            self.log.warning("The hub answered %s when asked about a token", status)
            raise _unavailable()
        try:
            model = json.loads(body)
        except ValueError:
            model = None
        return model if isinstance(model, dict) else {}


def unauthorized(sentence: str) -> web.HTTPUnauthorized:
    """Return the refusal of a token; dask-gateway's client then sends one, if it has not yet."""
    return web.HTTPUnauthorized(headers={"WWW-Authenticate": _SCHEME}, reason=sentence)


@web.middleware
async def refuse_malformed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 401 to an Authorization header without two parts, which dask-gateway cannot split."""
    header = request.headers.get("Authorization")
    if header is not None and len(header.split(" ", 1)) < 2:
        return web.json_response(
            {"error": "The header Authorization must have two parts: 'jupyterhub' and your hub token."},
            status=401,
            headers={"WWW-Authenticate": _SCHEME},
        )
    return await handler(request)


def _token(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() != _SCHEME or not _TOKEN.fullmatch(token):
        raise unauthorized("Send your hub token as 'Authorization: jupyterhub <your token>'.")
    return token


def _user(model: Mapping[str, Any]) -> HubUser | None:
    """Return the user in the hub's answer, or None if it is none of JupyterHub's."""
    name, scopes, groups = model.get("name"), model.get("scopes"), model.get("groups", [])
    if not isinstance(name, str) or not name or not isinstance(scopes, list) or not isinstance(groups, list):
        return None
    if model.get("kind") != "user" or name.startswith(("service:", "user:")):
        # A service is nobody's namesake; every other user has the hub's own name for them.
        return HubUser(f"{model.get('kind')}:{name}", tuple(map(str, groups)), False, None)
    return HubUser(name, tuple(map(str, groups)), bool(model.get("admin")), _server(name, scopes))


def _server(name: str, scopes: list[Any]) -> str | None:
    """Return the one server of the user that the scopes give access to."""
    prefix = f"{_SERVER_SCOPE}{name}/"
    servers = {scope.removeprefix(prefix) for scope in map(str, scopes) if scope.startswith(prefix)}
    return servers.pop() if len(servers) == 1 else None


def _unavailable() -> web.HTTPServiceUnavailable:
    return web.HTTPServiceUnavailable(
        headers={"Retry-After": "5"},
        reason="The hub cannot be asked who you are just now. Try again in a few seconds.",
    )
