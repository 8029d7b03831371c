"""What people see and how they sign in: Tornado handlers with JupyterHub's own HubOAuth.

They listen on a Unix socket in a private folder; only the front of this process reaches them.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jupyterhub.services.auth import HubOAuth, HubOAuthCallbackHandler, HubOAuthenticated
from markupsafe import Markup
from tornado import httpserver, netutil, web

from scalablehub.errors import PublicError, shown
from scalablehub.services.dask_gateway.answers import PAGE_HEADERS, refusal_page, render
from scalablehub.services.dask_gateway.identity import Identities, Person
from scalablehub.services.dask_gateway.listing import Filter, choices, log_in_words, over, row, summary
from scalablehub.services.dask_gateway.refusals import Refusal, not_found
from scalablehub.services.dask_gateway.routing import is_cluster_name, safe_next
from scalablehub.services.dask_gateway.settings import Settings
from scalablehub.services.dask_gateway.upstream import Gateway

log = logging.getLogger(__name__)

COOKIE_DAYS = 31
# What somebody with more clusters than that looks for is on their dashboards.
_MOST_GLANCES = 20
_LIVE = (Path(__file__).parent / "templates" / "live.js").read_text(encoding="utf-8")
_LIVE_HASH = base64.b64encode(hashlib.sha256(_LIVE.encode()).digest()).decode()
_LIVE_POLICY = (
    f"{PAGE_HEADERS['Content-Security-Policy']}; script-src 'sha256-{_LIVE_HASH}'; connect-src 'self'"
)
# The smallest transparent GIF.
PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")


def new_hub_auth(settings: Settings) -> HubOAuth:
    """Return JupyterHub's OAuth client for this service."""
    return HubOAuth(
        base_url=settings.prefix,
        api_url=settings.api_url,
        api_token=settings.api_token,
        hub_prefix=settings.hub_prefix,
        hub_host=settings.hub_host,
        oauth_client_id=settings.client_id,
        oauth_redirect_uri=settings.callback_url,
        access_scopes=set(settings.access_scopes),
        cache_max_age=max(1, int(settings.limits.freshness_seconds)),
    )


def cookie_secret(settings: Settings) -> bytes:
    """Return the key that signs our cookies: it outlives a restart, and changes with our token."""
    return hashlib.sha256(b"scalablehub dask-gateway cookies\0" + settings.api_token.encode()).digest()


class Shared:
    """What every handler needs."""

    def __init__(
        self, settings: Settings, hub_auth: HubOAuth, identities: Identities, gateway: Gateway
    ) -> None:
        self.settings = settings
        self.hub_auth = hub_auth
        self.identities = identities
        self.gateway = gateway


class Page(HubOAuthenticated, web.RequestHandler):  # type: ignore[misc]
    """A page for a person who is signed in, or who is on the way to be."""

    token = ""
    person: Person | None = None

    def initialize(self, shared: Shared) -> None:
        """Take what all handlers share."""
        self.shared = shared
        self.hub_auth = shared.hub_auth

    def set_default_headers(self) -> None:
        """Set the headers of every page of ours."""
        for name, value in PAGE_HEADERS.items():
            self.set_header(name, value)

    def get_current_user(self) -> Person | None:
        """Return whom `identify` found: JupyterHub's own would stop the whole loop while it asks the hub."""
        return self.person

    async def identify(self, *, now: bool) -> Person | None:
        """Return the visitor, None if they must sign in; raises the 403 and 503 refusals."""
        cookie = self.get_signed_cookie(self.hub_auth.cookie_name, max_age_days=COOKIE_DAYS)
        if not cookie:
            return None
        self.token = cookie.decode("ascii", "replace")
        try:
            self.person = await self.shared.identities.member(self.token, now=now)
        except Refusal as refusal:
            if refusal.status == 401:
                return None
            raise
        return self.person

    def sign_in(self) -> None:
        """Send the visitor to the hub, to come back to this very address."""
        self.redirect(self.get_login_url())

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write the page for an error: our own sentence, never the framework's."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if not isinstance(error, PublicError):
            error = PublicError("failed", _sentence(status_code), status_code)
        self.set_status(error.status)
        for name, value in getattr(error, "headers", {}).items():
            self.set_header(name, value)
        self.finish(refusal_page(error, self.shared.settings.prefix))

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Answer with an error page, under the status of the refusal if there is one."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        super().send_error(error.status if isinstance(error, PublicError) else status_code, **kwargs)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log one line, without the query: it carries OAuth codes."""
        path = shown(self.request.path)
        if isinstance(value, PublicError):
            log.info("%s %s: %s %s", self.request.method, path, value.status, value.code)
        elif isinstance(value, web.HTTPError):
            log.info("%s %s: %s", self.request.method, path, value.status_code)
        else:
            log.error("%s %s failed", self.request.method, path, exc_info=(typ, value, tb))


