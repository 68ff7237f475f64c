"""aibox killed at any moment of start, stop and destroy: the next command finds its way, and nothing is left over."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conmons import conmons, interrupt, unknown
from machines import Machine

from aibox import hostview, monitors
from aibox.state import Paths

SHORT = (0.1, 0.4, 0.9, 1.6)


def killed(machine: Machine, seconds: float, *words: str) -> None:
    """Run aibox and kill it after some time, as `kill -9` would."""
    child = subprocess.Popen(
        machine.inside([str(machine.zipapp), *words]),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    time.sleep(seconds)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def boxes(machine: Machine, place: Path) -> list[str]:
    argv = [machine.engine, "ps", "--all", "--quiet", "--filter", f"label=io.aibox.workspace={place}"]
    return machine.run(argv, timeout=180).out.split()


def test_killed_at_any_moment(machine: Machine, request: pytest.FixtureRequest) -> None:
    full = bool(request.config.getoption("--full"))
    delays = [0.05 * step for step in range(1, 60)] if full else SHORT
    place = machine.workspace()
    where = ("--workspace", str(place))
    for seconds in delays:
        killed(machine, seconds, "start", *where)
        started = json.loads(machine.ok("start", *where, "--json", timeout=300).out)["data"]
        assert started["action"] in ("created", "started", "running")
        assert machine.ok("exec", *where, "--", "echo", "in").out == "in\n"
        assert len(boxes(machine, place)) == 1
        killed(machine, seconds, "stop", *where)
        machine.aibox("stop", *where, timeout=300)
        machine.ok("start", *where, timeout=300)
        killed(machine, seconds, "destroy", *where)
        done = machine.aibox("destroy", *where, "--json", timeout=300)
        assert done.code in (0, 5), str(done)
        assert boxes(machine, place) == []
        listed = json.loads(machine.ok("list", "--json").out)["data"]["boxes"]
        assert str(place) not in {row["workspace"] for row in listed}


@pytest.fixture
def limbo(machine: Machine) -> Iterator[tuple[Path, str]]:
    """A workspace and its box, which Podman takes for stopped while its processes run."""
    place = machine.workspace()
    where = ("--workspace", str(place))
    box = json.loads(machine.ok("start", *where, "--json").out)["data"]["box"]
    for _ in range(10):
        machine.ok("stop", *where)
        watched = hostview.children(interrupt(machine, box, "start", *where).pid)
        if machine.run(["podman", "inspect", "--format", "{{.State.Status}}", box]).out.strip() == "exited":
            break
        # on a busy machine Podman may have noted it before it was stopped
        machine.ok("start", *where)
    else:
        raise AssertionError("Podman noted the box's processes each time")
    assert len(watched) == 2, "no Sentry and Gofer: the kill came at the wrong moment"
    yield place, box
    machine.aibox("destroy", *where)
    assert unknown(machine) == []
    assert not [pid for pid in watched if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize("verb", ["start", "destroy"])
def test_processes_that_podman_never_noted_end_with_their_box(
    machine: Machine, limbo: tuple[Path, str], verb: str
) -> None:
    place, box = limbo
    machine.ok(verb, "--workspace", str(place), timeout=300)
    left = [one for one in conmons(machine) if one.box == box]
    assert len(left) == (1 if verb == "start" else 0), left


def test_processes_of_a_box_that_podman_has_forgotten(machine: Machine, limbo: tuple[Path, str]) -> None:
    place, box = limbo
    # as anyone may do by hand
    assert machine.run(["podman", "rm", "--force", box]).code == 0
    machine.ok("start", "--workspace", str(place), timeout=300)
    (lost,) = unknown(machine)
    assert lost.box == box
    # who has another mount namespace sees the process, and has folders of the same names, or none
    assert monitors.orphans(Paths(machine.data, "", "", "")) == [], "it belongs to another machine"
    told = f"processes of {box} (conmon {lost.pid})"
    assert f"left by interrupted commands: {told}" in machine.aibox("doctor").out
    assert f"{told} is removed" in machine.ok("repair", "leftovers", "--yes").out
    assert unknown(machine) == []
    assert machine.ok("exec", "--workspace", str(place), "--", "echo", "in").out == "in\n"
