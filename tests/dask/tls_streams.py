"""Read from a TLS stream while OpenSSL's queue has another one's error; print what comes of it.

``python -m tests.dask.tls_streams [MINOR]``: with the cure, as Dask loads it in Python 3.MINOR.
"""

from __future__ import annotations

import _ssl
import asyncio
import ctypes
import socket
import ssl
import sys

from distributed.preloading import process_preloads
from tornado.iostream import SSLIOStream

from scalablehub.dask.tls import cure

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


async def main() -> None:
    left, right = socket.socketpair()
    client, server = side(left, server=False), side(right, server=True)
    await asyncio.gather(client.wait_for_handshake(), server.wait_for_handshake())
    openssl = ctypes.PyDLL(getattr(_ssl, "__file__", None))
    openssl.ERR_new()
    openssl.ERR_set_error(LIBRARY_SYSTEM, BROKEN_PIPE, None)
    try:
        # Nothing is there to read yet, so Python asks OpenSSL what is wrong.
        reading = client.read_bytes(5)
        await server.write(b"hello")
        print((await reading).decode())
    except OSError:
        print("lost")
    finally:
        client.close()
        server.close()


if len(sys.argv) > 1:
    sys.version_info = (3, int(sys.argv[1]), 99)  # type: ignore[assignment]
    for _ in range(2):
        process_preloads(None, cure(), [])  # type: ignore[arg-type]
asyncio.run(main())
