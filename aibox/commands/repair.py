"""`aibox repair`."""

from typing import TYPE_CHECKING

from aibox import diskspace, leftovers, ui, volumejobs, volumes
from aibox.cli import Arguments
from aibox.consent import require_consent
from aibox.context import Context
from aibox.errors import AiboxError
from aibox.plan import safe_name
from aibox.runner import printable
from aibox.ui import Outcome, Style
from aibox.volumenames import PURPOSES, parse, purpose_of

if TYPE_CHECKING:
    from aibox.enginecalls import EngineCalls
    from aibox.jsonview import Json
    from aibox.volumejobs import Job

CACHES = tuple(purpose for purpose in PURPOSES if purpose.endswith("-cache"))


def run(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """Make caches anew, empty and with the right owner; the tools fill them again. Or remove what nothing uses."""
    part, *names = arguments.words or [""]
    if part == "leftovers" and not names:
        return remove_leftovers(gathered, arguments, style)
    if part != "cache":
        raise AiboxError("usage", f"aibox repair has no part {part!r}", fix="aibox repair cache")
    calls = gathered.calls()
    jobs = chosen(gathered, calls, names)
    for job in jobs:
        volumejobs.require_there(job)
        volumejobs.require_idle(job)
    if arguments.dry_run:
        steps = ("fresh", "exchange", "clean")
        lines = [printable(volumes.command(calls, job.settings(step, "TOKEN"))) for job in jobs for step in steps]
        return Outcome({"commands": list(lines)}, lines)
    taken = volumes.measure(calls, [job.volume for job in jobs if job.volume])
    sizes = {job.name.name: size.bytes if size else 0 for job, size in zip(jobs, taken, strict=True)}
    if sizes:
        named = ", ".join(f"{name} ({ui.size(size)})" for name, size in sizes.items())
        require_consent(f"empty {named}", given=arguments.yes, style=style)
    progress = ui.Progress(style)
    notices = [remark for job in jobs for remark in volumejobs.empty(job, progress.step)]
    rows: list[Json] = [{"volume": name, "bytes": size} for name, size in sizes.items()]
    lines = [f"{name} is empty again ({ui.size(size)} before)" for name, size in sizes.items()]
    return Outcome({"caches": rows}, lines or ["no caches"], tuple(notices))


def remove_leftovers(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """Remove what interrupted commands left, and each gVisor and wrapper that nothing uses."""
    calls = gathered.calls()
    volumes.require_set_up(gathered)
    if arguments.dry_run:
        names = [
            *leftovers.found(gathered, calls, calls.boxes()),
            *(one.path for one in leftovers.unused(gathered, calls)),
        ]
        lines = [f"remove {name}" for name in names]
        return Outcome({"commands": list(lines)}, lines)
    with leftovers.alone(gathered.paths):
        old = leftovers.unused(gathered, calls)
        sizes = {one.path: diskspace.tree(one.path) for one in old}
        rows = [f"{one.path} ({one.what}, {ui.size(sizes[one.path])})" for one in old]
        wanted = [*leftovers.found(gathered, calls, calls.boxes()), *rows]
        if wanted:
            require_consent(f"remove {', '.join(wanted)}", given=arguments.yes, style=style)
        done = [*leftovers.sweep(gathered, calls), *(one.path for one in leftovers.prune(gathered, calls))]
    total = sum(sizes.values())
    shown = [f"{name} is removed" for name in done] or ["no leftovers"]
    return Outcome({"removed": [*done], "bytes": total}, shown)


def chosen(gathered: Context, calls: "EngineCalls", names: list[str]) -> "list[Job]":
    """The caches that were named, else all of the caller's; root's are everybody's where it has none of its own."""
    if names:
        for name in names:
            full = parse(name)
            purpose_of(full.purpose if full else name, CACHES)
        return [volumejobs.find(gathered, calls, name) for name in dict.fromkeys(names)]
    volumes.require_set_up(gathered)
    known = [(name, volume) for name, volume in volumes.known(calls) if name.cache]
    own = [(name, volume) for name, volume in known if name.user == safe_name(gathered.caller.name)]
    return [volumejobs.Job(gathered, calls, name, volume) for name, volume in own or known]
