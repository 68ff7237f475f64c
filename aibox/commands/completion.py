"""`aibox completion`."""

from aibox import completion
from aibox.cli import Arguments
from aibox.context import Context
from aibox.ui import Outcome, Style


def run(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """The completion script of a shell."""
    del gathered, style
    text = completion.script(" ".join(arguments.words))
    return Outcome({"shell": arguments.words[0], "script": text}, text.splitlines())
