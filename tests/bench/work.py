#!/usr/bin/env python3
"""Real work in boxes: builds, disk and memory under bare runc, bare gVisor, and gVisor with aibox, on one machine.

Usage: tests/bench/work.py [--machine KIND] [--rounds COUNT] [--only WORD] [--json FILE] [--compare FILE] [--plot FILE]
                           [--write]
  --only     the measurements alone in whose name WORD stands
  --compare  exit code 1 if a ratio is worse than in a saved file, by more than its tolerance
  --write    keep the figures in tests/bench/work.json, which docs/performance.md shows, and draw docs/performance.svg
All three boxes run at once, from one image; each round measures one after the other, so that all meet the same load.
Times are taken inside, so that they are of the work and not of the way in.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / name) for name in ("support", "compat")]

import columns
from columns import Column
from hosts import built, made
from kills import descendants
from machines import ROOT, Machine
from workrows import HEAD, KINDS, WORK_FIGURES, Figure, cells, load_figures, plot, save_figures, worse

SECONDS = 600
MACHINES = tuple(f"{mode}-{release}" for mode in ("rootless", "rootful") for release in ("2024", "2026"))
PICTURE = ROOT / "docs" / "performance.svg"
BUILDS = ("make", "javac", "maven", "node", "python", "go", "rust", "git")
# a copy of its own, nothing built yet, nothing of it in the page cache; then the same again
COPY = "cd /workspace && rm -rf bench ~/.cache/go-build && cp -r {project} bench"
TIMED = (
    "cd /workspace/bench && began=$(date +%s%N) && ./build.sh > /dev/null && ended=$(date +%s%N) && "
    "echo $((ended - began))"
)
AGAIN = "cd /workspace && rm -rf bench && cp -r {project} bench"
# from the page cache: gVisor does not hand fio's wish to drop it on to the host
FIO = (
    "fio --name=bench --directory={folder} --filename=fio.data --size=256M --ioengine=psync --bs={block} --rw={way} "
    "--invalidate=0 {more} --output-format=json && if [ {way} = randwrite ]; then rm {folder}/fio.data; fi"
)
WAYS = {
    "sequential write": ("write", "1M", "--end_fsync=1"),
    "sequential read": ("read", "1M", "--runtime=4 --time_based"),
    "random read": ("randread", "4k", "--runtime=4 --time_based"),
    "random write": ("randwrite", "4k", "--runtime=4 --time_based"),
}
FOLDERS = {"workspace": "/workspace", "home": "/home/dev"}


class Measurement(NamedTuple):
    """What is measured in one box: names with their units, and whether more is better."""

    names: tuple[str, ...]
    unit: str
    fast: bool
    take: Callable[[Column], Sequence[float]]


def main() -> int:
    """Measure, print, compare."""
    parser = argparse.ArgumentParser(description="real work in boxes")
    parser.add_argument("--machine", choices=MACHINES, default="rootless-2024")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--write", action="store_true")
    for option in ("--json", "--compare", "--plot"):
        parser.add_argument(option, type=Path)
    given = parser.parse_args()
    with built() as zipapp, made(given.machine, zipapp) as machine:
        machine.set_up()
        figures = measured(machine, given.rounds, given.only)
    for line in (HEAD, ("---",) * len(HEAD), *map(cells, figures)):
        print(f"| {' | '.join(line)} |")
    if given.json:
        save_figures(given.json, figures)
    if given.plot:
        given.plot.write_text(plot(figures), encoding="utf-8")
    if given.write:
        save_figures(WORK_FIGURES, figures)
        PICTURE.write_text(plot(figures), encoding="utf-8")
        subprocess.run([sys.executable, str(ROOT / "tests/tools/make_docs.py")], check=True)
    found = worse(figures, load_figures(given.compare)) if given.compare else []
    print("\n".join(found))
    return 1 if found else 0


def measured(machine: Machine, rounds: int, only: str) -> list[Figure]:
    """All measurements, each in rounds of the three boxes."""
    image, release = columns.image_for(machine, base=False), machine.name.partition("-")[2]
    with ExitStack() as open_boxes:
        boxes = {
            kind: open_boxes.enter_context(
                columns.opened(
                    kind if kind == "runc" else f"{kind}-{release}", machine, columns.fill(machine, base=False), image
                )
            )
            for kind in KINDS
        }
        figures = []
        for one in measurements(machine):
            if only not in " ".join(one.names):
                continue
            taken: dict[str, dict[str, list[float]]] = {name: {kind: [] for kind in KINDS} for name in one.names}
            loads = []
            for _ in range(rounds):
                for kind, box in boxes.items():
                    for name, value in zip(one.names, one.take(box), strict=True):
                        taken[name][kind].append(value)
                loads.append(os.getloadavg()[0])
            load = round(max(loads), 1)
            figures += [Figure(name, one.unit, one.fast, taken[name], load, machine.name) for name in one.names]
            for figure in figures[-len(one.names) :]:
                print(" ".join(cells(figure)), flush=True)
    return figures


def measurements(machine: Machine) -> list[Measurement]:
    """The table of what is measured."""
    memory = Measurement(("memory of an idle box",), "MiB", False, partial(resident, machine))
    disk = [
        Measurement((f"{way}, {place}",), "MB/s" if block == "1M" else "IOPS", True,
                    partial(fio, folder, *WAYS[way]))
        for place, folder in FOLDERS.items()
        for way, (_, block, _) in WAYS.items()
    ]  # fmt: skip
    builds = [
        Measurement((f"{name}: first build", f"{name}: again"), "s", False,
                    partial(twice, name))
        for name in BUILDS
    ]  # fmt: skip
    return [memory, *disk, *builds]


def done(box: Column, script: str) -> str:
    """What a script in the box prints. Raises SystemExit."""
    answer = box.run(script, seconds=SECONDS)
    if answer.code != 0:
        sys.exit(str(answer))
    return answer.out


def twice(project: str, box: Column) -> list[float]:
    """Seconds of a build with nothing in memory, and of the same build again."""
    done(box, COPY.format(project=project))
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3", encoding="ascii")
    first = int(done(box, TIMED).split()[-1])
    done(box, AGAIN.format(project=project))
    return [nanoseconds / 1e9 for nanoseconds in (first, int(done(box, TIMED).split()[-1]))]


def fio(folder: str, way: str, block: str, more: str, box: Column) -> list[float]:
    """MB/s of large blocks, operations a second of small ones."""
    told = json.loads(done(box, FIO.format(folder=folder, way=way, block=block, more=more)))
    side = told["jobs"][0]["write" if "write" in way else "read"]
    return [float(side["bw_bytes"]) / 1e6 if block == "1M" else float(side["iops"])]


def resident(machine: Machine, box: Column) -> list[float]:
    """MiB that the box's processes on the host hold: their proportional share, as /proc/PID/smaps_rollup has it."""
    listed = machine.run(["podman", "ps", "--format", "{{.Names}}"]).out.split()
    name = next(each for each in listed if each == box.name or (box.name.startswith("aibox-2") and "aibox-" in each))
    told = machine.run(["podman", "inspect", "--format", "{{.State.ConmonPid}}", name]).out
    total = 0
    for pid in descendants(int(told)):
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        total += int(next(line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:")))
    return [total / 1024]


if __name__ == "__main__":
    raise SystemExit(main())
