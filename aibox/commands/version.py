"""`aibox version`."""

import platform
from typing import TYPE_CHECKING

from aibox import __version__, jsonview, state, ui
from aibox.cli import Arguments
from aibox.context import Context
from aibox.errors import AiboxError
from aibox.ui import Outcome, Style

if TYPE_CHECKING:
    from aibox.jsonview import Json


def run(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """Versions of aibox and of what it uses."""
    del arguments, style
    try:
        engine = gathered.calls().engine.label
    except AiboxError as error:
        engine = error.what
    record = state.read_record(gathered.paths.setup_record)
    program, digest = jsonview.text(record, "runtime", "program"), jsonview.text(record, "runtime", "program_sha256")
    rows = [
        ("aibox", __version__),
        ("python", platform.python_version()),
        ("engine", engine),
        ("runsc", f"{program} (sha256 {digest[:16]})" if program else "not set up"),
    ]
    data: dict[str, Json] = dict(rows)
    return Outcome(data, ui.table(rows))
