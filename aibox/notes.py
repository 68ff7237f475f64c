"""What aibox notes of a box beside the engine: its running process, and the locks under which it is changed.

A session finds its box by these notes alone, so this module loads little.
"""

import os

from aibox import hostview, jsonview, state
from aibox.engines.adapter import BoxState
from aibox.plan import ID_MAPPED
from aibox.state import Paths

LOCK_SECONDS = 180.0
QUEUE_SECONDS = 900.0  # until a start gets its turn among many


def record_path(paths: Paths, box: str) -> str:
    """Where the running box's process is noted, for sessions that need no engine call to find it."""
    return f"{paths.run}/boxes/{box}.json"


def lock_path(paths: Paths, box: str) -> str:
    """The lock under which one box is changed."""
    return f"{paths.run}/locks/{box}.lock"


def volumes_lock(paths: Paths) -> str:
    """The lock that boxes share while they start, and that an exchange of a volume's data holds alone."""
    return f"{paths.run}/locks/volumes.lock"


def starting_locks(paths: Paths) -> list[str]:
    """The locks of which each start holds one: two per processor.

    More at once only share the processors, until the engine's calls meet their time limits.
    """
    return [f"{paths.run}/locks/starting.{number}" for number in range(2 * len(os.sched_getaffinity(0)))]


def note_running(paths: Paths, name: str, box: BoxState) -> None:
    """Remember the box's process: pid and start time together name one process and never another."""
    record: dict[str, jsonview.Json] = {
        "id": box.identifier,
        "pid": box.pid,
        "started": hostview.start_time(box.pid),
        "plan": box.plan,
    }
    if state.read_record(record_path(paths, name)) != record:
        state.write_record(record_path(paths, name), record)


def noted_running(paths: Paths, name: str) -> bool:
    """Whether the noted process of a box is alive; False also when nothing was noted."""
    record = state.read_record(record_path(paths, name))
    pid, started = jsonview.number(record, "pid"), jsonview.number(record, "started")
    return pid > 0 and started > 0 and hostview.start_time(pid) == started


def forget(paths: Paths, box: str) -> None:
    """Drop the notes and the id-mapped mount of a box that is gone."""
    state.remove_file(record_path(paths, box))
    if os.path.isdir(f"{paths.workspaces}/{box}"):
        from aibox import idmapped

        idmapped.remove(f"{paths.workspaces}/{box}/{ID_MAPPED}")
