"""The bench suite's own arithmetic: percentiles, ratios, and regressions that are of ratios only."""

import xml.etree.ElementTree as ET
from pathlib import Path

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
