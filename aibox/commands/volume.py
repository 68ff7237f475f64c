"""`aibox volume`."""

import os
import time
from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple

from aibox import jsonview, ui, volumejobs, volumes
from aibox.cli import Arguments
from aibox.consent import require_consent
from aibox.context import Context
from aibox.engines import podmanvolumes
from aibox.errors import AiboxError
from aibox.runner import printable
from aibox.ui import Outcome, Style
from aibox.volumejobs import Job
from aibox.volumes import Kept, Taken

if TYPE_CHECKING:
    from collections.abc import Callable

    from aibox.jsonview import Json


def run(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """Look at volumes, back them up, restore and remove them."""
    part, *rest = arguments.words or ["list"]
    known = next((row for row in PARTS if row.name == part), None)
    if known is None:
        near = get_close_matches(part, [row.name for row in PARTS], 1)
        hint = f"did you mean `aibox volume {near[0]}`?" if near else "aibox volume list"
        raise AiboxError("usage", f"aibox volume has no part {part!r}", fix=hint)
    if len(rest) != known.operands:
        raise AiboxError("usage", f"aibox volume {part} takes {known.operands} words behind it", fix=known.example)
    for name, option in (("output", "--output"), ("homes", "--homes"), ("dry_run", "--dry-run"), ("yes", "--yes")):
        if getattr(arguments, name) and name not in known.options:
            raise AiboxError("usage", f"aibox volume {part} does not take {option}", fix=known.example)
    return known.act(gathered, rest, arguments, style)


def list_all(gathered: Context, words: list[str], arguments: Arguments, style: Style) -> Outcome:
    """What boxes keep."""
    del words, arguments, style
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


def backup(gathered: Context, words: list[str], arguments: Arguments, style: Style) -> Outcome:
    """Write a volume to a file."""
    if not arguments.output:
        raise AiboxError("usage", "backup needs a file to write to", fix="aibox volume backup home -o FILE")
    job = volumejobs.find(gathered, gathered.calls(), words[0])
    volumejobs.require_there(job)
    target = os.path.abspath(arguments.output)
    if arguments.dry_run:
        settings = {**job.settings("pack"), "about": volumejobs.about(job)}
        return dry_run([f"{printable(volumes.command(job.calls, settings))} > {printable([target])}"])
    made = volumejobs.backup(job, target, ui.Progress(style).step)
    data: dict[str, Json] = {
        "volume": job.name.name,
        "file": target,
        "bytes": os.path.getsize(target),
        "members": made.members,
        "sha256": made.sha256,
        "left_out": made.left_out,
    }
    lines = [f"{job.name.name}: {made.members} files and folders, {ui.size(made.bytes)}, in {target}"]
    notices = (f"{made.left_out} sockets and devices were left out",) if made.left_out else ()
    return Outcome(data, lines, notices)


def restore(gathered: Context, words: list[str], arguments: Arguments, style: Style) -> Outcome:
    """Put a backup in the place of a volume's data."""
    job = volumejobs.find(gathered, gathered.calls(), words[0])
    progress = ui.Progress(style)
    with volumejobs.opened(words[1]) as file:
        progress.step(f"read and check {words[1]}")
        reader = volumejobs.check(job, file)
        volumejobs.require_idle(job)
        if arguments.dry_run:
            made = [] if job.volume else [podmanvolumes.create(job.calls.engine, job.name.name, job.name.user)]
            lines = [printable(argv) for argv in made]
            lines += [commands(job, "fill") + f" < {printable([os.path.abspath(words[1])])}"]
            return dry_run([*lines, commands(job, "exchange"), commands(job, "clean")])
        made_at = jsonview.text(reader.about, "created")
        change = f"replace everything in {job.name.name} by what {words[1]} holds, a backup of {made_at}"
        require_consent(change, given=arguments.yes, style=style)
        remarks = volumejobs.restore(job, file, progress.step)
    found = reader.manifest
    data: dict[str, Json] = {
        "volume": job.name.name,
        "members": found.members,
        "bytes": found.bytes,
        "created": made_at,
    }
    return Outcome(data, [f"{job.name.name}: {found.members} files and folders restored"], remarks)


def commands(job: Job, action: str) -> str:
    """The command of one step, for reading."""
    return printable(volumes.command(job.calls, job.settings(action, "TOKEN")))


def prune(gathered: Context, words: list[str], arguments: Arguments, style: Style) -> Outcome:
    """Remove volumes that no box has."""
    del words
    calls = gathered.calls()
    jobs = volumejobs.prunable(gathered, calls, homes=arguments.homes)
    taken = volumes.measure(calls, [job.volume for job in jobs if job.volume])
    sizes = {job.name.name: size.bytes if size else 0 for job, size in zip(jobs, taken, strict=True)}
    if arguments.dry_run:
        return dry_run([printable(podmanvolumes.remove(calls.engine, name)) for name in sizes])
    if sizes:
        named = ", ".join(f"{name} ({ui.size(size)})" for name, size in sizes.items())
        require_consent(f"remove {named} with everything in them", given=arguments.yes, style=style)
    removed = [job.name.name for job in jobs if volumejobs.remove(job)]
    freed = sum(sizes[name] for name in removed)
    data: dict[str, Json] = {"volumes_removed": list(removed), "bytes": freed}
    lines = [f"volume {name} removed" for name in removed]
    return Outcome(data, [*lines, f"{ui.size(freed)} freed"] if lines else ["no unused volumes"])


def dry_run(lines: list[str]) -> Outcome:
    """Commands instead of changes."""
    return Outcome({"commands": list(lines)}, lines)


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


class Part(NamedTuple):
    """A part of the verb: how many words stand behind it, and the options that it takes."""

    name: str
    operands: int
    options: tuple[str, ...]
    example: str
    act: "Callable[[Context, list[str], Arguments, Style], Outcome]"


PARTS = (
    Part("list", 0, (), "aibox volume list", list_all),
    Part("backup", 1, ("output", "dry_run"), "aibox volume backup home -o home.tar", backup),
    Part("restore", 2, ("yes", "dry_run"), "aibox volume restore home home.tar", restore),
    Part("prune", 0, ("homes", "yes", "dry_run"), "aibox volume prune --dry-run", prune),
)
