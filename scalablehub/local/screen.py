"""What a person sees in the terminal that runs the hub."""

from __future__ import annotations

import contextlib
from typing import TextIO

from scalablehub.local.plan import Plan


class Screen:
    """Writes plain lines: what is being done, then one screen that says how to use the hub."""

    def __init__(self, output: TextIO) -> None:
        self._output = output

    def progress(self, text: str) -> None:
        """Say what is being done."""
        self._write(f"  {text} …")

    def notice(self, text: str) -> None:
        """Say what happened."""
        self._write(f"  {text}")

    def stopped(self) -> None:
        """Say that nothing is left running."""
        self._write("  Stopped. Users, homes and data are kept.")

    def ready(self, plan: Plan) -> None:
        """Say where the hub is, who can sign in and how, where things are, and how to stop it."""
        self._write("\n".join(["", *ready_lines(plan), ""]))

    def _write(self, text: str) -> None:
        # A terminal that was closed is no reason to end the hub without order.
        with contextlib.suppress(OSError):
            print(text, file=self._output, flush=True)


def ready_lines(plan: Plan) -> list[str]:
    """Return the screen of a hub that is ready."""
    users = plan.local.users
    ordinary = [name for name, user in users.items() if not user.admin]
    admins = [name for name, user in users.items() if user.admin]
    lines = [f"  Your research hub is ready:  {plan.url}", ""]
    lines += [f"  Sign in as     {_with_groups(plan, name)}" for name in ordinary[:1]]
    lines += [f"          or     {_with_groups(plan, name)}" for name in ordinary[1:]]
    if ordinary:
        lines.append(f"  Password       {plan.secrets.user_password}")
    lines += [f"  Administrator  {_with_groups(plan, name)}" for name in admins]
    if admins:
        lines.append(f"  Password       {plan.secrets.admin_password}")
    return [
        *lines,
        "",
        f"  Data           {plan.layout.root}",
        f"  Logs           {plan.layout.logs}",
        "  Only this machine can reach it. Stop it with Ctrl-C; users, homes and data are kept.",
    ]


def _with_groups(plan: Plan, name: str) -> str:
    groups = plan.local.users[name].groups
    return f"{name}  (group {', '.join(groups)})" if groups else name
