"""scalablehub's cure of https://github.com/python/cpython/issues/148594 for Dask's TLS streams.

A write to a peer that is gone leaves an error in OpenSSL's queue, and Python takes it for one of the next,
healthy stream. Seen in Python 3.13.5 and 3.14.10; those before 3.12 leave nothing and are not touched.
Dask is handed this file as text: it stands alone, and has no braces or dollar signs that somebody may expand.
"""

import _ssl
import ctypes
import sys
from collections.abc import Callable
from typing import Any

from tornado.iostream import SSLIOStream

MARK = "scalablehub_clears_first"


def _clear_first(method: Callable[..., Any], clear: Callable[[], Any]) -> Callable[..., Any]:
    def cleared(*arguments: Any, **options: Any) -> Any:
        clear()
        return method(*arguments, **options)

    setattr(cleared, MARK, True)
    return cleared


def _cure() -> None:
    try:
        # Found through Python's own module, so that it is the library that the module itself has loaded.
        clear = ctypes.PyDLL(getattr(_ssl, "__file__", None)).ERR_clear_error
    except (OSError, AttributeError):
        return
    for name in ("read_from_fd", "write_to_fd", "_do_ssl_handshake"):
        method = getattr(SSLIOStream, name, None)
        if method is not None and not hasattr(method, MARK):
            setattr(SSLIOStream, name, _clear_first(method, clear))


if sys.version_info >= (3, 12):
    _cure()
