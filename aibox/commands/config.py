"""`aibox config`."""

from typing import TYPE_CHECKING

from aibox import ui
from aibox.cli import Arguments
from aibox.config import config_rows
from aibox.context import Context
from aibox.ui import Outcome, Style

if TYPE_CHECKING:
    from aibox.jsonview import Json


def run(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """Every setting with where its value comes from."""
    del arguments, style
    rows = config_rows(gathered.config)
    data: dict[str, Json] = {key: {"value": value, "origin": origin} for key, value, origin in rows}
    return Outcome({"settings": data}, ui.table([("KEY", "VALUE", "FROM"), *rows]))
