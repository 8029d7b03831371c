"""Run a command that ends when its parent does: ``python -m scalablehub.local.tied COMMAND [ARGUMENT …]``."""

from __future__ import annotations

import os
import sys

from scalablehub.processes import die_with_parent


def main() -> None:
    """Become the command."""
    die_with_parent()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606


if __name__ == "__main__":
    main()
