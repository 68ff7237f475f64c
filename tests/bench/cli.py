#!/usr/bin/env python3
"""How much the everyday verbs cost, against the bare interpreter and the bare engine, in one run of hyperfine.

Usage: tests/bench/cli.py [--rootful] [--runs COUNT]
Prints a Markdown table; the ratio is aibox's mean time divided by that of the line it is compared with. On a machine of
its own, as the engine tests use it, with a running box.
"""

import argparse
import json
import os
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "support")]

from hosts import build
from machines import CACHE, WORK, Machine

INTERPRETER = "/usr/bin/python3 -I -c pass"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="times of the everyday verbs")
    parser.add_argument("--rootful", action="store_true")
    parser.add_argument("--runs", type=int, default=20)
    given = parser.parse_args()
    if not shutil.which("hyperfine"):
        sys.exit("hyperfine is missing; tests/run installs it")
    artifacts = build()
    machine = Machine(
        "bench", not given.rootful, CACHE / "runsc-2024", next(artifacts), Path(tempfile.mkdtemp(dir=WORK)) / "m"
    )
    machine.enter()
    try:
        machine.set_up()
        report(machine, given.runs)
    finally:
        machine.leave()
        next(artifacts, None)
    return 0


def report(machine: Machine, runs: int) -> None:
    """Time each command and the one that it is compared with, in turn, and print the table."""
    place = machine.workspace()
    box = json.loads(machine.ok("start", "--workspace", str(place), "--json").out)["data"]["box"]
    aibox, inside = shlex.quote(str(machine.zipapp)), f"--workspace {shlex.quote(str(place))}"
    rows = [
        (f"{aibox} --version", INTERPRETER),
        (f"{aibox} --help", INTERPRETER),
        (f"{aibox} list", "podman ps --all --format json"),
        (f"{aibox} status {inside}", f"podman container inspect {box}"),
        (f"{aibox} exec {inside} -- true", f"podman exec {box} true"),
    ]
    results = f"{machine.home}/times.json"
    commands = [command for row in rows for command in row]
    argv = ["hyperfine", "--shell=none", "--warmup", "3", "--runs", str(runs), "--export-json", results, *commands]
    done = machine.run(argv, timeout=1200)
    if done.code != 0:
        sys.exit(str(done))
    times = {entry["command"]: entry for entry in json.loads(machine.read(results))["results"]}
    load = os.getloadavg()[0]
    print(f"{machine.user} ({'rootless' if machine.rootless else 'rootful'}), {runs} runs, load {load:.1f}\n")
    print("| aibox | ms | compared with | ms | ratio | ratio of minima |\n| --- | --- | --- | --- | --- | --- |")
    for mine, bare in rows:
        one, other = times[mine], times[bare]
        verb = shlex.split(mine)[1:]
        shown = " ".join(word for word in verb if word not in ("--workspace", str(place)))
        ratio, least = one["mean"] / other["mean"], one["min"] / other["min"]
        cells = (f"`aibox {shown}`", f"{one['mean'] * 1000:.0f}", f"`{bare.replace(box, 'BOX')}`")
        print(f"| {' | '.join(cells)} | {other['mean'] * 1000:.0f} | {ratio:.2f} | {least:.2f} |")


if __name__ == "__main__":
    raise SystemExit(main())
