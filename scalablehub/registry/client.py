"""What registries say about an image, asked over their HTTP API."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import socket
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
from yarl import URL

from scalablehub.errors import PublicError, shown
from scalablehub.registry.addresses import Addresses, PrivateAddressError
from scalablehub.registry.reference import ImageReference, is_digest, is_host, is_tag

_INDEXES = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)
_MANIFESTS = frozenset(
    {
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    }
)
_ACCEPT = ", ".join(sorted(_INDEXES | _MANIFESTS))
_MOST_BYTES = 4 * 2**20
_MOST_TAGS = 1000
_MOST_HOPS = 3
_NEAR_TAGS_SECONDS = 2.0
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_PLATFORM_PART = re.compile(r"[a-z0-9._-]{1,20}")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class Credential:
    """A user of a registry."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class FoundImage:
    """An image that a registry has.

    Attributes:
        reference: what was asked for.
        digest: of what the reference stands for now, whichever platform pulls it.
        size_bytes: of the download for the platform that was asked about, compressed.
        platforms: that it is there for, such as ``linux/amd64``.
    """

    reference: ImageReference
    digest: str
    size_bytes: int
    platforms: tuple[str, ...]

    @property
    def pinned(self) -> str:
        """The name by which exactly this image is pulled; the tag stays for people to read."""
        return str(self.reference.pinned(self.digest))


