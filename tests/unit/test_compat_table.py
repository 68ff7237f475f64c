"""The compatibility matrix as data: rows name what exists, and a wrong outcome is noticed in both directions."""

from pathlib import Path

import pytest
from compatrows import COLUMNS, ROWS, Known, Outcome, Row, cell, judge, table

ROOT = Path(__file__).resolve().parents[2]
FAILING = Row("x", "g", "t", "./x.sh", known=(Known(("aibox-2026",), "not permitted", "reason", "way"),))
WORKING = Row("y", "g", "t", "./y.sh")
PASSED, REFUSED = Outcome(0, "", 1.0, 0.5), Outcome(1, "ptrace: Operation not permitted", 1.0, 0.5)


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_rows_name_files_that_exist(row: Row) -> None:
    place = ROOT / "tests/compat/rows" if row.folder == "compat" else ROOT / "tests/traces/projects" / row.folder
    assert (place / row.command.removeprefix("python3 ").split()[0]).is_file()
    assert all(entry.says and entry.reason and entry.way for entry in row.known)
    assert all(set(entry.columns) <= set(COLUMNS) for entry in row.known)


def test_names_are_unique() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize(
    ("row", "column", "outcome", "fault"),
    [
        (WORKING, "runc", PASSED, ""),
        (WORKING, "runc", REFUSED, "y: exit 1: ptrace: Operation not permitted"),
        (FAILING, "aibox-2026", REFUSED, ""),
        (FAILING, "aibox-2026", PASSED, "x: passes, but the table says that it fails: reason"),
        (FAILING, "aibox-2026", Outcome(1, "no such file", 1.0, 0.5),
         "x: fails, but does not say 'not permitted': no such file"),
        (FAILING, "runc", REFUSED, "x: exit 1: ptrace: Operation not permitted"),
    ],
)  # fmt: skip
def test_outcomes_are_judged_in_both_directions(row: Row, column: str, outcome: Outcome, fault: str) -> None:
    assert judge(row, column, outcome) == fault


def test_cells_give_no_time_of_a_busy_host_and_no_result_that_was_not_measured() -> None:
    assert cell(WORKING, "runc", PASSED) == "pass, 1.0 s"
    assert cell(WORKING, "runc", PASSED._replace(load=9.0)) == "pass"
    assert cell(FAILING, "aibox-2026", REFUSED) == "known"
    assert cell(FAILING, "runc", REFUSED) == "fails"
    assert {line[2:] for line in table({})} == {("not run",) * len(COLUMNS)}
