"""`aibox volume`."""

import time
from typing import TYPE_CHECKING

from aibox import ui, volumes
from aibox.cli import Arguments
from aibox.context import Context
from aibox.errors import AiboxError
from aibox.ui import Outcome, Style
from aibox.volumes import Kept, Taken

if TYPE_CHECKING:
    from aibox.jsonview import Json


def run(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """What boxes keep."""
    del style
    part, *rest = arguments.words or ["list"]
    if part != "list" or rest:
        raise AiboxError("usage", f"aibox volume has no part {' '.join(arguments.words)!r}", fix="aibox volume list")
    calls = gathered.calls()
    kept = volumes.kept(gathered, calls)
    taken = volumes.measure(calls, [one.volume for one in kept])
    rows = [document(one, size) for one, size in zip(kept, taken, strict=True)]
    lines = [("VOLUME", "SIZE", "FILES", "LAST USE", "BOXES")]
    lines += [line(one, size) for one, size in zip(kept, taken, strict=True)]
    leftover = sum(size.leftover for size in taken if size)
    notices = (f"{ui.size(leftover)} of interrupted commands; the next one on that volume removes it",)
    empty = ["no volumes; the first box of a user makes them"]
    return Outcome({"volumes": list(rows)}, ui.table(lines) if kept else empty, notices if leftover else ())


def document(one: Kept, size: Taken | None) -> "dict[str, Json]":
    """A volume for `--json`; times are in UTC."""
    used = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(one.used)) if one.used else None
    return {
        "name": one.name.name,
        "purpose": one.name.purpose,
        "user": one.name.user,
        "cache": one.name.cache,
        "bytes": size.bytes if size else 0,
        "files": size.files if size else 0,
        "leftover_bytes": size.leftover if size else 0,
        "created": one.volume.created,
        "last_used": used,
        "boxes": [{"name": user.name, "state": user.status, "workspace": user.workspace} for user in one.users],
    }


def line(one: Kept, size: Taken | None) -> tuple[str, str, str, str, str]:
    """A volume for people."""
    used = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.used)) if one.used else "not known"
    amount, files = (ui.size(size.bytes), str(size.files)) if size else ("missing", "")
    boxes = ", ".join(user.name for user in one.users)
    return (one.name.name, amount, files, "in use" if one.busy else used, boxes or "none")
