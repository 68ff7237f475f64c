"""`aibox list`."""

import os
from typing import TYPE_CHECKING

from aibox import boxes, ui
from aibox.cli import Arguments
from aibox.context import Context
from aibox.ui import Outcome, Style

if TYPE_CHECKING:
    from aibox.jsonview import Json


def run(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """All boxes of this user, running or not."""
    del arguments, style
    # before setup there are none, and the engine's first call would settle its storage driver before setup chooses it
    engine = gathered.calls().boxes() if os.path.exists(gathered.paths.setup_record) else []
    found = {box.name: (box.status, box.workspace, box.created) for box in engine}
    for name, record in boxes.registered(gathered.paths):
        found.setdefault(name, ("gone", str(record.get("workspace", "")), ""))
    rows: list[Json] = [
        {"name": name, "state": state, "workspace": workspace, "created": created}
        for name, (state, workspace, created) in sorted(found.items())
    ]
    lines = [("NAME", "STATE", "WORKSPACE")]
    lines += [(name, state, workspace) for name, (state, workspace, _) in sorted(found.items())]
    empty = ["no boxes; to start one: aibox start --workspace ~/project"]
    return Outcome({"boxes": rows}, ui.table(lines) if found else empty)
