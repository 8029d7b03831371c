from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scalablehub.errors import PublicError
from scalablehub.local.store import Store, make_buckets, store_command, store_environment, wait_until_ready
from scalablehub.storage.buckets import BucketAccess
from scalablehub.storage.environment import bucket_environment

SCRATCH = BucketAccess(
    name="scratch",
    variable="SCRATCH_BUCKET",
    url="s3://scratch/alice",
    endpoint="http://127.0.0.1:9000",
    region=None,
    writable=True,
    access_key="public half",
    secret_key="private half",
)
SHARED = replace(SCRATCH, name="shared", variable=None, url="s3://shared", writable=False)


REMOTE = ':s3,provider="Other",env_auth="true",endpoint="http://127.0.0.1:9000",region="us-east-1":'


def test_no_buckets_give_no_variables() -> None:
    assert bucket_environment([], "alice") == {}


def test_compatible_store_over_http() -> None:
    assert bucket_environment([SCRATCH, SHARED], "alice") == {
        "SCRATCH_BUCKET": "s3://scratch/alice",
        "PANGEO_SCRATCH": "s3://scratch/alice",
        "AWS_ACCESS_KEY_ID": "public half",
        "AWS_SECRET_ACCESS_KEY": "private half",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9000",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9000",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        "AWS_ALLOW_HTTP": "true",
        "AWS_S3_ENDPOINT": "127.0.0.1:9000",
        "AWS_HTTPS": "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
        "RCLONE_CONFIG_SCRATCH_TYPE": "alias",
        "RCLONE_CONFIG_SCRATCH_REMOTE": REMOTE + "scratch/alice",
        "RCLONE_CONFIG_SHARED_TYPE": "alias",
        "RCLONE_CONFIG_SHARED_REMOTE": REMOTE + "shared",
    }


def test_https_endpoint_does_not_allow_http() -> None:
    bucket = replace(SCRATCH, endpoint="https://store.example.org/")
    environment = bucket_environment([bucket], "alice")
    assert "AWS_ALLOW_HTTP" not in environment
    assert (environment["AWS_S3_ENDPOINT"], environment["AWS_HTTPS"]) == ("store.example.org", "YES")


def test_amazons_own_with_the_identity_of_the_pod() -> None:
    bucket = replace(SCRATCH, endpoint=None, region="eu-west-1", access_key=None, secret_key=None)
    assert bucket_environment([bucket], "alice") == {
        "SCRATCH_BUCKET": "s3://scratch/alice",
        "PANGEO_SCRATCH": "s3://scratch/alice",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "RCLONE_CONFIG_SCRATCH_TYPE": "alias",
        "RCLONE_CONFIG_SCRATCH_REMOTE": ':s3,provider="AWS",env_auth="true",region="eu-west-1":scratch/alice',
    }


@pytest.mark.parametrize(
    ("regions", "hub_region", "told"),
    [
        (("eu-west-1", "us-west-2"), "us-west-2", "us-west-2"),
        (("eu-west-1", "us-west-2"), "us-east-1", "eu-west-1"),
        (("eu-west-1", "us-west-2"), None, "eu-west-1"),
        ((None, "us-west-2"), None, "us-west-2"),
    ],
)
def test_of_amazons_regions_clients_are_told_the_hubs(
    regions: tuple[str | None, ...], hub_region: str | None, told: str
) -> None:
    own = replace(SCRATCH, endpoint=None, access_key=None, secret_key=None)
    buckets = [
        replace(own, name=f"b{number}", variable=None, region=region) for number, region in enumerate(regions)
    ]
    environment = bucket_environment(buckets, "alice", hub_region)
    assert environment["AWS_REGION"] == environment["AWS_DEFAULT_REGION"] == told
    assert f'region="{regions[1]}"' in environment["RCLONE_CONFIG_B1_REMOTE"]


def test_other_clouds_get_their_location_only() -> None:
    bucket = replace(SCRATCH, variable="MODELS", url="gs://models")
    assert bucket_environment([bucket], "alice") == {"MODELS": "gs://models"}


OPEN = replace(
    SCRATCH,
    name="open",
    variable="OPEN_BUCKET",
    url="s3://open-data/era5",
    endpoint=None,
    region="us-west-2",
    writable=False,
    access_key=None,
    secret_key=None,
    anonymous=True,
)


def test_what_anybody_may_read_may_be_elsewhere() -> None:
    found = bucket_environment([OPEN, SCRATCH], "alice")
    alone = bucket_environment([SCRATCH], "alice")
    assert found == alone | {
        "OPEN_BUCKET": "s3://open-data/era5",
        "RCLONE_CONFIG_OPEN_TYPE": "alias",
        "RCLONE_CONFIG_OPEN_REMOTE": (
            ':s3,provider="AWS",endpoint="https://s3.us-west-2.amazonaws.com",region="us-west-2":open-data/era5'
        ),
    }


