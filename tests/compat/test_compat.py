"""The compatibility matrix's own column: every row in a real box does what the table says, failures too."""

from collections.abc import Iterator
from pathlib import Path

import columns
import pytest
from compatrows import ROWS, Row, judge
from hosts import build, make, require_host


@pytest.fixture(scope="session")
def zipapp() -> Iterator[Path]:
    """The artifact, built from this tree."""
    require_host()
    yield from build()


@pytest.fixture(scope="session")
def box(request: pytest.FixtureRequest, zipapp: Path) -> Iterator[columns.Column]:
    """With --full a box of the image with all tools, otherwise of the base image."""
    for machine in make("rootless-2026", zipapp):
        with columns.column("aibox-2026", machine, base=not request.config.getoption("--full")) as column:
            yield column


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_row_is_as_the_table_says(request: pytest.FixtureRequest, box: columns.Column, row: Row) -> None:
    if not row.base and not request.config.getoption("--full"):
        pytest.skip("needs the image with all tools: --full")
    assert not judge(row, box.name, box.outcome(row))
