"""Errors whose words a person may read: each says what is wrong and what to do, and holds no secret."""

from __future__ import annotations


class PublicError(Exception):
    """An error for people.

    Attributes:
        code: stable, machine-readable name, such as ``"size-unknown"``.
        message: what is wrong and what to do; never a secret, a traceback or unbounded input.
        status: the HTTP status that goes with it.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def words_of(error: BaseException, limit: int = 200) -> str:
    """Return what an exception says as one short line for a log.

    Not its repr: that of an HTTP client's error has the request's headers, with the token in them.
    """
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def shown(value: object, limit: int = 80) -> str:
    """Return what a person sent as one short quoted line, so that it can stand in a message or a log."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
