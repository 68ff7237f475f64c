#!/usr/bin/env python3
"""Cold start, warm start and hot reconnect, each against the same engine commands without aibox, in one run.

Usage: tests/bench/start.py [--machine KIND]... [--runs COUNT] [--json FILE] [--compare FILE] [--plot FILE] [--write]
  --machine  rootless-2024, rootful-2026 and so on; without it the first of each
  --json     save the times
  --compare  exit code 1 if a ratio is worse than in a saved file, by more than its tolerance
  --plot     draw the medians as SVG
  --write    keep the times in tests/bench/starting.json, which docs/performance.md shows
The image is local. Bare is the argv that `aibox start --dry-run` prints, with another name. Where distrobox is
installed, its `enter` is measured as well.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "support")]

import peers
from hosts import built, made
from machines import ROOT, Machine
from measure import HEAD, STARTING, Command, Pair, cells, load_pairs, pair, plot, regressions, save_pairs

BARE = "bare"
KINDS = tuple(f"{mode}-{release}" for mode in ("rootless", "rootful") for release in ("2024", "2026"))


def main() -> int:
    """Measure, print, compare."""
    parser = argparse.ArgumentParser(description="times of starting")
    parser.add_argument("--machine", action="append", choices=KINDS)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--write", action="store_true")
    for option in ("--json", "--compare", "--plot"):
        parser.add_argument(option, type=Path)
    given = parser.parse_args()
    if not shutil.which("hyperfine"):
        sys.exit("hyperfine is missing; tests/run installs it")
    pairs: list[Pair] = []
    with built() as zipapp:
        for name in given.machine or ("rootless-2024", "rootful-2024"):
            with made(name, zipapp) as machine:
                machine.set_up()
                pairs += measured(machine, given.runs)
    for line in (HEAD, ("---",) * len(HEAD), *map(cells, pairs)):
        print(f"| {' | '.join(line)} |")
    if given.json:
        save_pairs(given.json, pairs)
    if given.write:
        save_pairs(STARTING, [each._replace(mine=rounded(each.mine), bare=rounded(each.bare)) for each in pairs])
        subprocess.run([sys.executable, str(ROOT / "tests/tools/make_docs.py")], check=True)
    if given.plot:
        given.plot.write_text(plot(pairs), encoding="utf-8")
    worse = regressions(pairs, load_pairs(given.compare)) if given.compare else []
    print("\n".join(worse))
    return 1 if worse else 0


def rounded(times: Sequence[float]) -> list[float]:
    """Seconds, as far as they mean anything."""
    return [round(time, 4) for time in times]


def bare_start(machine: Machine, place: Path) -> tuple[str, str]:
    """The engine's commands for a new box of the same flags and another name: what makes it, and its own name."""
    told = machine.ok("start", "--dry-run", "--json", "--workspace", str(place))
    commands = [str(command) for command in json.loads(told.out)["data"]["commands"]]
    box = shlex.split(commands[1])[-1]
    # looking and limiting are what aibox adds
    kept = [command for command in commands if " inspect " not in command]
    return " && ".join(command.replace(f"--name={box}", f"--name={BARE}") for command in kept).replace(
        f" {box}", f" {BARE}"
    ), box


def measured(machine: Machine, runs: int) -> list[Pair]:
    """The three ways into a box, with aibox and without."""
    place = machine.workspace()
    (place / "file").touch()
    os.chown(place / "file", machine.uid, machine.uid)
    aibox, inside = shlex.quote(str(machine.zipapp)), f"--workspace {shlex.quote(str(place))}"
    create, box = bare_start(machine, place)
    gone = f"podman rm --force --time 0 --ignore {BARE}"
    pairs = [
        pair(machine, "new box (image local)", Command(f"{aibox} start {inside}", f"{aibox} destroy {inside} || true"),
             Command(create, gone), runs),
        pair(machine, "warm start", Command(f"{aibox} start {inside}", f"{aibox} stop {inside}"),
             Command(f"podman start {BARE}", f"podman stop {BARE}"), runs),
        pair(machine, "exec -- true", Command(f"{aibox} exec {inside} -- true"),
             Command(f"podman exec {box} true"), max(runs, 20)),
        pair(machine, "shell (no input)", Command(f"{aibox} shell {inside} < /dev/null"),
             Command(f"podman exec --interactive {box} bash < /dev/null"), runs),
    ]  # fmt: skip
    return pairs + (peers.measured(machine, place, max(runs, 20)) if machine.rootless and peers.installed() else [])


if __name__ == "__main__":
    raise SystemExit(main())
