"""Podman's monitors as the host's /proc shows them, and making one of which Podman knows nothing."""

import os
import signal
import subprocess
import time
from itertools import pairwise
from typing import NamedTuple

from machines import Machine

from aibox import hostview

STORAGE = "/var/lib/containers"


class Conmon(NamedTuple):
    """A monitor: its process, the name and the id of its box."""

    pid: int
    box: str
    identifier: str


def processes() -> dict[int, tuple[str, ...]]:
    """All processes and their command lines."""
    return {int(name): hostview.argv(int(name)) for name in os.listdir("/proc") if name.isdigit()}


def conmons(machine: Machine) -> list[Conmon]:
    """Those of one machine, whatever its engine knows; others may have boxes of the same names."""
    found = []
    for pid, argv in processes().items():
        if os.path.basename(argv[0]) != "conmon":
            continue
        told = dict(pairwise(argv))
        if "-n" not in told:
            continue  # a session's
        try:
            here = machine.home in told["-b"] if machine.rootless else os.path.samestat(
                os.stat(f"/proc/{pid}/root{STORAGE}"), os.stat(machine.own(STORAGE))
            )  # fmt: skip
        except OSError:
            continue
        if here:
            found.append(Conmon(pid, told["-n"], told["-c"]))
    return found


def unknown(machine: Machine) -> list[Conmon]:
    """Those whose box the engine does not list."""
    seen = conmons(machine)
    done = machine.run(["podman", "ps", "--all", "--no-trunc", "--quiet"])
    assert done.code == 0, str(done)
    return [one for one in seen if one.identifier not in done.out.split()]


def interrupt(machine: Machine, box: str, *command: str) -> Conmon:
    """Kill aibox and Podman when the runtime has made the box's processes, and before Podman has noted them."""
    child = subprocess.Popen(
        machine.inside([str(machine.zipapp), *command]), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def wait_for(*roles: str) -> Conmon:
        """Until the box's monitor has exactly these children, or any."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            for one in conmons(machine):
                names = {os.path.basename(hostview.argv(pid)[0]) for pid in hostview.children(one.pid)}
                if one.box == box and names and names == set(roles or names):
                    return one
        raise AssertionError(f"no {' and '.join(roles) or 'child'} of the monitor of {box}")

    # Podman waits for its monitor now; frozen, it notes nothing
    wait_for()
    callers = [pid for pid, argv in processes().items() if "init" in argv and argv[-1] == box and "podman" in argv[0]]
    for pid in callers:
        os.kill(pid, signal.SIGSTOP)
    # the runtime's `create`, a child as well, is still at work when both are there
    left = wait_for(hostview.SENTRY, hostview.GOFER)
    child.kill()
    child.wait()
    for pid in callers:
        os.kill(pid, signal.SIGKILL)
    return left
