"""Fixtures of the engine tests: the built zipapp on machines with real Podman and real runsc."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from machines import CACHE, ROOT, WORK, Machine

NEEDED = {
    "podman": "podman",
    "runc": "runc",
    "newuidmap": "uidmap",
    "mmdebstrap": "mmdebstrap",
    "nsenter": "util-linux",
}
KINDS = [f"{mode}-{runsc}" for mode in ("rootful", "rootless") for runsc in ("2024", "2026")]


def pytest_configure() -> None:
    """Fail, not skip, where something is missing."""
    lacking = sorted(package for program, package in NEEDED.items() if not shutil.which(program))
    lacking_runsc = [name for name in ("runsc-2024", "runsc-2026") if not (CACHE / name).exists()]
    if os.geteuid() != 0:
        pytest.exit("the engine tests make users and mount namespaces: run tests/run as root", 1)
    if lacking or lacking_runsc:
        pytest.exit(f"missing: {' '.join([*lacking, *lacking_runsc])}; `tests/run` installs what the tests need", 1)


@pytest.fixture(scope="session")
def zipapp() -> Iterator[Path]:
    """The artifact, built from this tree, where every user can read it."""
    folder = WORK / f"artifact-{os.getpid()}"
    folder.mkdir(parents=True)
    os.chmod(WORK, 0o755)
    os.chmod(folder, 0o755)
    output = folder / "aibox"
    subprocess.run([sys.executable, str(ROOT / "build_zipapp.py"), "--output", str(output)], check=True)
    yield output
    shutil.rmtree(folder)


def make(name: str, zipapp: Path) -> Iterator[Machine]:
    """A machine of one kind, from its namespace to its end."""
    mode, _, runsc = name.partition("-")
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=WORK)) / "m"
    machine = Machine(name, mode == "rootless", CACHE / f"runsc-{runsc}", zipapp, folder)
    machine.enter()
    try:
        yield machine
    finally:
        machine.leave()


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
