"""The program that works on volumes: run by volumes.py as the root of the engine's namespace, never by people.

Its standard input may be an archive, its standard output is its answer (or an archive). It ends when nobody reads its
standard error any more, so that what was left by a killed aibox cannot act later.
"""

import os
import select
import sys
import threading
from collections.abc import Sequence

from aibox import jsonview, volumetree
from aibox.boxids import ALL, failure, within
from aibox.errors import AiboxError
from aibox.jsonview import Json, number, text, texts

DATA = "_data"
MARK = "_data.aibox-"  # folders beside it that aibox made: not finished, or no longer used
FAILED = 9


def main(argv: Sequence[str]) -> int:
    """Do what the JSON document in the only argument says."""
    _end_with_the_caller()
    settings = jsonview.parse(argv[0])
    try:
        answer = ACTIONS[text(settings, "action")](settings)
    except AiboxError as error:
        sys.stdout.write(jsonview.dump(failure(error)))
        return FAILED
    except OSError as error:
        where = f" ({os.fsdecode(error.filename)})" if error.filename else ""
        what = f"the volume's folder: {error.strerror}{where}"
        sys.stdout.write(jsonview.dump(failure(AiboxError("volume-failed", what))))
        return FAILED
    sys.stdout.write(jsonview.dump({"result": answer}))
    return 0


def _end_with_the_caller() -> None:
    poll = select.poll()
    poll.register(2, 0)

    def watch() -> None:
        poll.poll()
        os._exit(FAILED)

    threading.Thread(target=watch, daemon=True).start()


def measure(settings: Json) -> Json:
    """What each of the volumes takes, leftovers included; null for one that is not there."""
    return [_measured(folder) for folder in texts(settings, "folders")]


def _measured(data: str) -> Json:
    beside, name = os.path.split(data)
    found: list[tuple[str, Json]] = []
    try:
        names = [name, *(entry for entry in sorted(os.listdir(beside)) if entry.startswith(MARK))]
        for entry in names:
            folder = os.open(f"{beside}/{entry}", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                found.append((entry, within(folder, ALL, volumetree.measure)))
            finally:
                os.close(folder)
    except FileNotFoundError:
        return None
    return {
        "bytes": number(found[0][1], "bytes"),
        "files": number(found[0][1], "files"),
        "leftover": sum(number(taken, "bytes") for _, taken in found[1:]),
    }


ACTIONS = {"measure": measure}
