"""The bench suite's own arithmetic: percentiles, ratios, and regressions that are of ratios only."""

import xml.etree.ElementTree as ET
from pathlib import Path

import workrows
from measure import Pair, cells, load_pairs, percentile, plot, regressions, save_pairs

QUICK = Pair("new box", [0.2, 0.3, 0.4], [0.2, 0.2, 0.2], 0.5, "rootless-2024")


def test_percentiles_are_of_the_nearest_rank() -> None:
    times = [n / 10 for n in range(10, 0, -1)]
    assert [percentile(times, part) for part in (50, 95, 0)] == [0.5, 1.0, 0.1]


def test_a_row_shows_medians_percentiles_ratio_and_load() -> None:
    assert cells(QUICK) == ("new box", "300", "400", "200", "200", "1.50", "3 runs, rootless-2024, load 0.5")


def test_a_slower_machine_is_no_regression_and_a_worse_ratio_is_one() -> None:
    slower = QUICK._replace(mine=[0.6], bare=[0.4])
    worse = QUICK._replace(mine=[0.4])
    assert regressions([slower], [QUICK]) == []
    assert regressions([worse], [QUICK]) == ["rootless-2024: new box: ratio 2.00, was 1.50"]
    assert regressions([worse._replace(machine="rootful-2024")], [QUICK]) == []


def test_results_are_read_back_as_they_were_saved(tmp_path: Path) -> None:
    save_pairs(tmp_path / "saved.json", [QUICK])
    assert load_pairs(tmp_path / "saved.json") == [QUICK]
    assert load_pairs(tmp_path / "none.json") == []


def test_the_plot_is_a_picture_with_both_bars() -> None:
    root = ET.fromstring(plot([QUICK._replace(name="a < b")]))
    bars = [float(bar.get("width", "")) for bar in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert bars[0] / bars[1] > 1.4
    assert "a < b" in [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]


BUILD = workrows.Figure(
    "make: again", "s", False, {"runc": [1.0, 1.2], "gvisor": [2.0], "aibox": [2.2, 2.0]}, 1.5, "rootless-2024"
)
SPEEDS = {"runc": [800.0], "gvisor": [400.0], "aibox": [200.0]}
DISK = BUILD._replace(name="read", unit="MB/s", fast=True, values=SPEEDS)


def test_a_ratio_above_one_is_worse_whatever_is_measured() -> None:
    assert workrows.cells(BUILD)[2:] == ("1.1", "2", "2.1", "1.05", "1.91", "2 rounds, rootless-2024, load 1.5")
    assert workrows.cells(DISK)[2:7] == ("800", "400", "200", "2.00", "4.00")


def test_only_worse_ratios_of_work_are_regressions(tmp_path: Path) -> None:
    workrows.save_figures(tmp_path / "saved.json", [BUILD, DISK])
    saved = workrows.load_figures(tmp_path / "saved.json")
    assert (saved, workrows.load_figures(tmp_path / "none.json")) == ([BUILD, DISK], [])
    slower = BUILD._replace(values={kind: [value * 5 for value in row] for kind, row in BUILD.values.items()})
    poor = DISK._replace(values={**DISK.values, "aibox": [100.0]})
    assert workrows.worse([slower, poor], saved) == [
        "rootless-2024: read: 4.00 to gvisor, was 2.00", "rootless-2024: read: 8.00 to runc, was 4.00"
    ]  # fmt: skip
    assert workrows.worse([poor._replace(machine="rootful-2024")], saved) == []


def test_the_plot_of_work_is_against_runc() -> None:
    root = ET.fromstring(workrows.plot([BUILD, DISK]))
    labels = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert labels == ["gVisor with aibox", "bare gVisor", "make: again", "1.91", "1.82", "read", "4.00", "2.00"]
