"""Fixtures of the engine tests: the built zipapp on machines with real Podman and real runsc."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import KINDS, build, make, require_host
from machines import Machine


def pytest_configure() -> None:
    """Fail, not skip, where something is missing."""
    require_host()


@pytest.fixture(scope="session")
def zipapp() -> Iterator[Path]:
    """The artifact, built from this tree, where every user can read it."""
    yield from build()


@pytest.fixture(scope="session", params=[pytest.param(kind, marks=pytest.mark.xdist_group(kind)) for kind in KINDS])
def machine(request: pytest.FixtureRequest, zipapp: Path) -> Iterator[Machine]:
    """Each kind of machine in turn, set up."""
    for made in make(request.param, zipapp):
        made.set_up()
        yield made


@pytest.fixture(scope="session")
def rootful(zipapp: Path) -> Iterator[Machine]:
    """A rootful machine, for what does not depend on the kind."""
    for made in make("rootful-2024", zipapp):
        made.set_up()
        yield made


@pytest.fixture
def box(machine: Machine) -> Iterator[Path]:
    """A workspace with a running box; destroyed afterwards."""
    place = machine.workspace()
    machine.ok("start", "--workspace", str(place))
    yield place
    machine.aibox("destroy", "--workspace", str(place))
