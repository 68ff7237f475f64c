#!/usr/bin/env python3
"""How much the everyday verbs cost, against the bare interpreter and the bare engine, in one run.

Usage: tests/bench/cli.py [--runs COUNT] [--rounds COUNT] [--rootful | --rootless] [--write]
Prints a Markdown table of medians and their ratios; `--write` also keeps the times in tests/bench/everyday.json, which
`tests/tools/make_docs.py` puts into docs/performance.md. On machines of its own, as the engine tests use them, with a
running box. Each round times every command and the one that it is compared with in turn: both meet the same load.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "support")]

from hosts import built, made
from machines import ROOT, Machine
from measure import EVERYDAY, Pair, everyday, save_pairs

INTERPRETER = "/usr/bin/python3 -IS -c pass"


def main() -> int:
    """Measure, print, and with --write keep."""
    parser = argparse.ArgumentParser(description="times of the everyday verbs")
    parser.add_argument("--rootful", action="store_true", help="the rootful machine only")
    parser.add_argument("--rootless", action="store_true", help="the rootless machine only")
    parser.add_argument("--runs", type=int, default=5, help="in each round")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    if not shutil.which("hyperfine"):
        sys.exit("hyperfine is missing; tests/run installs it")
    pairs: list[Pair] = []
    with built() as zipapp:
        for kind in ("rootless", "rootful"):
            if (given.rootful, given.rootless) in ((False, False), (kind == "rootful", kind == "rootless")):
                with made(f"{kind}-2024", zipapp) as machine:
                    machine.set_up()
                    pairs += measured(machine, given.rounds, given.runs)
    for line in everyday(pairs):
        print(f"| {' | '.join(line)} |")
    if given.write:
        save_pairs(EVERYDAY, pairs)
        subprocess.run([sys.executable, str(ROOT / "tests/tools/make_docs.py")], check=True)
    return 0


def measured(machine: Machine, rounds: int, runs: int) -> list[Pair]:
    """Time each command and the one that it is compared with, in turn, again and again."""
    place = machine.workspace()
    box = json.loads(machine.ok("start", "--workspace", str(place), "--json").out)["data"]["box"]
    inside = f"--workspace {shlex.quote(str(place))}"
    rows = [
        ("--version", INTERPRETER),
        ("--help", INTERPRETER),
        ("list", "podman ps --all --format json"),
        (f"status {inside}", f"podman container inspect {box}"),
        (f"exec {inside} -- true", f"podman exec {box} true"),
    ]
    times: dict[str, list[float]] = {}
    loads = []
    results = f"{machine.home}/times.json"
    commands = [command for verb, bare in rows for command in (f"{shlex.quote(str(machine.zipapp))} {verb}", bare)]
    for number in range(rounds):
        # the same command twice in one run would be one entry
        argv = ["hyperfine", "--shell=none", "--warmup", "1" if number else "3", "--runs", str(runs)]
        done = machine.run([*argv, "--export-json", results, *commands], timeout=600)
        if done.code != 0:
            sys.exit(str(done))
        for position, entry in enumerate(json.loads(machine.read(results))["results"]):
            times.setdefault(f"{position}", []).extend(round(float(time), 5) for time in entry["times"])
        loads.append(os.getloadavg()[0])
    load = round(max(loads), 1)
    return [
        Pair(f"aibox {verb.replace(f' {inside}', '')}", times[f"{2 * at}"], times[f"{2 * at + 1}"], load, machine.name,
             bare.replace(box, "BOX"))
        for at, (verb, bare) in enumerate(rows)
    ]  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
