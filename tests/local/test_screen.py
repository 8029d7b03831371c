from __future__ import annotations

import io
from pathlib import Path

import pytest

from scalablehub.local.screen import Screen
from tests.local.plans import planned

READY = """
  Your research hub is ready:  http://127.0.0.1:8000/

  Sign in as     alice  (group research)
          or     bob
  Password       the-users
  Administrator  root  (group research, staff)
  Password       the-admins

  Data           /data
  Logs           /data/logs
  Only this machine can reach it. Stop it with Ctrl-C; users, homes and data are kept.

"""
ONLY_AN_ADMIN = """
  Your research hub is ready:  http://127.0.0.1:8000/

  Administrator  root
  Password       the-admins

  Data           /data
  Logs           /data/logs
  Only this machine can reach it. Stop it with Ctrl-C; users, homes and data are kept.

"""
ONLY_A_USER = """
  Your research hub is ready:  http://127.0.0.1:8000/

  Sign in as     alice
  Password       the-users

  Data           /data
  Logs           /data/logs
  Only this machine can reach it. Stop it with Ctrl-C; users, homes and data are kept.

"""


@pytest.mark.parametrize(
    ("users", "screen"),
    [
        (
            {
                "alice": {"groups": ["research"]},
                "bob": {},
                "root": {"admin": True, "groups": ["research", "staff"]},
            },
            READY,
        ),
        ({"root": {"admin": True}}, ONLY_AN_ADMIN),
        ({"alice": {}}, ONLY_A_USER),
    ],
    ids=["users and an admin", "only an admin", "only a user"],
)
def test_ready_screen_says_how_to_use_the_hub(users: dict[str, object], screen: str) -> None:
    output = io.StringIO()
    Screen(output).ready(planned(Path("/data"), users=users))
    assert output.getvalue() == screen


def test_lines_of_what_happens_are_plain() -> None:
    output = io.StringIO()
    screen = Screen(output)
    screen.progress("Starting JupyterHub")
    screen.notice("JupyterHub ended; it was started again.")
    screen.stopped()
    assert output.getvalue() == (
        "  Starting JupyterHub …\n"
        "  JupyterHub ended; it was started again.\n"
        "  Stopped. Users, homes and data are kept.\n"
    )


def test_terminal_that_is_gone_is_no_error() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError

    Screen(Gone()).stopped()
