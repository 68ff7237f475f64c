"""Fixtures of the kill loops: machines with real Podman, one of each mode."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import build, make, require_host
from machines import Machine

# with --full, for each command on each of the machines
KILLS = int(os.environ.get("AIBOX_TEST_KILLS", "100"))


def pytest_configure() -> None:
    """Fail, not skip, where something is missing."""
    require_host()


@pytest.fixture(scope="session")
def zipapp() -> Iterator[Path]:
    """The artifact, built from this tree."""
    yield from build()


@pytest.fixture(scope="session", params=["rootful-2024", "rootless-2024"])
def machine(request: pytest.FixtureRequest, zipapp: Path) -> Iterator[Machine]:
    """Each mode in turn, set up."""
    for made in make(request.param, zipapp):
        made.set_up()
        yield made


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How many: all with --full, else a few."""
    return KILLS if request.config.getoption("--full") else 5
