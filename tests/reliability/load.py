"""Many boxes and many cycles on one machine, and what they leave behind; writes the table of docs/reliability.md.

Usage: PYTHONPATH=. python tests/reliability/load.py KIND [--cycles 1000] [--boxes 50] [--write]   (as root)
KIND is rootful-2024, rootless-2026, docker-2024, ... A leak is anything that grows with the number of cycles.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT)]

from hosts import build, make
from machines import Machine

PAGE = ROOT / "docs" / "reliability.md"
PER_BOX = 400 << 20  # bytes that a box needs to start beside others
WARM = 3  # cycles before the first count: caches and folders are made once


class Left(NamedTuple):
    """What is there on a machine at one moment."""

    processes: int
    mounts: int
    volumes: int
    locks: int
    containers: int
    descriptors: int


def count(machine: Machine) -> Left:
    """Count what a cycle could leave behind."""
    assert machine.holder
    space = Path(f"/proc/{machine.holder.pid}/ns/mnt").readlink()
    mine = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "ns/mnt").readlink() == space:
                mine.append(entry)
        except OSError:
            continue
    mounts = len(Path(f"/proc/{machine.holder.pid}/mountinfo").read_text().splitlines())
    volumes = machine.run([machine.engine, "volume", "ls", "--quiet"], timeout=120).out.split()
    containers = machine.run([machine.engine, "ps", "--all", "--quiet"], timeout=120).out.split()
    run = f"/run/user/{machine.uid}/aibox" if machine.rootless else machine.data.replace("/var/lib", "/run")
    locks = machine.run(["sh", "-c", f"ls {run}/locks"], root=True).out.split()
    descriptors = len(list(Path(f"/proc/{daemon(machine)}/fd").iterdir())) if machine.daemon else 0
    return Left(len(mine), mounts, len(volumes), len(locks), len(containers), descriptors)


def daemon(machine: Machine) -> int:
    """The pid of the machine's dockerd."""
    return int(machine.read("/run/docker.pid"))


def cycles(machine: Machine, number: int) -> tuple[Left, Left, list[float]]:
    """Start, run a command, and stop, over and over; what was there before and after, and the seconds of each."""
    place = str(machine.workspace())

    def cycle() -> float:
        began = time.monotonic()
        for words in (["start"], ["exec"], ["stop"]):
            after = ["--", "true"] if words == ["exec"] else []
            machine.ok(*words, "--workspace", place, *after, timeout=300)
        return time.monotonic() - began

    for _ in range(WARM):
        cycle()
    before = count(machine)
    seconds = [cycle() for _ in range(number)]
    after = count(machine)
    machine.ok("destroy", "--workspace", place, timeout=300)
    return before, after, seconds


def together(machine: Machine, wanted: int) -> tuple[int, float]:
    """Start many boxes at once, as far as memory allows; how many, and the seconds until all of them ran."""
    free = next(int(line.split()[1]) << 10 for line in Path("/proc/meminfo").read_text().splitlines()
                if line.startswith("MemAvailable"))  # fmt: skip
    number = max(1, min(wanted, free // PER_BOX))
    places = [str(machine.workspace(f"many{index}")) for index in range(number)]
    began = time.monotonic()
    limits = ["--memory", "512M", "--cpus", "1"]
    started = [
        subprocess.Popen(
            machine.inside([str(machine.zipapp), "start", "--json", "--workspace", place, *limits]),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for place in places
    ]
    for child in started:
        out, err = child.communicate(timeout=1800)
        assert child.returncode == 0, f"{out!r} {err!r}"
        assert json.loads(out)["data"]["action"] == "created"
    seconds = time.monotonic() - began
    machine.ok("destroy", "--all", timeout=1800)
    return number, seconds


def row(kind: str, before: Left, after: Left, seconds: list[float], many: tuple[int, float]) -> str:
    """One row of the page's table."""
    middle = sorted(seconds)[len(seconds) // 2]
    grown = ", ".join(f"{name} {new - old:+d}" for name, old, new in zip(Left._fields, before, after, strict=True))
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    return f"| {kind} | {len(seconds)} | {middle:.1f} | {grown} | {many[0]} in {many[1]:.0f} s | {most} MiB |\n"


def main() -> int:
    """Run, print, and with --write put the row into the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind")
    parser.add_argument("--cycles", type=int, default=1000)
    parser.add_argument("--boxes", type=int, default=50)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    leaks = False
    for zipapp in build():
        for machine in make(given.kind, zipapp):
            machine.set_up()
            many = together(machine, given.boxes)
            before, after, seconds = cycles(machine, given.cycles)
            # dockerd keeps a few descriptors for its clients' connections, which come and go
            leaks = any(new > old + (5 if name == "descriptors" else 0)
                        for name, old, new in zip(Left._fields, before, after, strict=True))  # fmt: skip
            line = row(given.kind, before, after, seconds, many)
            print(line, end="")
            if given.write:
                text = PAGE.read_text(encoding="utf-8")
                lines = [old for old in text.splitlines(keepends=True) if not old.startswith(f"| {given.kind} |")]
                end = lines.index("<!-- figures end -->\n")
                PAGE.write_text("".join([*lines[:end], line, *lines[end:]]), encoding="utf-8")
    return 1 if leaks else 0


if __name__ == "__main__":
    raise SystemExit(main())