def _sentence(status: int) -> str:
    if status == 403:
        return "This form or sign-in is too old. Go back, reload the page and try again."
    if status == 400:
        return "The sign-in did not complete. Open the page again."
    if status in (404, 405):
        return "There is nothing here."
    return "Something failed here. Try again in a few seconds; if it lasts, tell the people who run this hub."


class MyClusters(Page):
    """The visitor's own clusters, and for an admin everybody's numbers."""

    async def get(self) -> None:
        """Show them."""
        person = await self.identify(now=False)
        if person is None:
            self.sign_in()
            return
        await self.show(person.name)

    async def show(self, name: str, told: str = "") -> None:
        """Show the clusters, and what came of what was asked for."""
        prefix, gateway = self.shared.settings.prefix, self.shared.gateway
        everybody = self.get_query_argument("everybody", "") == "1"
        filter = Filter(self.get_query_argument("user", ""), self.get_query_argument("group", ""))
        stock = await gateway.api("GET", "/api/v1/clusters/", self.token) or {}
        found = await _details(gateway, self.token, everybody=everybody)
        everybody, currency = bool(found.get("everybody")), str(found.get("currency", ""))
        every = list(found.get("clusters", ()))
        details = {str(cluster.get("name")): cluster for cluster in every}
        counts = await asyncio.gather(*(gateway.counts(name) for name in list(stock)[:_MOST_GLANCES]))
        glances = dict(zip(stock, counts, strict=False))
        mine = [
            row(cluster, prefix, details.get(name, {}), currency, glances.get(name))
            for name, cluster in stock.items()
        ]
        looked_at = [cluster for cluster in every if everybody and filter.takes(cluster)]
        others = [row(it, prefix, it, currency) for it in looked_at if it.get("name") not in stock]
        page = prefix
        if everybody:
            asked = {"everybody": "1", "user": filter.user, "group": filter.group}
            page += "?" + urlencode({name: value for name, value in asked.items() if value})
        self.set_header("Content-Security-Policy", _LIVE_POLICY)
        self.finish(
            render(
                "clusters.html",
                name=name,
                told=told,
                clusters=mine,
                others=others,
                ended=[over(cluster) for cluster in found.get("ended", ())],
                admin=bool(found.get("admin")),
                everybody=everybody,
                filter=filter,
                choices=choices(every),
                summary=summary(looked_at, currency),
                here=prefix,
                page=page,
                script=Markup(_LIVE),  # noqa: S704 - a file of ours
                logs=f"{prefix}logs" if found else "",
                stop=f"{prefix}stop",
                scale=f"{prefix}scale",
                xsrf=Markup(self.xsrf_form_html()),  # noqa: S704 - Tornado's own form field
            )
        )

    async def head(self) -> None:
        """Answer like get."""
        await self.get()


class Logs(Page):
    """What the scheduler and the workers of one of the visitor's own clusters wrote."""

    async def get(self) -> None:
        """Show it."""
        if await self.identify(now=False) is None:
            self.sign_in()
            return
        name = self.get_query_argument("cluster", "")
        if not is_cluster_name(name):
            raise not_found()
        found = await self.shared.gateway.api("GET", f"/api/scalablehub/clusters/{name}/logs", self.token)
        logs = found.get("logs", ()) if isinstance(found, Mapping) else ()
        here = f"{self.shared.settings.prefix}logs?{urlencode({'cluster': name})}"
        self.finish(render("logs.html", name=name, logs=[log_in_words(log) for log in logs], here=here))

    async def head(self) -> None:
        """Answer like get."""
        await self.get()


