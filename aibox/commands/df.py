"""`aibox df`."""

from typing import TYPE_CHECKING

from aibox import diskspace, ui
from aibox.cli import Arguments
from aibox.context import Context
from aibox.ui import Outcome, Style

if TYPE_CHECKING:
    from aibox.jsonview import Json


def run(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """What aibox takes on the disk."""
    del arguments, style
    groups = diskspace.groups(gathered, gathered.calls())
    totals = {name: sum(one.bytes for one in spaces) for name, spaces in groups.items()}
    data: dict[str, Json] = {
        name: [{"name": one.name, "what": one.what, "bytes": one.bytes} for one in spaces]
        for name, spaces in groups.items()
    }
    data["totals"] = {**totals, "all": sum(totals.values())}
    lines = [("KIND", "SIZE", "NAME", "WHAT")]
    lines += [
        (kind, ui.size(one.bytes), one.name, one.what) for kind, spaces in groups.items() for one in spaces if one.bytes
    ]
    shown = ", ".join(f"{kind} {ui.size(total)}" for kind, total in totals.items())
    return Outcome(data, [*ui.table(lines), "", f"{ui.size(sum(totals.values()))} in all: {shown}"])
