"""Read from a healthy TLS stream after another one broke; print what comes of it: ``hello`` or ``lost``.

``tls_streams.py injected|broken [CURE [MINOR]]``: the other stream's error is put into OpenSSL's queue, or
left there by a write to a peer that is gone; with the cure, as Dask loads it in Python 3.MINOR. It needs no
more than Dask, so that it runs in images too.
"""

from __future__ import annotations

import _ssl
import asyncio
import contextlib
import ctypes
import socket
import ssl
import sys

from distributed.preloading import process_preloads
from tornado.iostream import SSLIOStream

LIBRARY_SYSTEM, BROKEN_PIPE = 2, 32


def side(sock: socket.socket, *, server: bool) -> SSLIOStream:
    """Return one side of a connection; its ciphers need no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    if not server:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("aNULL:@SECLEVEL=0")
    sock.setblocking(False)
    return SSLIOStream(context.wrap_socket(sock, server_side=server, do_handshake_on_connect=False))


async def connect() -> tuple[SSLIOStream, SSLIOStream]:
    left, right = socket.socketpair()
    client, server = side(left, server=False), side(right, server=True)
    await asyncio.gather(client.wait_for_handshake(), server.wait_for_handshake())
    return client, server


def inject() -> None:
    openssl = ctypes.PyDLL(getattr(_ssl, "__file__", None))
    openssl.ERR_new()
    openssl.ERR_set_error(LIBRARY_SYSTEM, BROKEN_PIPE, None)


async def main(how: str) -> None:
    client, server = await connect()
    left, gone = await connect()
    gone.socket.close()
    if how == "injected":
        inject()
    else:
        with contextlib.suppress(OSError):
            left.socket.send(b"x")
    try:
        # Nothing is there to read yet, so Python asks OpenSSL what is wrong.
        reading = client.read_bytes(5)
        await server.write(b"hello")
        print((await reading).decode())
    except OSError:
        print("lost")
    finally:
        for stream in (client, server, left):
            stream.close()


if len(sys.argv) > 3:
    sys.version_info = (3, int(sys.argv[3]), 99)  # type: ignore[assignment]
if len(sys.argv) > 2:
    for _ in range(2):
        process_preloads(None, sys.argv[2], [])  # type: ignore[arg-type]
asyncio.run(main(sys.argv[1]))
