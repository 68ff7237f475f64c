"""`aibox run`."""

from aibox import sessions
from aibox.cli import Arguments
from aibox.commands import destroy, start
from aibox.context import Context
from aibox.ui import Outcome, Style


def run(gathered: Context, arguments: Arguments, style: Style) -> Outcome | int:
    """Start the box if needed, run a command in it, and return the command's exit code."""
    calls = gathered.calls()
    if arguments.dry_run:
        return start.run(gathered, arguments, style)
    located, made = start.ensure_running(gathered, calls, arguments.workspace, style)
    try:
        return sessions.enter(gathered, calls, located, arguments, style)
    finally:
        if arguments.rm and made:
            destroy.destroy(gathered, calls, located)
