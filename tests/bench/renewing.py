"""The credential service with keys that obstore renews every few seconds: `python -m tests.bench.renewing`.

obstore asks for others when less than 300 s are left, and these live 304.
"""

from __future__ import annotations

import sys

from scalablehub.services.credentials import __main__ as service
from scalablehub.services.credentials.vending import Limits


def _short(_lifetime_seconds: int) -> Limits:
    return Limits(lifetime_seconds=304, keep_seconds=303, jitter_seconds=0)


if __name__ == "__main__":
    Limits.of = _short  # type: ignore[method-assign, assignment]
    sys.exit(service.main())
