"""Fixtures of the Windows stage's tests; where something is missing they fail, they never skip."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import stagehost
from stagehost import ABSENT, NEEDED, STAGE, Windows

EDITIONS = ("pwsh", "powershell")


def pytest_configure() -> None:
    """Say what is missing."""
    lacking = sorted(package for program, package in NEEDED.items() if not shutil.which(program))
    if not STAGE.exists():
        pytest.exit(ABSENT, 1)
    if lacking:
        pytest.exit(f"missing: {' '.join(lacking)}; `tests/run --full` installs what the tests need", 1)


@pytest.fixture(scope="session")
def drive() -> Path:
    """Drive C of the stage."""
    return stagehost.drive()


@pytest.fixture
def windows(drive: Path, request: pytest.FixtureRequest) -> Iterator[Windows]:
    """A Windows of the test's own."""
    made = Windows("t-" + re.sub(r"\W+", "-", request.node.name)[:40].strip("-"), drive).make()
    yield made
    made.remove()


@pytest.fixture(params=EDITIONS)
def edition(request: pytest.FixtureRequest) -> str:
    """PowerShell 7, or Windows PowerShell's 5.1 mode."""
    return str(request.param)
