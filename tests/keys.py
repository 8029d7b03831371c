"""Programs that use a bucket as people do, in a server and on Dask's workers; each says what it saw.

They have their keys from the credential service, with the environment that the hub set and nothing else.
"""

from __future__ import annotations

from tests.clients import COMMAND_LINE, GOOGLE, S3, clients_at_once

SAY = """
import json
def say(what):
    print(json.dumps(what))
"""
"""What the programs begin with where nothing else brings `say`."""

START = """
from dask_gateway import Gateway
with Gateway() as gateway:
    cluster = gateway.new_cluster(shutdown_on_close=False)
    cluster.scale(1)
    with cluster.get_client() as client:
        client.wait_for_workers(1, timeout=120)
    say(cluster.name)
    cluster.close(shutdown=False)
"""
STOP = """
from dask_gateway import Gateway
with Gateway() as gateway:
    for cluster in gateway.list_clusters():
        gateway.stop_cluster(cluster.name)
    say("stopped")
"""
TOKEN = """
import json, os
say(open(os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]).read())
"""
_ZARR = """
def zarr_of_both_versions():
    import os
    import numpy, xarray
    from obstore.store import S3Store
    from zarr.storage import ObjectStore
    place = os.environ["SCRATCH_BUCKET"]
    bucket, prefix = place.removeprefix("s3://").split("/", 1)
    data = xarray.Dataset({"t": (("x", "y"), numpy.arange(64.0).reshape(8, 8))})
    same = []
    for version in (2, 3):
        through = f"{place}/v{version}.zarr"
        data.to_zarr(through, zarr_format=version, mode="w", consolidated=version == 2)
        read = xarray.open_zarr(through, chunks=None, consolidated=version == 2)
        same.append(read.load().equals(data))
        store = ObjectStore(S3Store(bucket, prefix=f"{prefix}/o{version}.zarr"))
        data.to_zarr(store, zarr_format=version, mode="w", consolidated=version == 2)
        read = xarray.open_zarr(store, chunks=None, consolidated=version == 2)
        same.append(read.load().equals(data))
    return same
"""
ZARR = f"{_ZARR}\nsay(zarr_of_both_versions())"
KEY_SECONDS = 20
"""How long keys live, so that a renewal that a busy machine fails once is made again in time."""
SECONDS = 44
"""That each client goes on: over two ends of its keys."""
TURNS = dict.fromkeys((*S3, *GOOGLE), 6) | {"AWS CLI": 2}
"""The fewest that each has then."""
_WHOAMI = """
def whoami():
    import http.client, json, os, urllib.parse
    token = open(os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]).read()
    url = urllib.parse.urlsplit(os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"])
    connection = http.client.HTTPConnection(url.netloc, timeout=10)
    path = url.path.replace("aws/credentials", "whoami")
    connection.request("GET", path, headers={"Authorization": token})
    return json.loads(connection.getresponse().read())
"""
_ON_WORKERS = """
from dask_gateway import Gateway
with Gateway() as gateway:
    (report,) = gateway.list_clusters()
    with gateway.connect(report.name) as cluster, cluster.get_client() as client:
        say({
            "clients": client.submit(at_once, CLIENTS, SECONDS, ENDPOINT, pure=False).result(),
            "zarr": client.submit(zarr_of_both_versions, pure=False).result(),
            "worker": client.submit(whoami, pure=False).result(),
            "scheduler": client.run_on_scheduler(whoami),
            "cluster": report.name,
        })
"""


def _programs(endpoint: str, aws: str) -> str:
    clients = {**S3, **GOOGLE, "AWS CLI": COMMAND_LINE}
    text = clients_at_once(clients, dict.fromkeys(GOOGLE, "LAKE_BUCKET"), aws)
    return f"{text}\nSECONDS, ENDPOINT = {SECONDS}, {endpoint!r}\n"


def on_server(endpoint: str, aws: str = "aws") -> str:
    """Return a program that uses every client without a pause, and says turns and keys seen of each.

    Args:
        endpoint: of what stands in for Google's store.
        aws: path of Amazon's command line.
    """
    return f"{_programs(endpoint, aws)}\nsay(at_once(CLIENTS, SECONDS, ENDPOINT))"


def on_workers(endpoint: str, aws: str = "aws") -> str:
    """Return the same for a worker of the only cluster, which also says who it is and what Zarr did there."""
    return _programs(endpoint, aws) + _WHOAMI + _ZARR + _ON_WORKERS


FOREIGN = """
import json, sys
import botocore.session
s3 = botocore.session.get_session().create_client("s3")
def code(call, **arguments):
    try:
        call(**arguments)
    except s3.exceptions.ClientError as error:
        return error.response["Error"]["Code"]
    return "done"
key = "alice/private"
say([
    code(s3.get_object, Bucket="scratch", Key=key),
    code(s3.put_object, Bucket="scratch", Key=key, Body=b""),
    code(s3.delete_object, Bucket="scratch", Key=key),
    code(s3.list_objects_v2, Bucket="scratch", Prefix="alice/"),
    code(s3.list_objects_v2, Bucket="scratch"),
    code(s3.copy_object, Bucket="scratch", Key="bob/stolen", CopySource=f"scratch/{key}"),
    code(s3.put_object, Bucket="shared", Key="mine", Body=b""),
])
"""


WRITE = """
import json
import botocore.session
s3 = botocore.session.get_session().create_client("s3")
s3.put_object(Bucket="scratch", Key="alice/private", Body=b"private")
say("written")
"""
