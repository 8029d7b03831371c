"""Where a secret could be seen by somebody who has no business with it: pages, metrics and processes."""

from __future__ import annotations

import psutil

from tests.stack import signed_in

PAGES = (
    "hub/home",
    "hub/spawn/alice/another",
    "hub/token",
    "services/dask-gateway/",
    "hub/api/user",
)
"""What Alice opens, below the hub's base URL."""
ADMINS_PAGES = (
    "hub/admin",
    "hub/api/users?include_stopped_servers=1",
    "hub/api/services",
    "hub/metrics",
    "hub/scalablehub/see-as?user=alice",
)


def pages(url: str, alices_password: str, admins_password: str) -> str:
    """Return what the pages say that Alice and an admin may open; each of them has to be there.

    Args:
        url: of the hub, with a slash at its end.
        alices_password: Alice's.
        admins_password: that of ``admin``.
    """
    texts = []
    for name, password, paths in (
        ("alice", alices_password, PAGES),
        ("admin", admins_password, ADMINS_PAGES),
    ):
        browser = signed_in(url, name, password)
        for path in paths:
            with browser.open(url + path, timeout=60) as answer:
                assert answer.status == 200, path
                assert "/hub/login" not in answer.url, path
                texts.append(answer.read().decode())
    return "\n".join(texts)


def seen_in(text: str, secrets: set[str]) -> list[str]:
    """Return the beginnings of those secrets that are in a text."""
    return [secret[:12] for secret in secrets if secret in text]


def command_lines() -> str:
    """Return the command lines of every process of this machine, as anybody on it sees them."""
    found = []
    for process in psutil.process_iter():
        try:
            found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return "\n".join(found)
