"""Figures of real work in the three kinds of boxes: medians, ratios, saved results, their comparison and their plot."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from measure import TOLERANCE, bars

# what tests/bench/work.py --write keeps, and docs/performance.md shows
WORK_FIGURES = Path(__file__).with_name("work.json")
KINDS = ("runc", "gvisor", "aibox")
HEAD = ("what", "unit", "bare runc", "bare gVisor", "gVisor with aibox", "aibox to gVisor", "aibox to runc", "measured")


class Figure(NamedTuple):
    """What was measured in each kind of box, in rounds of all three; `fast` is whether more is better.

    `values` are by kind, in `unit`; `load` is the host's highest load average, `machine` its kind.
    """

    name: str
    unit: str
    fast: bool
    values: dict[str, list[float]]
    load: float
    machine: str

    def ratio(self, other: str) -> float:
        """How many times worse aibox is than another kind of box, by the medians; below 1 it is better."""
        mine, against = median(self.values["aibox"]), median(self.values[other])
        return against / mine if self.fast else mine / against


def cells(figure: Figure) -> tuple[str, ...]:
    """A row for people."""
    middles = [median(figure.values[kind]) for kind in KINDS]
    ratios = [f"{figure.ratio(other):.2f}" for other in ("gvisor", "runc")]
    rounds = len(figure.values["aibox"])
    about = f"{rounds} round{'' if rounds == 1 else 's'}, {figure.machine}, load {figure.load}"
    return (
        figure.name,
        figure.unit,
        *(f"{middle:,.0f}" if middle >= 100 else f"{middle:.3g}" for middle in middles),
        *ratios,
        about,
    )


def load_figures(file: Path) -> list[Figure]:
    """Saved results; none where there are none."""
    if not file.exists():
        return []
    return [Figure(**entry) for entry in json.loads(file.read_text(encoding="utf-8"))]


def save_figures(file: Path, figures: Sequence[Figure]) -> None:
    """Save results as JSON."""
    rounded = [
        each._replace(values={kind: [round(value, 4) for value in row] for kind, row in each.values.items()})
        for each in figures
    ]
    file.write_text(json.dumps([each._asdict() for each in rounded], indent=1) + "\n", encoding="utf-8")


def worse(figures: Sequence[Figure], before: Sequence[Figure]) -> list[str]:
    """The ratios that are worse than the saved ones, not the figures: machines differ."""
    old = {(each.machine, each.name): each for each in before}
    found = []
    for each in figures:
        saved = old.get((each.machine, each.name))
        for other in ("gvisor", "runc") if saved else ():
            now, then = each.ratio(other), saved.ratio(other) if saved else 0.0
            if now > then * TOLERANCE:
                found.append(f"{each.machine}: {each.name}: {now:.2f} to {other}, was {then:.2f}")
    return found


def plot(figures: Sequence[Figure]) -> str:
    """How many times worse than bare runc: gVisor with aibox above bare gVisor, as SVG."""
    groups = []
    for each in figures:
        base = each.ratio("runc")
        pair = (base, base / each.ratio("gvisor"))
        groups.append((each.name, [(value, f"{value:.2f}") for value in pair]))
    return bars(groups, ("gVisor with aibox", "bare gVisor"))
