#!/usr/bin/env python3
"""What each setting of runsc does to builds, beside the ones that aibox gives: where the choice of flags comes from.

Usage: tests/bench/runscflags.py [--machine KIND] [--rounds COUNT] [--only WORD] [--write]
  --only   the settings alone in whose name WORD stands; aibox's own are always measured
  --write  keep the times in tests/bench/runscflags.json, which docs/performance.md shows
A box for each setting, from one image; each round builds one project in all of them in turn, so that all meet the same
load. The boxes have a read-only root and /tmp in memory, as aibox's have, and none of its filters.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
SAVED = HERE / "runscflags.json"
sys.path[:0] = [str(HERE.parents[0] / name) for name in ("support", "compat")] + [str(HERE.parents[1])]

import columns
from columns import Column
from hosts import built, made
from machines import ROOT, Machine
from work import SECONDS, done

from aibox import runtimefiles

# what each is built in: the project, and the folder of the box
PLACES = (
    ("make", "/workspace"), ("node", "/workspace"), ("go", "/workspace"), ("rust", "/workspace"), ("git", "/workspace"),
    ("git", "/home/dev"),
)  # fmt: skip
BUILD = (
    "cd {folder} && rm -rf bench && cp -r /workspace/{project} bench && cd bench && began=$(date +%s%N) && "
    "./build.sh > /dev/null && ended=$(date +%s%N) && echo $((ended - began))"
)
Times = dict[str, dict[str, list[float]]]


class Setting(NamedTuple):
    """Flags that replace or join aibox's, and what aibox makes of them; `home` are annotations of the home's mount."""

    name: str
    flags: tuple[str, ...]
    stand: str
    home: tuple[str, ...] = ()


OWN = Setting("aibox's", (), "")
SETTINGS = (
    OWN,
    Setting("`--directfs=false`", ("--directfs=false",), "slower"),
    Setting("`--dcache=20000`", ("--dcache=20000",),
            "not taken: the Sentry holds a descriptor of the host for each entry, and may have no more"),
    Setting(
        "`--file-access-mounts=exclusive`", ("--file-access-mounts=exclusive",),
        "not taken: the box would not see what the host changes in the workspace",
    ),
    Setting(
        "exclusive for the home alone", (), "not taken: no gain",
        ("type=bind", "share=container", "options=rw"),
    ),
    Setting(
        "`--overlay2=root:self`", ("--overlay2=root:self",), "no gain: the root is read-only"),
    Setting(
        "`--overlay2=all:memory`", ("--overlay2=all:memory",),
        "not taken: nothing would be left of the work when the box stops",
    ),
    Setting("`--platform=ptrace`", ("--platform=ptrace",), "not taken: Go and Rust are slower"),
)  # fmt: skip


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="runsc's settings")
    parser.add_argument("--machine", choices=("rootless-2024", "rootless-2026"), default="rootless-2024")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    wanted = [each for each in SETTINGS if each is OWN or given.only in each.name]
    with built() as zipapp, made(given.machine, zipapp) as machine:
        machine.set_up()
        times = measured(machine, wanted, given.rounds)
    for line in rows(times):
        print(f"| {' | '.join(line)} |")
    if given.write:
        SAVED.write_text(json.dumps(times, indent=1) + "\n", encoding="utf-8")
        subprocess.run([sys.executable, str(ROOT / "tests/tools/make_docs.py")], check=True)
    return 0


def kept() -> Times:
    """The times that were measured last."""
    times: Times = json.loads(SAVED.read_text(encoding="utf-8"))
    return times


def rows(times: Times) -> list[tuple[str, ...]]:
    """For people: how many times longer each setting's builds take than those with aibox's own, by the medians."""
    names = list(times[OWN.name])
    lines: list[tuple[str, ...]] = [("setting", *names, ""), ("---",) * (len(names) + 2)]
    for each in SETTINGS:
        if each.name not in times:
            continue
        own = {name: median(times[OWN.name][name]) for name in names}
        cells = [
            "fails" if not min(times[each.name][name]) else
            f"{own[name]:.2f} s" if each is OWN else f"{median(times[each.name][name]) / own[name]:.2f}"
            for name in names
        ]  # fmt: skip
        lines.append((each.name, *cells, each.stand))
    return lines


def measured(machine: Machine, settings: list[Setting], rounds: int) -> Times:
    """Seconds of each build with each setting, in rounds of all settings."""
    image = columns.image_for(machine, base=False)
    with ExitStack() as opened:
        boxes = {
            each.name: opened.enter_context(box(machine, each, number, image)) for number, each in enumerate(settings)
        }
        times: Times = {name: {} for name in boxes}
        for project, folder in PLACES:
            name = f"{project}, {'home' if folder.startswith('/home') else 'workspace'}"
            build = BUILD.format(project=project, folder=folder)
            for turn in range(rounds + 1):
                for setting, each in boxes.items():
                    taken = seconds(each, build)
                    # the first fills caches
                    if turn:
                        times[setting].setdefault(name, []).append(taken)
            told = ", ".join(f"{each} {median(times[each][name]):.2f}" for each in times)
            print(f"{name}: {told}; load {os.getloadavg()[0]:.1f}", flush=True)
    return times


def seconds(box: Column, build: str) -> float:
    """What a build takes; 0 if it fails."""
    answer = box.run(build, seconds=SECONDS)
    if answer.code != 0:
        print(f"{box.name}: {answer.err[-300:]}", flush=True)
        return 0.0
    return round(int(answer.out.split()[-1]) / 1e9, 3)


@contextmanager
def box(machine: Machine, setting: Setting, number: int, image: str) -> Iterator[Column]:
    """A box with aibox's flags of runsc and this setting's."""
    name = f"flags-{number}"
    workspace = columns.fill(machine, base=False)
    platform = runtimefiles.Settings("", "systrap", machine.rootless, "", "", "")
    runtime = f"{machine.home}/{name}-wrapper"
    flags = " ".join((*platform.flags, *setting.flags))
    machine.write(runtime, f'#!/bin/sh\nexec {machine.runsc} {flags} "$@"\n', 0o755)
    volume = f"home-{name}"
    machine.run(["podman", "volume", "create", volume])
    argv = columns.bare(name, machine, workspace, image, runtime=runtime)
    at = argv.index("--detach")
    source = machine.run(["podman", "volume", "inspect", "--format", "{{.Mountpoint}}", volume]).out.strip()
    hints = [f"{key}={value}" for key, _, value in (each.partition("=") for each in setting.home)]
    hints += [f"source={source}"] if hints else []
    argv[at:at] = ["--read-only", *(f"--annotation=dev.gvisor.spec.mount.home.{hint}" for hint in hints)]
    started = machine.run(argv, timeout=300)
    if started.code != 0:
        sys.exit(str(started))
    here = Column(name, machine, workspace)
    done(here, "cp -r /workspace/home/. /home/dev")
    try:
        yield here
    finally:
        machine.run(["podman", "rm", "--force", "--time", "0", name], timeout=60)


if __name__ == "__main__":
    raise SystemExit(main())
