"""The engine's monitors of aibox's boxes, found in /proc: also those of which the engine knows nothing any more.

Podman starts conmon for each box, and notes what runs only after the runtime has made it. Killed between the two, it
leaves conmon, the Sentry and the Gofer running beside a box that it takes for stopped, and forgets them with that box.
Docker has one daemon that notes it all. Sources: conmon(8), proc_pid_cmdline(5).
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from aibox import hostview

if TYPE_CHECKING:
    from aibox.enginecalls import EngineCalls
    from aibox.state import Paths

PROGRAM = "conmon"
BOX_PREFIX = "aibox-"


class Monitor(NamedTuple):
    """A conmon: its process, and what it was told of its box: name, engine's id, runtime, and the box's folder."""

    pid: int
    box: str
    identifier: str
    runtime: str
    bundle: str


def parse(pid: int, argv: tuple[str, ...]) -> Monitor | None:
    """What a command line says if it is a conmon's for a box of aibox's, else None. Pure."""
    if os.path.basename(argv[0]) != PROGRAM:
        return None
    # the first of each: what follows may be the words of another command
    pairs = reversed([*pairwise(argv)])
    told = {option: value for option, value in pairs if option in ("-n", "-c", "-r", "-b")}
    if len(told) != 4 or not told["-n"].startswith(BOX_PREFIX):
        return None
    return Monitor(pid, told["-n"], told["-c"], told["-r"], told["-b"])


def running(paths: "Paths", box: str = "") -> list[Monitor]:
    """The caller's monitors on this machine, of one box or of all, with runtimes that aibox made.

    A process of another mount namespace may show the same names and paths: only who sees the very folder of this
    aibox's data belongs to it. And what runs in a container says what it likes: its root is not the host's.
    """
    found = (parse(pid, hostview.argv(pid)) for pid in _processes())
    return [
        one for one in found if one and box in ("", one.box) and is_made(one.runtime, paths) and is_own(one.pid, paths)
    ]


def is_made(runtime: str, paths: "Paths") -> bool:
    """Whether a runtime's path is one of those that setup writes, so that it may be called."""
    plain = os.path.normpath(runtime) == runtime
    return plain and os.path.dirname(os.path.dirname(runtime)) == f"{paths.data}/runtimes"


def orphans(paths: "Paths") -> list[Monitor]:
    """Those whose box the engine has removed: the folder that it keeps for each is gone."""
    return [one for one in running(paths) if not os.path.lexists(f"/proc/{one.pid}/root{one.bundle}")]


def named(monitor: Monitor) -> str:
    """For people: what still runs."""
    return f"processes of {monitor.box} (conmon {monitor.pid})"


def end(calls: "EngineCalls", monitor: Monitor) -> None:
    """End a monitor and what it watches; volumes stay.

    Its runtime first, which also forgets its own state of the box; whatever is left then is killed.
    """
    seen = [(pid, hostview.start_time(pid)) for pid in (*hostview.children(monitor.pid), monitor.pid)]
    calls.run(calls.inside([monitor.runtime, "delete", "--force", monitor.identifier]))
    for pid, started in seen:
        if started and hostview.start_time(pid) == started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _processes() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def is_own(pid: int, paths: "Paths") -> bool:
    """Whether a process is the caller's, on the host and not in a container, and sees the caller's data folder.

    An absolute link below another root leads to the caller's own files, so the root itself is compared first.
    """
    try:
        mine = os.stat(f"/proc/{pid}").st_uid == os.geteuid()
        same_root = mine and os.path.samestat(os.stat(f"/proc/{pid}/root"), os.stat("/"))
        return same_root and os.path.samestat(os.stat(f"/proc/{pid}/root{paths.data}"), os.stat(paths.data))
    except OSError:
        return False
