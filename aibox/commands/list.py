"""`aibox list`."""

import os
import time
from typing import TYPE_CHECKING

from aibox import ages, boxes, ui
from aibox.cli import Arguments
from aibox.context import Context
from aibox.ui import Outcome, Style

if TYPE_CHECKING:
    from aibox.jsonview import Json


SETUP = "this host is not set up yet: aibox setup"


def run(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """All boxes of this user, running or not."""
    del arguments, style
    # before setup there are none, and the engine's first call would settle its storage driver before setup chooses it
    engine = gathered.calls().boxes() if os.path.exists(gathered.paths.setup_record) else []
    found = {box.name: (box.status, box.workspace, box.created) for box in engine}
    for name, record in boxes.registered(gathered.paths):
        found.setdefault(name, ("gone", str(record.get("workspace", "")), ""))
    rows: list[Json] = [
        {"name": name, "state": state, "workspace": workspace, "created": ages.iso(created)}
        for name, (state, workspace, created) in sorted(found.items())
    ]
    now = time.time()
    lines = [("STATE", "MADE", "WORKSPACE", "BOX")]
    lines += [
        (state, ages.ago(created, now), workspace, name)
        for name, (state, workspace, created) in sorted(found.items(), key=lambda entry: entry[1][1])
    ]
    if found:
        return Outcome({"boxes": rows}, ui.fitted(lines, ui.columns(), (2, 3)))
    ready = os.path.exists(gathered.paths.setup_record)
    return Outcome({"boxes": rows}, [f"no boxes; {'to start one: aibox start --workspace FOLDER' if ready else SETUP}"])
