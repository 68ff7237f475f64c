"""aibox killed at any moment of start, stop and destroy: the next command finds its way, and nothing is left over."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from machines import Machine

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
