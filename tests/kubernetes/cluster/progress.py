"""Lines that tell a person how far the work is, with the seconds since it began."""

from __future__ import annotations

import sys
import time


class Progress:
    """Writes one line for each step that is done."""

    def __init__(self, quiet: bool = False) -> None:
        self._began = time.monotonic()
        self._quiet = quiet

    @property
    def seconds(self) -> float:
        """Since the work began."""
        return time.monotonic() - self._began

    def __call__(self, step: str) -> None:
        """Write a step."""
        if not self._quiet:
            sys.stdout.write(f"{self.seconds:7.1f} s  {step}\n")
            sys.stdout.flush()
