"""Times by hyperfine on a test machine: percentiles, ratios, saved results, their comparison and their plot."""

import json
import math
import os
import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "support")]

from machines import Machine

# a ratio may be this much worse than the saved one before it counts as a regression
TOLERANCE = 1.15
# what tests/bench/cli.py --write keeps, and docs/performance.md shows
EVERYDAY = Path(__file__).with_name("everyday.json")
# what tests/bench/start.py --write keeps
STARTING = Path(__file__).with_name("starting.json")


class Command(NamedTuple):
    """What is timed, and what is run before each time."""

    command: str
    prepare: str = "true"


class Pair(NamedTuple):
    """What is timed with aibox, and what the engine is told to do without it; `machine` is its kind.

    `load` is the host's highest load average during the run; `against` the command without aibox, for people.
    """

    name: str
    mine: Sequence[float]
    bare: Sequence[float]
    load: float
    machine: str
    against: str = ""

    @property
    def ratio(self) -> float:
        """How many times longer aibox takes, by the medians."""
        return percentile(self.mine, 50) / percentile(self.bare, 50)


def percentile(times: Sequence[float], part: float) -> float:
    """The nearest-rank percentile."""
    return sorted(times)[max(0, math.ceil(part / 100 * len(times)) - 1)]


def timed(machine: Machine, commands: Sequence[Command], runs: int) -> list[list[float]]:
    """The seconds of each run of each command, in one run of hyperfine."""
    results = f"{machine.home}/times.json"
    words = [word for each in commands for word in ("--prepare", each.prepare)]
    argv = ["hyperfine", "--warmup", "1", "--runs", str(runs), "--export-json", results, *words]
    done = machine.run([*argv, *(each.command for each in commands)], timeout=1200)
    if done.code != 0:
        sys.exit(str(done))
    return [[float(time) for time in entry["times"]] for entry in json.loads(machine.read(results))["results"]]


def pair(machine: Machine, name: str, mine: Command, bare: Command, runs: int) -> Pair:
    """Time both, one after the other."""
    one, other = timed(machine, [mine, bare], runs)
    return Pair(name, one, other, round(os.getloadavg()[0], 1), machine.name)


def cells(measured: Pair) -> tuple[str, ...]:
    """A row for people: medians and 95th percentiles in milliseconds, and the ratio."""
    times = [f"{percentile(side, part) * 1000:.0f}" for side in (measured.mine, measured.bare) for part in (50, 95)]
    about = f"{len(measured.mine)} runs, {measured.machine}, load {measured.load}"
    return measured.name, *times, f"{measured.ratio:.2f}", about


def everyday(pairs: Sequence[Pair]) -> list[tuple[str, ...]]:
    """Rows for people, with their head: medians in milliseconds, and the ratio."""
    rows: list[tuple[str, ...]] = [
        ("command", "ms", "against", "ms", "ratio", "machine"),
        ("---",) * 6,
    ]
    for each in pairs:
        mine, bare = (f"{percentile(side, 50) * 1000:.0f}" for side in (each.mine, each.bare))
        about = f"{each.machine.partition('-')[0]}, {len(each.mine)} runs, load {each.load}"
        rows.append((f"`{each.name}`", mine, f"`{each.against}`", bare, f"{each.ratio:.2f}", about))
    return rows


HEAD = ("what", "aibox p50", "p95", "bare p50", "p95", "ratio of p50", "measured")


def load_pairs(file: Path) -> list[Pair]:
    """Saved results; none where there are none."""
    if not file.exists():
        return []
    return [Pair(**entry) for entry in json.loads(file.read_text(encoding="utf-8"))]


def save_pairs(file: Path, pairs: Sequence[Pair]) -> None:
    """Save results as JSON."""
    entries = [each._asdict() for each in pairs]
    file.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


def regressions(pairs: Sequence[Pair], before: Sequence[Pair]) -> list[str]:
    """The ratios that are worse than the saved ones, not the times: machines differ."""
    old = {(each.machine, each.name): each.ratio for each in before}
    return [
        f"{each.machine}: {each.name}: ratio {each.ratio:.2f}, was {old[each.machine, each.name]:.2f}"
        for each in pairs
        if (each.machine, each.name) in old and each.ratio > old[each.machine, each.name] * TOLERANCE
    ]


COLOURS = ("#2a6f97", "#a9a9a9", "#d9a441")
Bar = tuple[float, str]


def plot(pairs: Sequence[Pair]) -> str:
    """Bars of the medians as SVG, aibox above the bare engine."""
    sides = [(each.name, [percentile(side, 50) for side in (each.mine, each.bare)]) for each in pairs]
    return bars([(name, [(time, f"{time * 1000:.0f} ms") for time in times]) for name, times in sides])


def bars(groups: Sequence[tuple[str, Sequence[Bar]]], legend: Sequence[str] = ()) -> str:
    """Groups of named bars, with what is written behind each, as SVG."""
    longest = max(value for _, group in groups for value, _ in group)
    parts, top = [], 10
    for number, word in enumerate(legend):
        parts.append(f'<text x="{220 + 160 * number}" y="{top + 12}" fill="{COLOURS[number]}">{escape(word)}</text>')
    top += 26 if legend else 0
    for name, group in groups:
        parts.append(f'<text x="0" y="{top + 9 * len(group)}">{escape(name)}</text>')
        for (value, label), colour in zip(group, COLOURS, strict=False):
            width = value / longest * 380
            parts.append(f'<rect x="220" y="{top}" width="{width:.1f}" height="16" fill="{colour}"/>')
            parts.append(f'<text x="{226 + width:.1f}" y="{top + 13}">{escape(label)}</text>')
            top += 18
        top += 14
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="700" height="{top + 10}"'
    return "\n".join([f'{head} font-family="sans-serif" font-size="13">', *parts, "</svg>\n"])
