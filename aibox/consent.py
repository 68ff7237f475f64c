"""Asking before a change."""

import os
import sys

from aibox.errors import AiboxError
from aibox.ui import Style


def require_consent(change: str, *, given: bool, style: Style) -> None:
    """Return if the change was consented to, by flag or by an answer on the terminal. Raises consent-needed."""
    if given:
        return
    if style.json or not os.isatty(0):
        raise AiboxError(
            "consent-needed",
            f"consent is needed to {change}",
            why="there is no terminal to ask on",
            fix="repeat the command with --yes",
        )
    sys.stderr.write(f"aibox will {change}.\nGo on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise AiboxError("consent-needed", "nothing was changed", why="you did not consent")
