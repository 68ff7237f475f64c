"""Many boxes and many cycles on one machine, and what they leave behind; writes the table of docs/reliability.md.

Usage: PYTHONPATH=. python tests/reliability/load.py KIND [--cycles 1000] [--boxes 50] [--write]   (as root)
KIND is rootful-2024, rootless-2026, docker-2024, ... A leak is anything of which there is more after the cycles.
Ctrl-C ends the cycles early, and what was done until then is counted.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT)]

from census import Census, take
from hosts import build, make
from machines import Machine

PAGE = ROOT / "docs" / "reliability.md"
PER_BOX = 400 << 20  # bytes that a box needs to start beside others
WARM = 3  # cycles before the first count: caches and folders are made once
MOST_MEMORY = 64 << 20  # bytes of aibox itself, whatever it works on
LARGE = 512 << 20  # bytes in a volume whose backup must not need as much memory
# runs the zipapp in this process and says at its end how much memory that took; an exec would replace it
MEASURED = """
import os, resource, runpy, sys
place, leave = sys.argv.pop(1), os._exit
def told(code):
    with open(place, "w") as file:
        file.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
    leave(code)
os._exit = told
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Load(NamedTuple):
    """What a run found: seconds of each cycle, boxes started at once and their seconds, what grew, bytes by verb."""

    kind: str
    seconds: list[float]
    boxes: int
    together: float
    sizes: dict[str, int]
    grown: dict[str, list[str]]
    memory: dict[str, int]


def identifier(machine: Machine, place: str) -> str:
    """The engine's identifier of a box."""
    name = str(json.loads(machine.ok("status", "--json", "--workspace", place).out)["data"]["box"])
    return machine.run([machine.engine, "container", "inspect", "--format", "{{.Id}}", name]).out.strip()


def cycles(machine: Machine, number: int) -> tuple[Census, Census, list[float]]:
    """Start, run a command, and stop, over and over; what was there before and after, and the seconds of each."""
    place = str(machine.workspace())

    def cycle() -> float:
        began = time.monotonic()
        machine.ok("start", "--workspace", place, timeout=300)
        machine.ok("exec", "--workspace", place, "--", "true", timeout=300)
        machine.ok("stop", "--workspace", place, timeout=300)
        return time.monotonic() - began

    for _ in range(WARM):
        cycle()
    box = identifier(machine, place)
    before = take(machine, box)
    seconds: list[float] = []
    try:
        while len(seconds) < number:
            seconds.append(cycle())
    except KeyboardInterrupt:  # so many were made; the row says how many
        machine.ok("stop", "--workspace", place, timeout=300)
    after = settled(lambda: take(machine, box), before)
    machine.ok("destroy", "--workspace", place, timeout=300)
    return before, after, seconds


def settled(look: Callable[[], Census], before: Census) -> Census:
    """What is there once nothing is on its way out any more."""
    after = look()
    for _ in range(9):
        if not before.grown(after):
            break
        time.sleep(2)
        after = look()
    return after


def together(machine: Machine, wanted: int) -> tuple[int, float, dict[str, list[str]], dict[str, int]]:
    """Start many boxes at once, as far as memory allows: how many, the seconds until all ran, what was left, memory."""
    # all that a first box makes for good is there: volumes, folders
    first = str(machine.workspace("many"))
    machine.ok("run", "--workspace", first, "--", "true", timeout=300)
    machine.ok("destroy", "--all", timeout=300)
    machine.ok("list")
    before = take(machine)
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
    listed = json.loads(machine.ok("list", "--json", timeout=300).out)["data"]["boxes"]
    assert len(listed) == number, listed
    for place in (places[0], places[-1]):
        machine.ok("exec", "--workspace", place, "--", "touch", "/workspace/here", timeout=300)
        assert (Path(place) / "here").exists()
    memory = {"list": peak(machine, "list")}
    machine.ok("destroy", "--all", timeout=1800)
    return number, seconds, before.grown(settled(lambda: take(machine), before)), memory