def test_who_has_nothing_but_open_data_is_told_of_its_first_store() -> None:
    other = replace(OPEN, name="other", variable=None, endpoint="https://store.example.org", region=None)
    assert bucket_environment([OPEN, other], "alice")["AWS_REGION"] == "us-west-2"
    assert bucket_environment([other, OPEN], "alice")["AWS_ENDPOINT_URL"] == "https://store.example.org"


def test_azures_clients_are_told_the_account() -> None:
    bucket = replace(SCRATCH, name="ice", variable="ICE", url="az://ice/2026", account="icedata")
    assert bucket_environment([bucket], "alice") == {
        "ICE": "az://ice/2026",
        "AZURE_STORAGE_ACCOUNT_NAME": "icedata",
        "AZURE_STORAGE_ACCOUNT": "icedata",
        "RCLONE_CONFIG_ICE_TYPE": "alias",
        "RCLONE_CONFIG_ICE_REMOTE": ':azureblob,account="icedata",env_auth="true":ice/2026',
    }


def test_one_environment_has_one_account() -> None:
    first = replace(SCRATCH, variable=None, url="az://ice", account="icedata")
    with pytest.raises(PublicError, match="two storage accounts") as error:
        bucket_environment([first, replace(first, name="sea", account="seadata")], "alice")
    assert error.value.code == "bucket-stores-differ"
    assert bucket_environment([first, replace(first, name="sea")], "alice")


def test_own_pangeo_scratch_of_the_description_wins() -> None:
    other = replace(SCRATCH, name="other", variable="PANGEO_SCRATCH", url="s3://other")
    assert bucket_environment([SCRATCH, other], "alice")["PANGEO_SCRATCH"] == "s3://other"


@pytest.mark.parametrize(
    ("other", "code", "words"),
    [
        (replace(SHARED, endpoint="http://other"), "bucket-stores-differ", "differ in endpoint"),
        (replace(SHARED, endpoint=None), "bucket-stores-differ", "differ in endpoint"),
        (replace(SHARED, region="eu-west-1"), "bucket-stores-differ", "differ in region"),
        (replace(SHARED, secret_key="other"), "bucket-stores-differ", "differ in key"),
        (replace(SHARED, variable="SCRATCH_BUCKET"), "bucket-variable-taken", "both set 'SCRATCH_BUCKET'"),
    ],
    ids=["endpoint", "amazon beside another", "region", "key", "same variable"],
)
def test_buckets_that_one_environment_cannot_express_are_refused(
    other: BucketAccess, code: str, words: str
) -> None:
    with pytest.raises(PublicError, match=words) as error:
        bucket_environment([SCRATCH, other], "alice")
    assert error.value.code == code


def test_half_a_key_is_refused() -> None:
    with pytest.raises(PublicError) as error:
        bucket_environment([replace(SCRATCH, secret_key=None)], "alice")
    assert error.value.code == "bucket-key-incomplete"


def test_secret_is_in_no_message_and_no_repr() -> None:
    with pytest.raises(PublicError) as error:
        bucket_environment([SCRATCH, replace(SHARED, secret_key="other half")], "alice")
    assert "half" not in error.value.message + repr(SCRATCH).replace("public half", "")


# What a user's process does, with no configuration but the environment.
XARRAY_AND_S3FS = """
import os, s3fs, xarray as xr
address = os.environ["SCRATCH_BUCKET"] + "/x.zarr"
dataset = xr.Dataset({"x": ("t", [1.0, 2.0, 3.0])})
dataset.to_zarr(address, mode="w", zarr_format=3, consolidated=False)
dataset.to_zarr(address, mode="w", zarr_format=3, consolidated=False)
assert xr.open_zarr(address, consolidated=False).load().identical(dataset)
assert s3fs.S3FileSystem().ls("scratch/alice") == ["scratch/alice/x.zarr"]
"""
PARTS_WITH_S3FS = """
import s3fs
files = s3fs.S3FileSystem()
with files.open("scratch/alice/large", "wb", block_size=5 << 20) as file:
    file.write(bytes(11 << 20) + b"end")
with files.open("scratch/alice/large", "rb", block_size=5 << 20) as file:
    file.seek(11 << 20)
    assert file.read() == b"end"
"""
XARRAY_AND_OBSTORE = """
import os, xarray as xr
from obstore.store import from_url
from zarr.storage import ObjectStore
store = ObjectStore(from_url(os.environ["SCRATCH_BUCKET"] + "/x.zarr"))
dataset = xr.Dataset({"x": ("t", [1.0, 2.0, 3.0])})
dataset.to_zarr(store, mode="w", zarr_format=3, consolidated=False)
assert xr.open_zarr(store, consolidated=False).load().identical(dataset)
"""
PLAIN_OBSTORE = """
import obstore
from obstore.store import S3Store
store = S3Store("scratch")
obstore.put(store, "alice/large", bytes(11 << 20))
assert obstore.head(store, "alice/large")["size"] == 11 << 20
"""
BOTOCORE = """
import botocore.session
client = botocore.session.get_session().create_client("s3")
client.put_object(Bucket="scratch", Key="alice/x", Body=b"hello")
found = client.get_object(Bucket="scratch", Key="alice/x", Range="bytes=1-2")
assert found["Body"].read() == b"el"
client.close()
"""
GDAL = """
import numpy, obstore, rasterio
from obstore.store import S3Store
with rasterio.MemoryFile() as memory:
    image = {"driver": "GTiff", "height": 4, "width": 4, "count": 1, "dtype": "uint8", "crs": "EPSG:4326"}
    with memory.open(**image, transform=rasterio.Affine(1, 0, 0, 0, -1, 4)) as made:
        made.write(numpy.full((1, 4, 4), 7, "uint8"))
    obstore.put(S3Store("scratch"), "alice/x.tif", memory.read())
with rasterio.open("/vsis3/scratch/alice/x.tif") as found:
    assert found.read().sum() == 7 * 16
"""
RCLONE = """
import pathlib, subprocess
from scalablehub.local.store import rclone_path
def rclone(*arguments):
    command = [str(rclone_path()), "--config", "", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
pathlib.Path("here").write_text("hello")
rclone("copyto", "here", "scratch:there")
assert rclone("lsf", "scratch:") == "there\\n"
assert rclone("cat", "scratch:there") == "hello"
"""