class Registries:
    """A client of every registry.

    Credentials are sent to the registry that they are for, and to the token server that it names; nothing is
    sent over plain HTTP but to hosts that the admin calls insecure. A registry on a public address sends the
    hub to no private one.

    Args:
        credentials: by registry, such as ``quay.io``, or by the beginning of an image's name, such as
            ``quay.io/lab``; the longest that fits is sent.
        insecure: hosts, with their ports, that are asked over plain HTTP.
        ssl_context: for registries whose certificates are the admin's own.
        timeout_seconds: for one whole question.
    """

    def __init__(
        self,
        credentials: Mapping[str, Credential] | None = None,
        *,
        insecure: Collection[str] = (),
        ssl_context: ssl.SSLContext | None = None,
        timeout_seconds: float = 8,
    ) -> None:
        self._credentials = dict(credentials or {})
        self._insecure = frozenset(insecure)
        self._ssl = ssl_context or True
        self._timeout_seconds = timeout_seconds

    async def find(self, reference: ImageReference, platform: str = "linux/amd64") -> FoundImage:
        """Return the image as its registry has it.

        Raises:
            PublicError: with status 400, it is not there, not for this platform or not to be read; with
                status 503, the registry does not answer as it should, so that nothing is known.
        """
        addresses = Addresses(reference.host, trusted=self._insecure)
        connector = aiohttp.TCPConnector(resolver=addresses, ssl=self._ssl)
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),
                aiohttp.ClientSession(
                    connector=connector,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    trust_env=False,
                    # A short body could unpack to one that fills the hub's memory.
                    auto_decompress=False,
                    headers={"Accept-Encoding": "identity"},
                ) as session,
            ):
                return await _Question(self, session, addresses, reference, platform).answer()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unanswered(reference, error) from None
        finally:
            await addresses.close()

    def base(self, host: str) -> str:
        """Return the URL that a registry's API begins with."""
        return f"{'http' if host in self._insecure else 'https'}://{host}"

    def credential(self, reference: ImageReference) -> Credential | None:
        """Return who we are to the image's registry."""
        parts = reference.repository.split("/")
        for host in dict.fromkeys((reference.registry, reference.host)):
            for count in range(len(parts), -1, -1):
                credential = self._credentials.get("/".join((host, *parts[:count])))
                if credential is not None:
                    return credential
        return None

    def allows(self, url: str) -> bool:
        """Return whether a URL that a registry names may be asked, by what is written in it."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        # Without a name and password, which a host's name never has.
        return (
            _PRINTABLE.fullmatch(url) is not None
            and is_host(parts.netloc)
            and (parts.scheme == "https" or (parts.scheme == "http" and parts.netloc in self._insecure))
        )


class _Question:
    """One question about one image."""

    def __init__(
        self,
        registries: Registries,
        session: aiohttp.ClientSession,
        addresses: Addresses,
        reference: ImageReference,
        platform: str,
    ) -> None:
        self._registries = registries
        self._session = session
        self._addresses = addresses
        self._reference = reference
        self._platform = platform
        self._authorization: str | None = None

    async def answer(self) -> FoundImage:
        body, kind, digest = await self._manifest(self._reference.asked)
        model = self._json(body)
        kind = str(model.get("mediaType") or kind)
        if kind in _INDEXES:
            return await self._of_index(model, digest)
        if kind not in _MANIFESTS:
            raise _odd(self._reference, f"it is a {shown(kind)}, not an image")
        config = self._json(await self._blob(_part(model.get("config"), self._reference)))
        platform = _platform(config)
        if platform is None:
            raise PublicError("image-unfit", f"{self._reference} is not a container image.")
        if platform != self._platform:
            raise self._absent_platform((platform,))
        return FoundImage(self._reference, digest, _size(model, self._reference), (platform,))

    async def _of_index(self, index: dict[str, Any], digest: str) -> FoundImage:
        by_platform: dict[str, dict[str, Any]] = {}
        for entry in _list(index.get("manifests")):
            platform = _platform(entry.get("platform")) if isinstance(entry, dict) else None
            # Without a platform it is no image, but says something of one.
            if platform is not None:
                by_platform.setdefault(platform, entry)
        entry = by_platform.get(self._platform)
        if entry is None:
            raise self._absent_platform(tuple(by_platform))
        body, _, _ = await self._manifest(_part(entry, self._reference))
        size = _size(self._json(body), self._reference)
        return FoundImage(self._reference, digest, size, tuple(sorted(by_platform)))

    async def _manifest(self, asked: str) -> tuple[bytes, str, str]:
        """Return a manifest's bytes, media type and digest, which has to be the one that was asked for."""
        status, headers, body = await self._get(f"manifests/{asked}", Accept=_ACCEPT)
        if status == 404:
            raise await self._absent()
        self._require_answer(status, headers)
        digest = headers.get("Docker-Content-Digest", "")
        if is_digest(asked) or not is_digest(digest):
            digest = asked if is_digest(asked) else f"sha256:{hashlib.sha256(body).hexdigest()}"
        self._require_digest(body, digest)
        return body, headers.get("Content-Type", "").partition(";")[0].strip(), digest

    async def _blob(self, digest: str) -> bytes:
        status, headers, body = await self._get(f"blobs/{digest}")
        self._require_answer(status, headers)
        self._require_digest(body, digest)
        return body

    def _require_digest(self, body: bytes, digest: str) -> None:
        kind, _, expected = digest.partition(":")
        if hashlib.new(kind, body).hexdigest() != expected:
            raise _odd(self._reference, "its content is not what its digest says")

    async def _absent(self) -> PublicError:
        """Return the error for an image that is not there, with tags that are nearly what was asked for."""
        where = f"{self._reference.registry}/{self._reference.repository}"
        tags: list[str] | None = None
        try:
            # That it is not there is known already: tags that are near are worth no error and no long wait.
            async with asyncio.timeout(_NEAR_TAGS_SECONDS):
                status, _, body = await self._get(f"tags/list?n={_MOST_TAGS}")
            if status == 200:
                tags = [tag for tag in _list(self._json(body).get("tags"))[:_MOST_TAGS] if is_tag(tag)]
            elif status == 404:
                tags = []
        except (PublicError, aiohttp.ClientError, TimeoutError, OSError):
            pass
        if not tags:
            what = where if tags is not None else str(self._reference)
            return PublicError("image-absent", f"There is no image {what} that this hub can see.")
        near = get_close_matches(self._reference.tag or "", tags, n=3, cutoff=0.4)
        hint = f"; there is {' and '.join(near)}" if near else ""
        return PublicError("image-absent", f"{where} has no {shown(self._reference.asked)}{hint}.")

    async def _get(self, path: str, **headers: str) -> tuple[int, Mapping[str, str], bytes]:
        """Return (status, headers, body) below the repository, signed in if the registry asks for it."""
        url = f"{self._registries.base(self._reference.host)}/v2/{self._reference.repository}/{path}"
        status, answered, body = await self._ask(url, self._authorization, headers)
        if status == 401 and self._authorization is None:
            self._authorization = await self._sign_in(answered.get("WWW-Authenticate", ""))
            status, answered, body = await self._ask(url, self._authorization, headers)
        for _ in range(_MOST_HOPS):
            if status not in _REDIRECTS or not path.startswith("blobs/"):
                break
            # Registries keep blobs elsewhere; whoever that is gets no credential of ours.
            url = _joined(url, answered.get("Location", ""))
            if not self._may_follow(url):
                raise _odd(self._reference, "it is kept where this hub does not ask")
            status, answered, body = await self._ask(url, None, {})
        return status, answered, body

    async def _ask(
        self, url: str, authorization: str | None, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        sent = dict(headers) | ({"Authorization": authorization} if authorization else {})
        # As it is written: signatures of addresses break when they are written in another way.
        async with self._session.get(URL(url, encoded=True), headers=sent, allow_redirects=False) as response:
            body = b""
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > _MOST_BYTES:
                    raise _odd(self._reference, "its description is too long")
            return response.status, response.headers, body

    def _may_follow(self, url: str) -> bool:
        return self._registries.allows(url) and self._addresses.allow(urlsplit(url).hostname or "")

    async def _sign_in(self, challenge: str) -> str:
        """Return the header Authorization for a registry's challenge.

        https://distribution.github.io/distribution/spec/auth/token/
        """
        credential = self._registries.credential(self._reference)
        basic = _basic(credential) if credential is not None else None
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic" and basic is not None:
            return basic
        asked = dict(_CHALLENGE.findall(rest))
        realm = asked.get("realm", "")
        if scheme.lower() != "bearer" or not realm:
            raise self._forbidden()
        if not self._may_follow(realm):
            raise _odd(self._reference, "it asks for a sign-in where this hub does not")
        query = {"scope": f"repository:{self._reference.repository}:pull"}
        if "service" in asked:
            query["service"] = asked["service"]
        url = f"{realm}{'&' if '?' in realm else '?'}{_encoded(query)}"
        status, headers, body = await self._ask(url, basic, {})
        if status in (400, 401, 403):
            raise self._forbidden()
        self._require_answer(status, headers)
        model = self._json(body)
        token = model.get("token") or model.get("access_token")
        if not isinstance(token, str) or not _PRINTABLE.fullmatch(token):
            raise _odd(self._reference, "its sign-in gives no token")
        return f"Bearer {token}"

    def _require_answer(self, status: int, headers: Mapping[str, str]) -> None:
        if status == 200:
            return
        if status in (401, 403):
            raise self._forbidden()
        if status == 404:
            raise _odd(self._reference, "a part of it is missing")
        if status == 429:
            when = headers.get("Retry-After", "")
            later = f"in {when} seconds" if re.fullmatch(r"[0-9]{1,5}", when) else "later"
            raise _away(self._reference, f"it has been asked too often; try again {later}")
        raise _away(self._reference, f"it answers {status}")

    def _forbidden(self) -> PublicError:
        known = self._registries.credential(self._reference) is not None
        how = (
            "the hub's credential for it does not open this image"
            if known
            else "it is private, or not there; the hub has no credential for it"
        )
        return PublicError(
            "image-forbidden",
            f"{self._reference.registry} does not show {self._reference.repository}: {how}.",
        )

    def _absent_platform(self, platforms: tuple[str, ...]) -> PublicError:
        there = " and ".join(sorted(platforms)[:8]) or "no platform"
        return PublicError(
            "image-platform", f"{self._reference} is for {there}; this hub needs {self._platform}."
        )

    def _json(self, body: bytes) -> dict[str, Any]:
        try:
            model = json.loads(body)
        except (ValueError, RecursionError):
            model = None
        if not isinstance(model, dict):
            raise _odd(self._reference, "the answer is not one of a registry")
        return model


def read_docker_config(path: Path) -> dict[str, Credential]:
    """Return the credentials in a ``config.json`` of Docker, Podman or a pull secret, by what they are for.

    Programs that keep credentials elsewhere (``credsStore``, ``credHelpers``) are not asked. Their entries
    are left out, and so are those with an ``identitytoken``.

    Raises:
        PublicError: the file cannot be read, or is none.
    """
    try:
        auths = json.loads(path.read_text(encoding="utf-8"))["auths"]
        given = {_registry(key): _credential(entry) for key, entry in auths.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "not a Docker config.json"
        raise PublicError("registry-credentials", f"{path}: {why}; it needs 'auths'.", 500) from None
    return {key: credential for key, credential in given.items() if credential is not None}


def _credential(entry: Mapping[str, str]) -> Credential | None:
    if entry.get("identitytoken"):
        return None
    if entry.get("auth") and not entry.get("username"):
        username, _, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
        return Credential(username, password)
    if entry.get("username"):
        return Credential(entry["username"], entry["password"])
    return None


def _registry(key: str) -> str:
    """Return what a key such as ``https://index.docker.io/v1/`` or ``quay.io/lab`` is for."""
    parts = urlsplit(key if "//" in key else f"//{key}")
    host = "docker.io" if parts.netloc == "index.docker.io" else parts.netloc
    path = parts.path.strip("/")
    return host if path in ("", "v1", "v2") else f"{host}/{path}"


def _basic(credential: Credential) -> str:
    both = base64.b64encode(f"{credential.username}:{credential.password}".encode())
    return f"Basic {both.decode()}"


def _encoded(query: Mapping[str, str]) -> str:
    return "&".join(f"{key}={_quoted(value)}" for key, value in query.items())


def _quoted(value: str) -> str:
    return re.sub(
        r"[^A-Za-z0-9._~:/-]", lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), value
    )


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        return ""


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _platform(model: object) -> str | None:
    """Return what an image is for, such as ``linux/arm64``; None if that is not said."""
    if not isinstance(model, dict):
        return None
    parts = [model.get("os"), model.get("architecture")]
    if model.get("architecture") == "arm" and model.get("variant"):
        parts.append(model["variant"])
    if any(not isinstance(part, str) or not _PLATFORM_PART.fullmatch(part) for part in parts):
        return None
    return None if "unknown" in parts else "/".join(map(str, parts))


def _part(entry: object, reference: ImageReference) -> str:
    digest = entry.get("digest") if isinstance(entry, dict) else None
    if not is_digest(digest):
        raise _odd(reference, "a part of it has no digest")
    return str(digest)


def _size(manifest: Mapping[str, Any], reference: ImageReference) -> int:
    parts = [manifest.get("config"), *_list(manifest.get("layers"))]
    sizes = [part.get("size") if isinstance(part, dict) else None for part in parts]
    if not all(type(size) is int and size >= 0 for size in sizes):
        raise _odd(reference, "its parts have no sizes")
    return sum(size for size in sizes if size)


def _unanswered(reference: ImageReference, error: Exception) -> PublicError:
    """Return why there was no answer, without the addresses and ports that the machine's own words have."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        if isinstance(error.os_error, PrivateAddressError):
            return _odd(reference, "it sends this hub to an address that is not public")
        if error.os_error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)):
            return PublicError("registry-unknown", f"There is no registry {reference.registry}.")
        return _away(reference, "its name cannot be looked up at the moment")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _away(reference, "its certificate is not one that this hub trusts")
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return _away(reference, "it does not speak HTTPS")
    if isinstance(error, aiohttp.ClientConnectorError):
        return _away(reference, "it cannot be reached")
    if isinstance(error, TimeoutError):
        return _away(reference, "it does not answer in time")
    return _away(reference, "its answer breaks off or is not one of HTTP")


def _away(reference: ImageReference, why: str) -> PublicError:
    return PublicError("registry-away", f"{reference.registry} cannot be asked about images: {why}.", 503)


def _odd(reference: ImageReference, why: str) -> PublicError:
    return PublicError("registry-odd", f"{reference.registry} has {reference}, but {why}.", 503)
