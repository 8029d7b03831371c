"""Files that an admin writes in YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from scalablehub.errors import PublicError, shown


class _TwiceError(yaml.MarkedYAMLError):
    """A section has a key twice; YAML libraries forget the first without a word."""


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Return a section as it is written; what it merges (``<<``) it may write over."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        first: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if name in first:
                where = "in this line" if first[name] == line else f"in line {first[name]}"
                words = f"{shown(key.value)} is there already, {where}; keep one of them"
                raise _TwiceError(problem=words, problem_mark=key.start_mark)
            first[name] = line
        return node


def read_yaml(path: Path) -> Any:
    """Return what a file has.

    Raises:
        PublicError: it cannot be read, is not YAML, or has a key twice in one section.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 (a safe loader it is)
    except OSError as error:
        raise PublicError("file-unreadable", f"{path}: {error.strerror}; give a readable file.") from None
    except UnicodeDecodeError:
        raise PublicError("file-not-text", f"{path}: is not a text file in UTF-8.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        words = getattr(error, "problem", None) or getattr(error, "reason", "it cannot be parsed")
        kind = "" if isinstance(error, _TwiceError) else "not YAML: "
        raise PublicError("file-not-yaml", f"{path}{line}: {kind}{words}.") from None
    except ValueError as error:  # such as a date that no calendar has
        raise PublicError("file-not-yaml", f"{path}: not YAML: {error}.") from None
    except RecursionError:
        raise PublicError("file-not-yaml", f"{path}: not YAML: it is nested too deeply.") from None
