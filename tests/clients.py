"""Clients of buckets as people have them: how each writes and reads an object, as Python that runs anywhere.

They have their keys from the credential service, with the environment that the hub set and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Client:
    """Lines of Python that know ``bucket``, ``prefix``, ``endpoint``, and of an object ``key`` and ``value``.

    Attributes:
        setup: makes what the others use.
        write: writes the object.
        read: an expression that is what is in it.
        key_id: an expression that is the public half of the key in use, where the client tells.
    """

    setup: str
    write: str
    read: str
    key_id: str = "None"


S3 = {
    "boto3": Client(
        "import boto3; session = boto3.Session(); s3 = session.client('s3')",
        "s3.put_object(Bucket=bucket, Key=key, Body=value)",
        "s3.get_object(Bucket=bucket, Key=key)['Body'].read()",
        "session.get_credentials().get_frozen_credentials().access_key",
    ),
    "s3fs": Client(
        "import s3fs; files = s3fs.S3FileSystem(); files.pipe(f'{bucket}/{prefix}/s3fs', b''); "
        "assert f'{bucket}/{prefix}/s3fs' in files.ls(f'{bucket}/{prefix}')",
        "files.pipe(f'{bucket}/{key}', value)",
        "files.cat(f'{bucket}/{key}')",
    ),
    "obstore": Client(
        "from obstore.store import S3Store; store = S3Store(bucket)",
        "store.put(key, value)",
        "bytes(store.get(key).bytes())",
    ),
    "pyarrow": Client(
        # Takes no endpoint from the environment; the keys it does.
        "from pyarrow.fs import S3FileSystem; "
        "files = S3FileSystem(endpoint_override=os.environ['AWS_ENDPOINT_URL'])",
        "stream = files.open_output_stream(f'{bucket}/{key}'); stream.write(value); stream.close()",
        "files.open_input_stream(f'{bucket}/{key}').read()",
    ),
}
COMMAND_LINE = Client(
    "import subprocess",
    "subprocess.run([AWS, 's3', 'cp', '--quiet', '-', f's3://{bucket}/{key}'], input=value, check=True)",
    "subprocess.run([AWS, 's3', 'cp', f's3://{bucket}/{key}', '-'], stdout=-1, check=True).stdout",
)
"""Amazon's command line; ``AWS`` is its path."""

GOOGLE = {
    "gcsfs": Client(
        "import gcsfs; files = gcsfs.GCSFileSystem(endpoint_url=endpoint)",
        "files.pipe(f'{bucket}/{key}', value)",
        "files.cat(f'{bucket}/{key}')",
    ),
    "google-cloud-storage": Client(
        "from google.cloud import storage; "
        "files = storage.Client(client_options={'api_endpoint': endpoint}).bucket(bucket)",
        "files.blob(key).upload_from_string(value)",
        "files.blob(key).download_as_bytes()",
    ),
    "obstore-for-google": Client(
        "from obstore.store import GCSStore; store = GCSStore(bucket, config={'base_url': endpoint}, "
        "client_options={'allow_http': True})",
        "store.put(key, value)",
        "bytes(store.get(key).bytes())",
    ),
}
"""``endpoint`` is that of what stands in for Google's store."""

_FUNCTION = """
def {function}(endpoint=None):
    import os
    bucket, prefix = os.environ["{variable}"].partition("://")[2].split("/", 1)
    {setup}
    def turn(number):
        key, value = f"{prefix}/{function}-{os.getpid()}-{number % 5}", str(number).encode()
        {write}
        assert ({read}) == value, number
        return {key_id}
    return turn
"""
_GO_ON = """
def go_on(turn, seconds):
    import time
    end, turns, used = time.monotonic() + seconds, 0, set()
    while time.monotonic() < end:
        used.add(turn(turns))
        turns += 1
    return turns, len(used)
"""
# One thread imports what clients need, some of it in their first turn: modules that import each other, as
# urllib3's do, can lock each other out when several threads begin with different ones.
_AT_ONCE = """
def at_once(clients, seconds, endpoint):
    from concurrent.futures import ThreadPoolExecutor
    turns = {name: client(endpoint) for name, client in clients.items()}
    for turn in turns.values():
        turn(0)
    with ThreadPoolExecutor(len(turns)) as pool:
        running = {name: pool.submit(go_on, turn, seconds) for name, turn in turns.items()}
        return {name: each.result() for name, each in running.items()}
"""


def function(name: str, client: Client, variable: str = "SCRATCH_BUCKET") -> str:
    """Return a function that sets the client up and returns another: that writes, reads and tells the key.

    Args:
        name: of the client, from which that of the function is made.
        client: what it uses.
        variable: with the bucket's address.
    """
    words = {
        "function": _identifier(name),
        "variable": variable,
        "setup": client.setup,
        "write": client.write,
        "read": client.read,
        "key_id": client.key_id,
    }
    text = _FUNCTION
    for word, value in words.items():
        text = text.replace("{" + word + "}", value)
    return text


def script(name: str, client: Client, seconds: float, endpoint: str = "") -> str:
    """Return a program that is one client for so long, and prints its turns."""
    turn = f"{_identifier(name)}({endpoint!r})"
    return f"{function(name, client)}{_GO_ON}\nprint('turns', go_on({turn}, {seconds})[0])"


def clients_at_once(clients: Mapping[str, Client], variables: Mapping[str, str], aws: str = "aws") -> str:
    """Return the text of ``CLIENTS``, functions by name, and of ``at_once``, which runs them side by side.

    Args:
        clients: by name.
        variables: with the bucket's address, where it is not SCRATCH_BUCKET, by the names of clients.
        aws: path of Amazon's command line.
    """
    functions = "".join(
        function(name, client, variables.get(name, "SCRATCH_BUCKET")) for name, client in clients.items()
    )
    by_name = ", ".join(f"{name!r}: {_identifier(name)}" for name in clients)
    return f"AWS = {aws!r}\n{functions}\nCLIENTS = {{{by_name}}}\n{_GO_ON}{_AT_ONCE}"


def _identifier(name: str) -> str:
    return name.replace("-", "_").replace(" ", "_").lower() + "_client"
