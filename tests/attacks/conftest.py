"""Fixtures of the attack suite: each kind of machine with a box under attack, and the counts at the end."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from dockerscene import DockerScene
from handmade import HandmadeScene
from hosts import DOCKER_KINDS, KINDS, build, make, require_host
from machines import Machine
from results import RESULTS, lines
from scene import SHM, Scene
from table import INSIDE, RUNC, RUNSC, Attempt

RUNC_KINDS = ["rootful-runc", "rootless-runc"]


def pytest_configure(config: pytest.Config) -> None:
    """Fail, not skip, where something is missing."""
    require_host()
    config.stash[RESULTS] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Function]) -> None:
    """Leave out what does not exist: rows that are not for a runtime, and verbs of aibox on boxes made by hand."""
    fitting = [item for item in items if fits(item.callspec.params)]
    config.hook.pytest_deselected(items=[item for item in items if item not in fitting])
    items[:] = fitting


def fits(params: Mapping[str, object]) -> bool:
    """Whether there is such a test."""
    native = params["scene"] in RUNC_KINDS
    row = params.get("row")
    if params["scene"] in DOCKER_KINDS and not isinstance(row, Attempt):
        return False  # the attempts from the host are about Podman's ways
    return (RUNC if native else RUNSC) in row.runtimes if isinstance(row, Attempt) else not native


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter", config: pytest.Config) -> None:
    """Counts for each runtime."""
    for line in lines(config.stash[RESULTS]):
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def zipapp() -> Iterator[Path]:
    """The artifact, built from this tree, where every user can read it."""
    yield from build()


def scene_of(machine: Machine, *, native: bool) -> Scene:
    """The scene of this kind of machine."""
    if native:
        return HandmadeScene(machine)
    return DockerScene(machine) if machine.engine == "docker" else Scene(machine, "--shm", SHM)


def staged(kind: str, zipapp: Path) -> Iterator[Scene]:
    """A machine of this kind and a box on it; attempts and control runs are made when a test asks how they ended."""
    native = kind.endswith("-runc")
    for machine in make(kind.replace("-runc", "-2024"), zipapp):
        machine.set_up()
        scene = scene_of(machine, native=native)
        try:
            family = RUNC if native else RUNSC
            scene.rows = [(row.program, row.control_run) for row in INSIDE if family in row.runtimes]
            scene.start()
            yield scene
        finally:
            scene.end()


@pytest.fixture(scope="session", params=[*KINDS, *DOCKER_KINDS, *RUNC_KINDS])
def scene(request: pytest.FixtureRequest, zipapp: Path) -> Iterator[Scene]:
    """Each kind in turn."""
    for made in staged(request.param, zipapp):
        made.kind = request.param
        yield made
