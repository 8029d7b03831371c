"""Programs that use a bucket as people do, in a server and on Dask's workers; each says what it saw.

They have their keys from the credential service, with the environment that the hub set and nothing else.
"""

from __future__ import annotations

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
    cluster.scale(2)
    with cluster.get_client() as client:
        client.wait_for_workers(2, timeout=120)
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
# Each writes and reads without a pause for so many seconds, and counts the keys that it was given.
LOOP = """
def loop(client, seconds):
    import os, time
    place = os.environ["SCRATCH_BUCKET"].removeprefix("s3://")
    bucket, prefix = place.split("/", 1)
    used = set()
    if client == "s3fs":
        import s3fs
        files = s3fs.S3FileSystem()
        def write(key, value): files.pipe(f"{bucket}/{key}", value)
        def read(key): return files.cat(f"{bucket}/{key}")
    elif client == "obstore":
        from obstore.store import S3Store
        store = S3Store(bucket)
        def write(key, value): store.put(key, value)
        def read(key): return bytes(store.get(key).bytes())
    else:
        import botocore.session
        session = botocore.session.get_session()
        s3 = session.create_client("s3")
        def write(key, value):
            s3.put_object(Bucket=bucket, Key=key, Body=value)
            used.add(session.get_credentials().get_frozen_credentials().access_key)
        def read(key): return s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    end, turns = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        key, value = f"{prefix}/{client}-{os.getpid()}-{turns % 5}", str(turns).encode()
        write(key, value)
        assert read(key) == value, turns
        turns += 1
    return [turns, len(used)]
"""
ON_SERVER = (
    LOOP
    + """
import json
from concurrent.futures import ProcessPoolExecutor
import multiprocessing
clients = ["s3fs", "obstore", "botocore"]
with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("fork")) as pool:
    say(dict(zip(clients, pool.map(loop, clients, [26] * 3))))
"""
)
ON_WORKERS = (
    LOOP
    + """
import json
from dask_gateway import Gateway
def whoami():
    import http.client, json, os, urllib.parse
    token = open(os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]).read()
    url = urllib.parse.urlsplit(os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"])
    connection = http.client.HTTPConnection(url.netloc, timeout=10)
    path = url.path.replace("aws/credentials", "whoami")
    connection.request("GET", path, headers={"Authorization": token})
    return json.loads(connection.getresponse().read())
with Gateway() as gateway:
    (report,) = gateway.list_clusters()
    with gateway.connect(report.name) as cluster, cluster.get_client() as client:
        clients = ["s3fs", "obstore"]
        running = client.map(loop, clients, [26] * 2, pure=False)
        say({
            "loops": dict(zip(clients, client.gather(running))),
            "worker": client.submit(whoami, pure=False).result(),
            "scheduler": client.run_on_scheduler(whoami),
            "cluster": report.name,
        })
"""
)
ZARR = """
import json, os
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
    same.append(xarray.open_zarr(through, chunks=None, consolidated=version == 2).load().equals(data))
    store = ObjectStore(S3Store(bucket, prefix=f"{prefix}/o{version}.zarr"))
    data.to_zarr(store, zarr_format=version, mode="w", consolidated=version == 2)
    same.append(xarray.open_zarr(store, chunks=None, consolidated=version == 2).load().equals(data))
say(same)
"""
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