class StopCluster(Page):
    """The Stop button's target; Tornado has checked its XSRF field by the time we are called."""

    async def post(self) -> None:
        """Stop one of the visitor's clusters, or as an admin anybody's, and show what is left."""
        name = self.get_body_argument("cluster", "")
        if await self.identify(now=True) is None:
            self.redirect(self.shared.settings.prefix, status=303)
            return
        if not is_cluster_name(name):
            raise not_found()
        gateway = self.shared.gateway
        if await gateway.owns(self.token, name, now=True):
            await gateway.api("DELETE", f"/api/v1/clusters/{name}", self.token)
            self.redirect(self.shared.settings.prefix, status=303)
            return
        # Whether they are an admin is the gateway's to say.
        await gateway.api("DELETE", f"/api/scalablehub/clusters/{name}", self.token)
        self.redirect(f"{self.shared.settings.prefix}?everybody=1", status=303)


class ScaleCluster(MyClusters):
    """The Scale button's target."""

    async def post(self) -> None:
        """Ask for another number of workers, and show the clusters with what is said to it."""
        name, count = self.get_body_argument("cluster", ""), self.get_body_argument("count", "")
        person = await self.identify(now=True)
        if person is None:
            self.redirect(self.shared.settings.prefix, status=303)
            return
        if not is_cluster_name(name) or not await self.shared.gateway.owns(self.token, name, now=True):
            raise not_found()
        if not (count.isascii() and count.isdecimal() and len(count) <= 6):
            raise Refusal("bad-count", "Write how many workers there should be, such as 4.", 400)
        answer = await self.shared.gateway.api(
            "POST", f"/api/v1/clusters/{name}/scale", self.token, json.dumps({"count": int(count)}).encode()
        )
        said = (answer or {}).get("msg") or f"The cluster was asked to have {int(count)} workers."
        await self.show(person.name, str(said))


class SignIn(Page):
    """Sign in, then go to `next`; without one, a single pixel, so that another page can embed this."""

    async def get(self) -> None:
        """Do it."""
        target = self.get_query_argument("next", "")
        goal = safe_next(target, self.shared.settings.prefix) if target else None
        if target and goal is None:
            raise Refusal("bad-next", "This sign-in link leads somewhere else. Open the page itself.", 400)
        if await self.identify(now=False) is None:
            self.sign_in()
        elif goal is not None:
            self.redirect(goal)
        else:
            self.set_header("Content-Type", "image/gif")
            self.finish(PIXEL)

    async def head(self) -> None:
        """Answer like get."""
        await self.get()


class Callback(Page, HubOAuthCallbackHandler):  # type: ignore[misc]
    """The end of the sign-in, JupyterHub's as it is."""

    async def prepare(self) -> None:
        """Find out who is already signed in before JupyterHub's handler asks."""
        with contextlib.suppress(Refusal):
            await self.identify(now=True)


async def _details(gateway: Gateway, token: str, *, everybody: bool) -> Mapping[str, Any]:
    """Return what our own backend tells beyond dask-gateway's API; nothing of another one."""
    path = f"/api/scalablehub/clusters{'?everybody=1' if everybody else ''}"
    try:
        found = await gateway.api("GET", path, token)
    except Refusal as refusal:
        if refusal.status == 404:
            return {}
        raise
    return found if isinstance(found, Mapping) and isinstance(found.get("clusters"), list) else {}


class Pages:
    """The Tornado server of the pages, at `path`, a socket that only this user can reach."""

    def __init__(self, shared: Shared) -> None:
        prefix = shared.settings.prefix
        given = {"shared": shared}
        application = web.Application(
            [
                (prefix, MyClusters, given),
                (f"{prefix}logs", Logs, given),
                (f"{prefix}stop", StopCluster, given),
                (f"{prefix}scale", ScaleCluster, given),
                (f"{prefix}sign-in", SignIn, given),
                (f"{prefix}oauth_callback", Callback, given),
            ],
            cookie_secret=cookie_secret(shared.settings),
            xsrf_cookies=True,
            xsrf_cookie_kwargs={"httponly": True, "samesite": "Lax"},
            default_handler_class=Page,
            default_handler_args=given,
            log_function=lambda handler: None,
        )
        # Its addresses are the caller's as the proxy in front of us tells them.
        self._server = httpserver.HTTPServer(application, xheaders=True, max_buffer_size=1024 * 1024)
        self._folder = tempfile.TemporaryDirectory(prefix="scalablehub-")
        self.path = str(Path(self._folder.name) / "pages")

    def start(self) -> None:
        """Listen; call it with the event loop running."""
        self._server.add_socket(netutil.bind_unix_socket(self.path, mode=0o600))

    async def close(self) -> None:
        """Stop listening, end what is open and remove the socket."""
        self._server.stop()
        await self._server.close_all_connections()
        self._folder.cleanup()