def peak(machine: Machine, *words: str) -> int:
    """The most memory, in bytes, that aibox itself took for a command; the programs that it calls do not count."""
    place = f"{machine.home}/peak"
    argv = ["python3", "-I", "-c", MEASURED, place, str(machine.zipapp), *words]
    done = machine.run(argv, timeout=900)
    assert done.code == 0, str(done)
    taken = int(machine.read(place)) << 10
    machine.run(["rm", place])
    return taken


def memory(machine: Machine) -> dict[str, int]:
    """The most memory of aibox itself by verb, with a large file in a volume."""
    place = str(machine.workspace())
    here = ("--workspace", place)
    found = {"start": peak(machine, "start", *here), "status": peak(machine, "status", *here)}
    found["verify"] = peak(machine, "verify", *here)
    if machine.engine == "podman":
        fill = ["dd", "if=/dev/urandom", "of=/home/dev/large", "bs=1M", f"count={LARGE >> 20}", "status=none"]
        machine.ok("exec", *here, "--", *fill, timeout=300)
        machine.ok("stop", *here)
        found["volume backup"] = peak(machine, "volume", "backup", "home", "--output", f"{machine.home}/home.tar")
        machine.run(["rm", f"{machine.home}/home.tar"])
        machine.ok("run", *here, "--", "rm", "/home/dev/large", timeout=300)
    found["stop"] = peak(machine, "stop", *here)
    found["destroy"] = peak(machine, "destroy", *here)
    return found


def load(machine: Machine, number: int, boxes: int) -> Load:
    """All of it on one machine."""
    machine.set_up()
    taken = memory(machine)
    count, seconds, left, more = together(machine, boxes)
    before, after, each = cycles(machine, number)
    grown = before.grown(after)
    for name, names in left.items():
        grown[name] = [*grown.get(name, []), *(f"{one} (of the boxes at once)" for one in names)]
    return Load(machine.name, each, count, seconds, after.sizes(), grown, {**taken, **more})


def row(found: Load) -> str:
    """One row of the page's table."""
    middle = sorted(found.seconds)[len(found.seconds) // 2]
    there = ", ".join(f"{count} {name}" for name, count in found.sizes.items() if count)
    grown = "; ".join(f"{len(names)} {name}" for name, names in found.grown.items()) or "nothing"
    verb, most = max(found.memory.items(), key=lambda item: item[1])
    at_once = f"{found.boxes} in {found.together:.0f} s"
    cells = (
        found.kind,
        f"{len(found.seconds)}",
        f"{middle:.1f}",
        there,
        grown,
        at_once,
        f"{most / 2**20:.0f} MiB ({verb})",
    )
    return f"| {' | '.join(cells)} |\n"


def write(line: str, kind: str) -> None:
    """Put the row into the page, in place of an older one of its kind."""
    lines = PAGE.read_text(encoding="utf-8").splitlines(keepends=True)
    end = lines.index("<!-- figures end -->\n")
    # other tables of the page have rows of the same kinds
    lines[:end] = [old for old in lines[:end] if not old.startswith(f"| {kind} |")]
    end = lines.index("<!-- figures end -->\n")
    PAGE.write_text("".join([*lines[:end], line, *lines[end:]]), encoding="utf-8")


def main() -> int:
    """Run, print, and with --write put the row into the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind")
    parser.add_argument("--cycles", type=int, default=1000)
    parser.add_argument("--boxes", type=int, default=50)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    for zipapp in build():
        for machine in make(given.kind, zipapp):
            found = load(machine, given.cycles, given.boxes)
            print(row(found), json.dumps({"grown": found.grown, "memory": found.memory}, indent=1), flush=True)
            if given.write:
                write(row(found), given.kind)
            if found.grown or max(found.memory.values()) > MOST_MEMORY:
                return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
