"""Images from files, without a registry and without a build tool: an archive that containerd imports."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ARCHITECTURE = "amd64"


def _entry(name: str, mode: int, **fields: Any) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.mode = mode
    for field, value in fields.items():
        setattr(entry, field, value)
    return entry


def write_image(
    tar: Path, name: str, files: Mapping[str, Path | bytes], config: Mapping[str, Any] | None = None
) -> str:
    """Write an image of one layer to a tar in Docker's format, and return its digest.

    `files` maps absolute paths in the image to a file of this machine, or to what the file says. A file
    of this machine keeps whether it may be executed; two paths with the same source become one file with
    two names. `config` is what a Dockerfile calls ENTRYPOINT, USER …: {"Entrypoint": [...], "User": "65532"}.
    The same arguments give the same digest, whenever they are written.
    """
    layer_file = tar.with_name(tar.name + ".layer")
    tar.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(layer_file, "w", format=tarfile.PAX_FORMAT) as layer:
            folders: set[Path] = set()
            first: dict[Path, str] = {}
            for target, source in sorted(files.items()):
                path = Path(target).relative_to("/")
                for folder in [*path.parents][-2::-1]:
                    if folder not in folders:
                        folders.add(folder)
                        layer.addfile(_entry(str(folder), 0o755, type=tarfile.DIRTYPE))
                if isinstance(source, bytes):
                    layer.addfile(_entry(str(path), 0o644, size=len(source)), io.BytesIO(source))
                elif source in first:
                    layer.addfile(_entry(str(path), 0o755, type=tarfile.LNKTYPE, linkname=first[source]))
                else:
                    first[source] = str(path)
                    stat = source.stat()
                    mode = 0o755 if stat.st_mode & 0o100 else 0o644
                    with source.open("rb") as content:
                        layer.addfile(_entry(str(path), mode, size=stat.st_size), content)
        with layer_file.open("rb") as content:
            layer_digest = hashlib.file_digest(content, "sha256").hexdigest()
        image = json.dumps(
            {
                "architecture": _ARCHITECTURE,
                "os": "linux",
                "created": "1970-01-01T00:00:00Z",
                "config": dict(config or {}),
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
            },
            sort_keys=True,
        ).encode()
        digest = hashlib.sha256(image).hexdigest()
        manifest = [{"Config": f"{digest}.json", "RepoTags": [name], "Layers": [f"{layer_digest}.tar"]}]
        part = tar.with_name(tar.name + ".part")
        with tarfile.open(part, "w") as archive:
            for member, data in (("manifest.json", json.dumps(manifest).encode()), (f"{digest}.json", image)):
                archive.addfile(_entry(member, 0o644, size=len(data)), io.BytesIO(data))
            with layer_file.open("rb") as content:
                archive.addfile(_entry(f"{layer_digest}.tar", 0o644, size=layer_file.stat().st_size), content)
        part.replace(tar)
    finally:
        layer_file.unlink(missing_ok=True)
    return f"sha256:{digest}"


def described(tar: Path) -> tuple[str, str]:
    """Return the digest and the name of the image in a tar, of Docker's or the OCI's format."""
    with tarfile.open(tar) as archive:

        def read(member: str) -> Any:
            content = archive.extractfile(member)
            assert content is not None
            return json.load(content)

        names = archive.getnames()
        if "manifest.json" in names:
            manifest = read("manifest.json")[0]
            digest = Path(manifest["Config"]).stem
            return f"sha256:{digest}", (manifest.get("RepoTags") or [""])[0]
        manifest = read("index.json")["manifests"][0]
        annotations = manifest.get("annotations", {})
        return manifest["digest"], annotations.get(
            "io.containerd.image.name", annotations.get("org.opencontainers.image.ref.name", "")
        )
