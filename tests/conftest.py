"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# Machines that run tests are shared: an example may take its time.
settings.register_profile("scalablehub", deadline=None)
settings.load_profile("scalablehub")
