"""`aibox destroy`."""

from typing import TYPE_CHECKING

from aibox import audit, boxes, execute, notes, state
from aibox.boxes import Located
from aibox.cli import Arguments
from aibox.commands.stop import chosen_boxes
from aibox.consent import require_consent
from aibox.context import Context
from aibox.enginecalls import EngineCalls
from aibox.model import Developer
from aibox.plan import CACHES, volume_name
from aibox.runner import printable
from aibox.ui import Outcome, Style

if TYPE_CHECKING:
    from aibox.jsonview import Json


def run(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """Remove one box or all; with --volumes also what they kept."""
    calls = gathered.calls()
    chosen = chosen_boxes(gathered, calls, arguments)
    volumes = volume_names(gathered, chosen) if arguments.volumes else []
    commands = [calls.adapter.remove(calls.engine, located.name) for located in chosen]
    commands += [[*calls.engine.argv, "volume", "rm", volume] for volume in volumes]
    if arguments.dry_run:
        lines = [printable(argv) for argv in commands]
        return Outcome({"commands": list(lines)}, lines)
    if volumes:
        require_consent(f"remove {', '.join(volumes)} with everything in them", given=arguments.yes, style=style)
    for located in chosen:
        destroy(gathered, calls, located)
    removed, kept = remove_volumes(calls, volumes)
    lines = [f"{located.name} destroyed" for located in chosen] or ["no boxes"]
    lines += [f"volume {volume} removed" for volume in removed]
    data: dict[str, Json] = {"boxes": [located.name for located in chosen], "volumes_removed": list(removed)}
    notices = tuple(f"volume {volume} kept: {reason}" for volume, reason in kept)
    return Outcome(data, lines, notices, exit_code=1 if kept else 0)


def destroy(gathered: Context, calls: EngineCalls, located: Located) -> None:
    """Remove one box under its lock."""
    lock = notes.lock_path(gathered.paths, located.name)
    with state.locked(lock, timeout=notes.LOCK_SECONDS):
        execute.destroy(calls, gathered.paths, located.name)
        boxes.forget(gathered.paths, located.name)
        audit.record(gathered.paths, "destroyed", located.name)
        state.remove_file(lock)


def volume_names(gathered: Context, chosen: list[Located]) -> list[str]:
    """The volumes of the boxes' owners."""
    owners = {name: str(record.get("owner", "")) for name, record in boxes.registered(gathered.paths)}
    names = {owners.get(located.name) or gathered.caller.name for located in chosen}
    purposes = ("home", "toolpacks", *(f"{cache.name}-cache" for cache in CACHES))
    return [volume_name(Developer(0, 0, owner), purpose) for owner in sorted(names) for purpose in purposes]


def remove_volumes(calls: EngineCalls, volumes: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Remove volumes; those that another box uses are kept, with the engine's reason."""
    removed, kept = [], []
    for volume in volumes:
        result = calls.run([*calls.engine.argv, "volume", "rm", volume])
        if result.code == 0:
            removed.append(volume)
        elif "no such volume" not in result.err.decode("utf-8", "replace").lower():
            kept.append((volume, result.complaint()))
    return removed, kept
