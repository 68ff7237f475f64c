"""Fixtures of the air gap suite: a machine that makes bundles, and fresh machines whose only interface is loopback."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import build, make, require_host
from islands import Island
from machines import CACHE, WORK, Machine


def pytest_configure() -> None:
    """Fail, not skip, where something is missing."""
    require_host()


@pytest.fixture(scope="session")
def zipapp() -> Iterator[Path]:
    """The artifact, built from this tree, where every user can read it."""
    yield from build()


@pytest.fixture(scope="session")
def store() -> Iterator[Path]:
    """A folder for bundles that every machine sees."""
    folder = Path(tempfile.mkdtemp(prefix="bundles-", dir=WORK))
    os.chmod(folder, 0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def maker(zipapp: Path) -> Iterator[Machine]:
    """A rootful machine that is set up."""
    for made in make("rootful-2024", zipapp):
        made.set_up()
        yield made


@pytest.fixture(scope="session")
def bundle(maker: Machine, store: Path) -> Path:
    """A bundle of the real base image."""
    path = store / "aibox.bundle"
    maker.ok("bundle", "create", "--output", str(path), timeout=300)
    return path


@pytest.fixture(params=["rootful", "rootless"])
def island(request: pytest.FixtureRequest, zipapp: Path) -> Iterator[Island]:
    """A fresh machine without network and without runsc; the user has chosen the storage driver."""
    yield from an_island(request.param, zipapp)


@pytest.fixture(scope="module")
def rootful_island(zipapp: Path) -> Iterator[Island]:
    """A rootful one, for what does not depend on the kind."""
    yield from an_island("rootful", zipapp)


def an_island(mode: str, zipapp: Path) -> Iterator[Island]:
    """From its namespaces to its end."""
    folder = Path(tempfile.mkdtemp(prefix=f"island-{mode}-", dir=WORK)) / "m"
    machine = Island(f"island-{mode}", mode == "rootless", CACHE / "runsc-2024", zipapp, folder)
    machine.enter()
    try:
        yield machine
    finally:
        machine.leave()
