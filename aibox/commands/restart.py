"""`aibox restart`."""

from aibox import boxes
from aibox.cli import Arguments
from aibox.commands import start
from aibox.commands import stop as stop_verb
from aibox.context import Context
from aibox.ui import Outcome, Style


def run(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """Stop the box and start it with today's settings."""
    located = boxes.locate(gathered, arguments.workspace)
    arguments.workspace = located.workspace
    if arguments.dry_run:
        stopping = stop_verb.run(gathered, arguments, style)
        starting = start.run(gathered, arguments, style)
        commands = [*stopping.lines, *starting.lines]
        return Outcome({"commands": list(commands)}, commands)
    timeout = stop_verb.seconds(arguments.time, gathered.config.stop_timeout)
    stop_verb.stop(gathered, gathered.calls(), located, timeout)
    return start.run(gathered, arguments, style)
