"""What our processes owe to the one that started them: they end when it ends."""

from __future__ import annotations

import ctypes
import os
import signal as signals
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(signal: int = signals.SIGTERM, parent: int | None = None) -> None:
    """Have the kernel send this process `signal` when its parent ends; does nothing off Linux.

    Give `parent`, the pid of the expected parent, to close the race in which that parent ended before this
    call: the signal is then sent at once. The kernel watches the parent's *thread* that started us.

    Raises OSError when the kernel refuses.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), signal)
