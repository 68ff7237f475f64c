"""`aibox help TOPIC`."""

from aibox import manual
from aibox.cli import Arguments
from aibox.context import Context
from aibox.ui import Outcome, Style


def run(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """A page of the manual, a verb, an error code or a check."""
    del gathered, style
    topic = " ".join(arguments.words)
    lines = manual.topic(topic)
    return Outcome({"topic": topic, "text": "\n".join(lines)}, lines)
