#!/usr/bin/env python3
"""Which commands of the engine each verb needs, seen by a stand-in between aibox and a real engine.

Usage: tests/bench/verbcalls.py [--write]
  --write  keep them in tests/bench/verbcalls.json, which docs/performance.md shows
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "support"), str(HERE.parent / "traces"), str(HERE.parent.parent)]

from hosts import built, made
from machines import ROOT, Machine
from standin import StandIn

SAVED = HERE / "verbcalls.json"
MACHINES = ("rootful-2024", "rootless-2024", "docker-2024")
ENGINES = ("rootful Podman", "rootless Podman", "Docker")
# one after the other
VERBS = (
    ("start, a new box", ("start",)),
    ("start, it runs already", ("start",)),
    ("exec", ("exec", "--", "true")),
    ("status", ("status",)),
    ("verify", ("verify",)),
    ("stop", ("stop",)),
    ("start, it was stopped", ("start",)),
    ("destroy", ("destroy",)),
)
Calls = dict[str, dict[str, list[str]]]


def main() -> int:
    """Count and print."""
    parser = argparse.ArgumentParser(description="the engine's commands by verb")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    with built() as zipapp:
        found = {name: counted(name, zipapp) for name in MACHINES}
    for line in rows(found):
        print(f"| {' | '.join(line)} |")
    if given.write:
        SAVED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        subprocess.run([sys.executable, str(ROOT / "tests/tools/make_docs.py")], check=True)
    return 0


def counted(name: str, zipapp: Path) -> dict[str, list[str]]:
    """The commands of each verb on one machine."""
    with made(name, zipapp) as machine:
        machine.set_up()
        return seen(machine, StandIn(machine))


def seen(machine: Machine, engine: StandIn) -> dict[str, list[str]]:
    """The commands of each verb; of those that aibox gives side by side, the order is by chance."""
    where = ("--workspace", str(machine.workspace()), "--engine-path", str(engine.program))
    found = {}
    for title, (verb, *words) in VERBS:
        machine.ok(verb, *where, *words)
        # the only command that is an option alone
        found[title] = sorted(call or "--version" for call in engine.calls())
    return found


def rows(found: Calls) -> list[tuple[str, ...]]:
    """For people."""
    lines: list[tuple[str, ...]] = [("verb", *ENGINES), ("---",) * (1 + len(ENGINES))]
    return lines + [(f"`{title}`", *(brief(found[name][title]) for name in MACHINES)) for title, _ in VERBS]


def brief(calls: list[str]) -> str:
    """How many there are, and which."""
    names = [f"{name} x{calls.count(name)}" if calls.count(name) > 1 else name for name in dict.fromkeys(calls)]
    return f"{len(calls)}: {', '.join(names)}" if calls else "none"


def kept() -> Calls:
    """What was seen last."""
    found: Calls = json.loads(SAVED.read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    raise SystemExit(main())
