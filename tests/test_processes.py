from __future__ import annotations

import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux only")


def test_a_parent_that_is_already_gone_ends_us_at_once() -> None:
    code = "from scalablehub.processes import die_with_parent as d; d(parent=1); print('alive')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, b"")


def test_a_parent_that_is_there_lets_us_live() -> None:
    code = "import os, scalablehub.processes as p; p.die_with_parent(parent=os.getppid()); print('alive')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"alive\n")
