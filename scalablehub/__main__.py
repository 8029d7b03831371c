"""``python -m scalablehub`` is the command `scalablehub`."""

import sys

from scalablehub.cli import main

if __name__ == "__main__":
    sys.exit(main())
