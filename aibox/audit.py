"""The audit log: one JSON line for each launch, refusal, fallback, verification and removal; rotated by size."""

import os
import time

from aibox import state
from aibox.errors import AiboxError
from aibox.jsonview import Json, dump, fields, parse
from aibox.state import Paths

LARGEST = 1 << 20
KEPT = 4
LOCK_SECONDS = 20.0


def path(paths: Paths) -> str:
    """The newest file; older ones end in .1, .2 and so on."""
    return f"{paths.data}/audit.jsonl"


def record(paths: Paths, event: str, box: str, **more: Json) -> None:
    """Append one event. A log that cannot be written is an error: a box without a record must not start."""
    line = dump({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "event": event, "box": box, **more}) + "\n"
    file = path(paths)
    with state.locked(f"{paths.data}/audit.lock", timeout=LOCK_SECONDS):
        try:
            if os.path.exists(file) and os.path.getsize(file) > LARGEST:
                _rotate(file)
            _append(file, line.encode())
        except OSError as error:
            raise AiboxError(
                "state-unwritable",
                f"the audit log {file} cannot be written",
                why=error.strerror or str(error),
                fix="free some space, or make the file writable for you",
            ) from error


def refusal(paths: Paths, box: str, error: AiboxError, **more: Json) -> str:
    """Append what was refused, once. Returns why that failed, or nothing: the first error is never hidden by it."""
    if error.recorded:
        return ""
    error.recorded = True
    try:
        record(paths, "refused", box, code=error.code, message=error.what, why=error.why, **more)
    except AiboxError as second:
        return f"this refusal is not in the audit log: {second.what} ({second.why})"
    return ""


def _append(file: str, line: bytes) -> None:
    """Write all of a line or nothing of it. Raises OSError."""
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        before = os.fstat(descriptor).st_size
        if before and os.pread(descriptor, 1, before - 1) != b"\n":
            line = b"\n" + line  # whoever wrote last was cut off
        left = line
        try:
            while left:
                left = left[os.write(descriptor, left) :]
        except OSError:
            os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)


def _rotate(file: str) -> None:
    for number in range(KEPT - 1, 0, -1):
        older = f"{file}.{number}"
        if os.path.exists(older):
            os.replace(older, f"{file}.{number + 1}")
    os.replace(file, f"{file}.1")


def events(paths: Paths, box: str) -> list[dict[str, Json]]:
    """The events of one box, oldest first; lines that are damaged are passed over."""
    found = []
    files = [*(f"{path(paths)}.{number}" for number in range(KEPT, 0, -1)), path(paths)]
    for file in files:
        for line in (state.read_bytes(file) or b"").splitlines():
            try:
                event = fields(parse(line))
            except ValueError:
                continue
            if event.get("box") == box:
                found.append(event)
    return found