AZURE = """
from datetime import timedelta
import obstore
from adlfs import AzureBlobFileSystem
from obstore.store import AzureStore
found = AzureBlobFileSystem(skip_instance_cache=True)
assert (found.account_name, found.anon) == ("icedata", False)
signed = obstore.sign(AzureStore("ice", account_key="a2V5"), "GET", "x", timedelta(hours=1))
assert signed.startswith("https://icedata.blob.core.windows.net/ice/x?"), signed
"""


def run(program: str, environment: dict[str, str], folder: Path) -> tuple[int, str, str]:
    """Return the end of a program that has these variables and a home, and nothing else."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**environment, "HOME": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    store = Store(port, "scalablehub", "mary+had/a=little", tmp_path / "buckets")
    make_buckets(store, ["scratch"])
    process = subprocess.Popen(store_command(store), env=store_environment(store, os.environ))
    try:
        asyncio.run(wait_until_ready(store, exited=lambda: process.poll() is not None))
        bucket = replace(
            SCRATCH, endpoint=store.endpoint, access_key=store.access_key, secret_key=store.secret_key
        )
        yield bucket_environment([bucket], "alice")
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.once
@pytest.mark.parametrize(
    "program",
    [XARRAY_AND_S3FS, PARTS_WITH_S3FS, XARRAY_AND_OBSTORE, PLAIN_OBSTORE, BOTOCORE, GDAL, RCLONE],
    ids=["xarray and s3fs", "parts with s3fs", "xarray and obstore", "obstore", "botocore", "GDAL", "rclone"],
)
def test_clients_need_nothing_but_the_environment(
    environment: dict[str, str], tmp_path: Path, program: str
) -> None:
    assert run(program, environment, tmp_path) == (0, "", "")


def test_azures_clients_need_nothing_but_the_environment(tmp_path: Path) -> None:
    bucket = replace(SCRATCH, variable=None, url="az://ice", account="icedata")
    assert run(AZURE, bucket_environment([bucket], "alice"), tmp_path) == (0, "", "")


# Each asks for an object that is not there; what it says of who pays is in the question.
ASK = {
    "s3fs": "import s3fs; s3fs.S3FileSystem().cat('lake/x')",
    "obstore": "from obstore.store import S3Store; S3Store('lake').get('x')",
    "GDAL": "import rasterio; rasterio.open('/vsis3/lake/x')",
    "rclone": "import subprocess; from scalablehub.local.store import rclone_path; "
    "subprocess.run([str(rclone_path()), '--retries', '1', '--config', '', 'cat', 'lake:x'], check=True)",
}


@pytest.mark.once
@pytest.mark.parametrize("pays", [True, False])
@pytest.mark.parametrize("client", ASK)
def test_clients_say_who_pays(client: str, pays: bool, tmp_path: Path) -> None:
    said = set()

    class Store(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said.add(self.headers["x-amz-request-payer"])
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Store) as server:
        threading.Thread(target=server.serve_forever).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        bucket = replace(SCRATCH, name="lake", url="s3://lake", endpoint=endpoint, requester_pays=pays)
        code, _, _ = run(ASK[client], bucket_environment([bucket], "alice"), tmp_path)
        server.shutdown()
    assert (code, said) == (1, {"requester" if pays else None})
