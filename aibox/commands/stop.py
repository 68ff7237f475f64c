"""`aibox stop`."""

from aibox import audit, boxes, notes, state
from aibox.boxes import Located
from aibox.cli import Arguments
from aibox.context import Context
from aibox.enginecalls import EngineCalls
from aibox.errors import AiboxError
from aibox.runner import printable
from aibox.ui import Outcome, Style


def run(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """Stop one box, or all."""
    del style
    calls = gathered.calls()
    timeout = seconds(arguments.time, gathered.config.stop_timeout)
    chosen = chosen_boxes(gathered, calls, arguments)
    if arguments.dry_run:
        commands = [printable(calls.adapter.stop(calls.engine, located.name, timeout)) for located in chosen]
        return Outcome({"commands": list(commands)}, commands)
    done = [(located, stop(gathered, calls, located, timeout)) for located in chosen]
    lines = [f"{located.name} {'stopped' if stopped else 'was stopped already'}" for located, stopped in done]
    return Outcome({"boxes": [{"name": one.name, "stopped": stopped} for one, stopped in done]}, lines or ["no boxes"])


def chosen_boxes(gathered: Context, calls: EngineCalls, arguments: Arguments) -> list[Located]:
    """The box that the arguments name, or with --all every one that the engine has or aibox remembers."""
    if not arguments.all:
        return [boxes.locate(gathered, arguments.workspace)]
    found = {box.name: Located(box.name, box.workspace, "") for box in calls.boxes()}
    for name, record in boxes.registered(gathered.paths):
        found.setdefault(name, Located(name, str(record.get("workspace", "")), ""))
    return [found[name] for name in sorted(found)]


def stop(gathered: Context, calls: EngineCalls, located: Located, timeout: int) -> bool:
    """Stop one box under its lock; False if nothing ran. Raises box-missing if the engine does not know it."""
    with state.locked(notes.lock_path(gathered.paths, located.name), timeout=notes.LOCK_SECONDS):
        box = calls.inspect(located.name)
        if box is None:
            boxes.forget(gathered.paths, located.name)
            raise AiboxError(
                "box-missing",
                f"the box of {located.workspace} is gone",
                why="it was removed outside aibox; its notes are removed now",
                fix=printable(["aibox", "start", "--workspace", located.workspace]),
            )
        if box.status not in ("running", "paused", "stopping"):
            notes.forget(gathered.paths, located.name)
            return False
        calls.stop(located.name, timeout)
        notes.forget(gathered.paths, located.name)
        audit.record(gathered.paths, "stopped", located.name)
        return True


def seconds(given: str, default: int) -> int:
    """The value of --time. Raises usage."""
    if not given:
        return default
    if not given.isascii() or not given.isdigit() or int(given) > 3600:
        raise AiboxError("usage", f"--time {given} is not a number of seconds from 0 to 3600", fix="--time 10")
    return int(given)
