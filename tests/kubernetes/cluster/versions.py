"""Which versions of Debian's packages the tests were seen to pass with, and what differs here.

Debian's mirrors keep only the newest version of a release's package, so a version that is asked for exactly
is gone with the next security update, and nothing could be built. So whatever the release has now is taken;
what was tested is on record, and a difference is told where somebody looks for the cause of a failure.
"""

from __future__ import annotations

import configparser
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from .packages import PATH

RECORD = Path(__file__).parents[1] / "debian.lock"
_HEAD = """\
# Debian's packages and their versions when the tests last passed; a section for each release and use.
# Written by: python -m tests.kubernetes.cluster versions --record
"""


def release(root: Path = Path("/")) -> str:
    """Return the name of a system's Debian release, such as 'bookworm'; '' where it is not Debian."""
    try:
        text = (root / "etc" / "os-release").read_text()
    except OSError:
        return ""
    found = re.search(r"^VERSION_CODENAME=\"?([a-z]+)", text, re.MULTILINE)
    return found[1] if found and re.search(r"^ID=\"?debian\"?$", text, re.MULTILINE) else ""


def installed(packages: Iterable[str], root: Path = Path("/")) -> dict[str, str]:
    """Return the versions of those packages that a system has; none where it is not Debian."""
    command = ["dpkg-query", f"--admindir={root / 'var/lib/dpkg'}", "-W"]
    try:
        run = subprocess.run(
            [*command, "-f", "${db:Status-Status} ${Package} ${Version}\n", *packages],
            env={"PATH": PATH},
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return {}
    found = {}
    for line in run.stdout.splitlines():
        status, name, *version = line.split()
        if status == "installed":
            found[name] = version[0]
    return found


def recorded(section: str, record: Path = RECORD) -> dict[str, str]:
    """Return the versions on record; none for a section that was never tested."""
    parser = _parser()
    parser.read(record)
    return dict(parser[section]) if parser.has_section(section) else {}


def write(section: str, versions: Mapping[str, str], record: Path = RECORD) -> None:
    """Put versions on record, in the place of the section's earlier ones."""
    parser = _parser()
    parser.read(record)
    parser[section] = dict(sorted(versions.items()))
    lines = [_HEAD]
    for name in sorted(parser.sections()):
        lines += [f"[{name}]", *(f"{package} = {version}" for package, version in parser[name].items()), ""]
    record.write_text("\n".join(lines))


def differences(section: str, found: Mapping[str, str], record: Path = RECORD) -> list[str]:
    """Return a phrase for each package that is not as it was tested; of a section never tested, only that."""
    tested = recorded(section, record)
    if not tested:
        return [f"Debian's packages were never tested as {section}"]
    return [
        f"{name} {version} (tested: {tested.get(name, 'never')})"
        for name, version in sorted(found.items())
        if tested.get(name) != version
    ]


def _parser() -> configparser.ConfigParser:
    # Versions have colons.
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    return parser
