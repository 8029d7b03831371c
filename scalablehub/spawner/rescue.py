"""The command of a server that looks at the home first: one that is full does not lock its user out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

SCRIPT_FILE = Path(__file__).with_name("rescue.sh")
"""What starts a server, in rescue mode where its user's home takes no files; it says itself how it works."""

_SHELL = "/bin/sh"


def rescuing(command: Sequence[str]) -> list[str]:
    """Return the command of a server on this machine, with the look at the home before it.

    Args:
        command: a program and its arguments, or nothing.

    Returns:
        A command that becomes the one that was given: the same process, arguments, signals and exit code.
        Nothing for nothing, and a command that looks already as it is.
    """
    if not command or list(command[:2]) == [_SHELL, str(SCRIPT_FILE)]:
        return list(command)
    return [_SHELL, str(SCRIPT_FILE), *command]


def rescuing_in_pod(command: Sequence[str]) -> list[str]:
    """Return the command of a server in a pod, as `rescuing` does; it carries the script along.

    The image needs nothing but ``/bin/sh``. Kubernetes reads ``$$`` in a command as an escaped ``$``, and
    ``$(NAME)`` as a variable where there is one of that name.
    """
    script = SCRIPT_FILE.read_text().replace("$", "$$")
    start = [_SHELL, "-c", script, "rescue"]
    if not command or list(command[:4]) == start:
        return list(command)
    return [*start, *command]
