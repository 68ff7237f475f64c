#!/usr/bin/env python3
"""Runs the compatibility matrix and prints it.

Usage: tests/compat/matrix.py [--base] [--columns NAME,...] [--rows NAME,...] [--save FILE]
  --base  only what aibox's base image can run: no image with tools is made
  --save  keep the results; docs/compatibility.md shows those of tests/compat/results.json
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1] / "support")]

import columns
from compatrows import COLUMNS, judge, known
from hosts import build
from machines import CACHE, WORK, Machine


def main() -> int:
    """Run, print, and say what is not as the table has it."""
    parser = argparse.ArgumentParser(description="the compatibility matrix")
    parser.add_argument("--base", action="store_true")
    parser.add_argument("--columns", default=",".join(COLUMNS))
    parser.add_argument("--rows", default="")
    parser.add_argument("--save", type=Path)
    given = parser.parse_args()
    rows = set(given.rows.split(",")) - {""}
    artifacts = build()
    zipapp = next(artifacts)
    wrong: list[str] = []
    try:
        for name in given.columns.split(","):
            if name not in COLUMNS:
                sys.exit(f"no such column: {name}; there are {', '.join(COLUMNS)}")
            run_column(name, zipapp, rows, wrong, base=given.base, file=given.save)
    finally:
        next(artifacts, None)
    print("\n".join(["", *wrong]) if wrong else "\neverything is as the table says")
    return 1 if wrong else 0


def run_column(name: str, zipapp: Path, rows: set[str], wrong: list[str], *, base: bool, file: Path | None) -> None:
    """One column on a rootless machine of its own; each outcome is printed as it comes."""
    runsc = CACHE / f"runsc-{name.partition('-')[2] or '2024'}"
    machine = Machine(f"compat-{name}", True, runsc, zipapp, Path(tempfile.mkdtemp(dir=WORK)) / "m")
    machine.enter()
    try:
        with columns.column(name, machine, base=base) as box:
            for row in columns.wanted(base=base):
                if rows and row.name not in rows:
                    continue
                outcome = box.outcome(row)
                fault = judge(row, name, outcome)
                word = "pass" if outcome.code == 0 else "known" if known(row, name) and not fault else "FAILS"
                wrong += [f"{name}: {fault}"] if fault else []
                print(
                    f"{name:<12}{row.name:<14}{word:<6}{outcome.seconds:>7.1f} s  load {outcome.load}  {outcome.said}"
                )
                sys.stdout.flush()
                if file:
                    columns.save(file, name, row.name, outcome)
    finally:
        machine.leave()


if __name__ == "__main__":
    raise SystemExit(main())
