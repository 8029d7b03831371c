"""Names of container images, as container runtimes read them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from scalablehub.errors import PublicError, shown

_DOCKER_HUB = "docker.io"
_DOCKER_HUB_NAMES = frozenset({_DOCKER_HUB, "index.docker.io"})
_MOST_NAME = 255
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*(?::([0-9]{{1,5}}))?")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


def is_host(text: str) -> bool:
    """Return whether a text is the name or IPv4 address of a host, with or without a port."""
    match = _HOST.fullmatch(text)
    return match is not None and len(text) <= _MOST_NAME and 0 < int(match[1] or 443) < 2**16


def is_digest(text: object) -> bool:
    """Return whether something is a digest of a kind that is held against the content."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def is_tag(text: object) -> bool:
    """Return whether something could be the tag of an image."""
    return isinstance(text, str) and _TAG.fullmatch(text) is not None


@dataclass(frozen=True)
class ImageReference:
    """The whole name of a container image.

    Attributes:
        registry: host of the registry, with its port if it has one, such as ``quay.io``.
        repository: path in the registry, such as ``pangeo/base-notebook``.
        tag: such as ``2026.1``; None where only a digest is given.
        digest: such as ``sha256:…``; None is whatever the tag is at the moment.
    """

    registry: str
    repository: str
    tag: str | None
    digest: str | None

    @property
    def host(self) -> str:
        """The host that answers for the registry."""
        return "registry-1.docker.io" if self.registry == _DOCKER_HUB else self.registry

    @property
    def asked(self) -> str:
        """What a registry is asked for: the digest, or the tag."""
        return self.digest or self.tag or "latest"

    def pinned(self, digest: str) -> ImageReference:
        """Return the same name with a digest; runtimes then leave the tag to people."""
        return replace(self, digest=digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.registry}/{self.repository}{tag}{f'@{self.digest}' if self.digest else ''}"


def parse_reference(text: str) -> ImageReference:
    """Return the image that a name stands for; without a registry it is Docker Hub's, without a tag 'latest'.

    Raises:
        PublicError: it is not the name of a container image.
    """
    name, at, digest = text.partition("@")
    if at and not is_digest(digest):
        raise _malformed(text)
    head, colon, tag = name.rpartition(":")
    if colon and "/" not in tag:
        if not is_tag(tag):
            raise _malformed(text)
        name = head
    else:
        tag = ""
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, repository = first, rest
    else:
        registry, repository = _DOCKER_HUB, name
    if registry in _DOCKER_HUB_NAMES:
        registry, repository = _DOCKER_HUB, repository if "/" in repository else f"library/{repository}"
    if (
        not is_host(registry)
        or not _PATH.fullmatch(repository)
        or len(registry) + len(repository) + 1 > _MOST_NAME
    ):
        raise _malformed(text)
    return ImageReference(registry, repository, tag or (None if digest else "latest"), digest or None)


def _malformed(text: str) -> PublicError:
    return PublicError(
        "image-malformed",
        f"{shown(text)} is not the name of a container image; write it such as "
        "'quay.io/pangeo/base-notebook:2026.1'.",
    )
