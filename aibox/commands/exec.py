"""`aibox exec`."""

from aibox import boxes, sessions
from aibox.cli import Arguments
from aibox.context import Context
from aibox.runner import printable
from aibox.ui import Outcome, Style


def run(gathered: Context, arguments: Arguments, style: Style) -> Outcome | int:
    """Run a command in the running box."""
    calls = gathered.calls()
    located = boxes.locate(gathered, arguments.workspace)
    if arguments.dry_run:
        how = sessions.options(
            workdir=arguments.workdir or located.workdir, variables=arguments.env, terminal=False, mark="0", term=""
        )
        line = printable(calls.adapter.session(calls.engine, located.name, arguments.words, how))
        return Outcome({"commands": [line]}, [line])
    return sessions.enter(gathered, calls, located, arguments, style)
