"""`aibox logs`."""

from aibox import audit, boxes, runner
from aibox.cli import Arguments
from aibox.context import Context
from aibox.errors import AiboxError
from aibox.jsonview import Json, dump
from aibox.ui import Outcome, Style


def run(gathered: Context, arguments: Arguments, style: Style) -> Outcome | int:
    """What aibox noted about the box, then what its first process printed; also for a box that is stopped."""
    calls = gathered.calls()
    located = boxes.locate(gathered, arguments.workspace)
    count = _count(arguments.tail)
    tail = ["--tail", str(count)] if count is not None else []
    if arguments.follow and not style.json:
        argv = [*calls.engine.argv, "logs", "--follow", *tail, located.name]
        return runner.attend(argv, env=calls.env, tty=True, on_signal=lambda _number: None)
    result = calls.run([*calls.engine.argv, "logs", *tail, located.name])
    printed = (
        [*result.text().splitlines(), *result.err.decode("utf-8", "replace").splitlines()] if result.code == 0 else []
    )
    events = audit.events(gathered.paths, located.name)
    kept = events if count is None else events[len(events) - min(count, len(events)) :]
    data: dict[str, Json] = {"box": located.name, "events": list(kept), "output": list(printed)}
    return Outcome(data, [*(_line(event) for event in kept), *printed])


def _line(event: dict[str, Json]) -> str:
    rest = {name: value for name, value in event.items() if name not in ("time", "event", "box")}
    details = " ".join(
        f"{name}={value if isinstance(value, str) else dump(value)}" for name, value in sorted(rest.items())
    )
    return f"{event.get('time', '')} {event.get('event', '')} {details}".rstrip()


def _count(given: str) -> int | None:
    if not given:
        return None
    if not given.isascii() or not given.isdigit():
        raise AiboxError("usage", f"--tail {given} is not a number of lines", fix="--tail 20")
    return int(given)
