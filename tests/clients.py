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
def {function}(seconds, endpoint=None):
    import os, time
    bucket, prefix = os.environ["{variable}"].partition("://")[2].split("/", 1)
    {setup}
    end, turns, used = time.monotonic() + seconds, 0, set()
    while time.monotonic() < end:
        key, value = f"{prefix}/{function}-{os.getpid()}-{turns % 5}", str(turns).encode()
        {write}
        assert ({read}) == value, turns
        used.add({key_id})
        turns += 1
    return turns, len(used)
"""
_AT_ONCE = """
def at_once(loops, seconds, endpoint):
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(len(loops)) as pool:
        running = {name: pool.submit(loop, seconds, endpoint) for name, loop in loops.items()}
        return {name: each.result() for name, each in running.items()}
"""


def function(name: str, client: Client, variable: str = "SCRATCH_BUCKET") -> str:
    """Return a function that writes and reads without a pause, and tells its turns and how many keys it saw.

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
    return f"{function(name, client)}\nprint('turns', {_identifier(name)}({seconds}, {endpoint!r})[0])"


def loops(clients: Mapping[str, Client], variables: Mapping[str, str], aws: str = "aws") -> str:
    """Return the text of ``LOOPS``, functions by the names of clients, and of ``at_once``, which runs them.

    Args:
        clients: by name.
        variables: with the bucket's address, where it is not SCRATCH_BUCKET, by the names of clients.
        aws: path of Amazon's command line.
    """
    functions = "".join(
        function(name, client, variables.get(name, "SCRATCH_BUCKET")) for name, client in clients.items()
    )
    by_name = ", ".join(f"{name!r}: {_identifier(name)}" for name in clients)
    return f"AWS = {aws!r}\n{functions}\nLOOPS = {{{by_name}}}\n{_AT_ONCE}"


def _identifier(name: str) -> str:
    return name.replace("-", "_").replace(" ", "_").lower() + "_loop"
