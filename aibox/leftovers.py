"""What interrupted commands left on this host: throw-away boxes, their volumes and folders, half-written files.

Each has the process that made it in its name. What belongs to a process that is gone belongs to nobody.
"""

import os
import re
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

from aibox import boxes, execute, state

if TYPE_CHECKING:
    from aibox.context import Context
    from aibox.enginecalls import EngineCalls
    from aibox.state import Paths

# what probe names its throw-away boxes and volumes after, and its folders; what state names unfinished files after
BOX = re.compile(r"\.proof([0-9]+)-")
FOLDER = re.compile(r"aibox-proof-([0-9]+)-")
UNFINISHED = re.compile(r".+\.([0-9]+)\.new")


def is_left(name: str) -> bool:
    """Whether a box or volume belongs to a throw-away box whose process is gone."""
    return _of_the_gone(BOX.search(name))


def _of_the_gone(match: "re.Match[str] | None") -> bool:
    return match is not None and not os.path.exists(f"/proc/{match[1]}")


def folder_prefix() -> str:
    """How the folder of a throw-away box of this process begins."""
    return f"aibox-proof-{os.getpid()}-"


def volumes(calls: "EngineCalls") -> list[str]:
    """Volumes of throw-away boxes whose process is gone."""
    listed = calls.run([*calls.engine.argv, "volume", "ls", "--format", "{{.Name}}"])
    return [name for name in listed.text().split() if is_left(name)]


def files(paths: "Paths") -> list[str]:
    """Folders of throw-away boxes and files that were being written, of processes that are gone."""
    found = [path for path in _entries(f"{paths.data}/proof") if _of_the_gone(FOLDER.match(os.path.basename(path)))]
    kept = [paths.data, paths.run]
    for place in ("boxes", "runsc", "runtimes"):
        kept += [f"{paths.data}/{place}", *_entries(f"{paths.data}/{place}")]
    kept += [f"{paths.run}/boxes", os.path.dirname(paths.seccomp)]
    for folder in dict.fromkeys(kept):
        found += [path for path in _entries(folder) if _of_the_gone(UNFINISHED.fullmatch(os.path.basename(path)))]
    return found


def _entries(folder: str) -> Iterator[str]:
    try:
        yield from (f"{folder}/{name}" for name in sorted(os.listdir(folder)))
    except OSError:
        return


def sweep(context: "Context", calls: "EngineCalls") -> list[str]:
    """Remove all of it; what was removed, by name."""
    done = [box.name for box in calls.boxes() if is_left(box.name)]
    for name in done:
        execute.destroy(calls, context.paths, name)
        boxes.forget(context.paths, name)
    for name in volumes(calls):
        calls.run([*calls.engine.argv, "volume", "rm", "--force", name])
        done.append(name)
    for path in files(context.paths):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            state.remove_file(path)
        done.append(path)
    return done
