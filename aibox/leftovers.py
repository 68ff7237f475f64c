"""What interrupted commands left: throw-away boxes, their volumes and folders, half-written files, processes.

All but the last have in their name the process that made them: what belongs to one that is gone belongs to nobody.
Besides, what earlier setups and updates brought and nothing uses any more.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from aibox import boxes, execute, jsonview, monitors, planrecord, runtimefiles, state
from aibox.model import NATIVE_KINDS

if TYPE_CHECKING:
    from aibox.context import Context
    from aibox.enginecalls import EngineCalls
    from aibox.engines.adapter import BoxState
    from aibox.state import Paths

# what probe names its throw-away boxes and volumes after, and its folders; what state names unfinished files after
BOX = re.compile(r"\.proof([0-9]+)-")
FOLDER = re.compile(r"aibox-proof-([0-9]+)-")
UNFINISHED = re.compile(r".+\.([0-9]+)\.new")
LOCK_SECONDS = 60.0


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


def found(context: "Context", calls: "EngineCalls", listed: "list[BoxState]") -> list[str]:
    """All of it, by name: boxes of those `listed`, processes, volumes, files."""
    left = [box.name for box in listed if is_left(box.name)]
    unknown = [monitors.named(one) for one in monitors.orphans(context.paths)]
    return [*left, *unknown, *volumes(calls), *files(context.paths)]


def sweep(context: "Context", calls: "EngineCalls") -> list[str]:
    """Remove all of it; what was removed, by name."""
    done = [box.name for box in calls.boxes() if is_left(box.name)]
    for name in done:
        execute.destroy(calls, context.paths, name)
        boxes.forget(context.paths, name)
    for one in monitors.orphans(context.paths):
        monitors.end(calls, one)
        done.append(monitors.named(one))
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


class Unused(NamedTuple):
    """A folder of aibox's that nothing uses any more, and what it held."""

    path: str
    what: str


def unused(context: "Context", calls: "EngineCalls") -> list[Unused]:
    """gVisors and wrappers that neither setup's record nor a box names, and what interrupted commands unpacked.

    Where a box's own record is missing nobody knows what it runs under, and every gVisor and wrapper stays.
    """
    paths = context.paths
    record = state.read_record(paths.setup_record)
    kinds = ("runsc", *NATIVE_KINDS)
    kept = [jsonview.fields(record, runtimefiles.slot("runtime", kind)) for kind in kinds]
    needed = {jsonview.text(one, name) for one in kept for name in ("path", "program")}
    for box in calls.boxes():
        plan = boxes.recorded_plan(paths, box.name, box.plan)
        if plan is None:
            return _unpacked(paths)
        needed |= {plan.runtime.path, plan.runtime.program}
    for _, noted in boxes.registered(paths):
        runtime = planrecord.decode(noted.get("plan")).runtime
        needed |= {runtime.path, runtime.program}
    found = []
    for place, what in (("runsc", "gVisor"), ("runtimes", "a wrapper")):
        held = {path for path in needed if path.startswith(f"{paths.data}/{place}/")}
        folders = [path for path in _entries(f"{paths.data}/{place}") if os.path.isdir(path)]
        old = [path for path in folders if not any(one.startswith(f"{path}/") for one in held)]
        found += [Unused(path, f"{what} that nothing uses") for path in old]
    return [*found, *_unpacked(paths)]


def _unpacked(paths: "Paths") -> list[Unused]:
    places = (
        ("bundle", "a bundle that was not set up to its end"),
        ("build", "an image that was not built to its end"),
    )
    return [Unused(path, what) for place, what in places for path in _entries(f"{paths.data}/{place}")]


@contextmanager
def alone(paths: "Paths") -> Iterator[None]:
    """While no other command sets this host up, so that what is unpacked belongs to an interrupted one.

    Raises lock-timeout.
    """
    with (
        state.locked(f"{paths.data}/bundle.lock", timeout=LOCK_SECONDS),
        state.locked(f"{paths.data}/setup.lock", timeout=LOCK_SECONDS),
    ):
        yield


def prune(context: "Context", calls: "EngineCalls") -> list[Unused]:
    """Remove what nothing uses; to be called while `alone`."""
    found = unused(context, calls)
    for one in found:
        shutil.rmtree(one.path, ignore_errors=True)
    return found
