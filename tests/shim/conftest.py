"""Fixtures of the shim's tests; without the PowerShell engine they fail, they never skip."""

from pathlib import Path

import pytest
from shimhost import ABSENT, MODES, PWSH, Host


def pytest_configure() -> None:
    """Say what is missing."""
    if not PWSH.exists():
        pytest.exit(ABSENT, 1)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A fresh host."""
    return Host(tmp_path / "windows").make()


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """How PowerShell passes arguments to programs: as 7 does, or as 5.1 does."""
    return str(request.param)
