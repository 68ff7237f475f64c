"""`aibox shell`."""

from aibox.cli import Arguments
from aibox.commands import exec as exec_verb
from aibox.context import Context
from aibox.ui import Outcome, Style

# bash where the image has it, else any POSIX shell; as a login shell it reads the home's profile
SHELL = ("/bin/sh", "-c", "if [ -x /bin/bash ]; then exec /bin/bash -l; else exec /bin/sh -l; fi")


def run(gathered: Context, arguments: Arguments, style: Style) -> Outcome | int:
    """Open a shell in the running box."""
    arguments.words = list(SHELL)
    return exec_verb.run(gathered, arguments, style)
