"""Fixtures of the engine tests: the built zipapp on machines with real Podman and real runsc."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import DOCKER_KINDS, KINDS, build, make, require_host
from machines import Machine

# the suites that run on Docker, too; the others are about what only Podman has, or edit its program
DOCKER_ALONE = ("test_docker", "test_docker_images")
DOCKER_TOO = (
    "test_users",
    "test_faults",
    "test_mishaps",
    "test_killed",
    "test_pages",
    "test_lifecycle",
    "test_sessions",
    "test_verify",
    *DOCKER_ALONE,
)
# these call runtimes of their own by path, start a container that aibox did not make, or kill monitors
PODMAN_ONLY = (
    "test_forbidden_calls_give_eperm_in_the_first_process",
    "test_without_the_filter_the_same_calls_reach_the_kernel",
    "test_processes_that_podman_never_noted_end_with_their_box",
    "test_processes_of_a_box_that_podman_has_forgotten",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Function]) -> None:
    """Leave out what does not exist on Docker, and on Podman what is about Docker."""
    strange = [item for item in items if not fits(item)]
    config.hook.pytest_deselected(items=strange)
    items[:] = [item for item in items if item not in strange]


def fits(item: pytest.Function) -> bool:
    """Whether a test is meant for its machine's engine."""
    module = Path(str(item.path)).stem
    kind = item.callspec.params.get("machine", "") if hasattr(item, "callspec") else ""
    if str(kind).startswith("docker"):
        return module in DOCKER_TOO and item.originalname not in PODMAN_ONLY
    return module not in DOCKER_ALONE


def pytest_configure() -> None:
    """Fail, not skip, where something is missing."""
    require_host()


@pytest.fixture(scope="session")
def zipapp() -> Iterator[Path]:
    """The artifact, built from this tree, where every user can read it."""
    yield from build()


@pytest.fixture(
    scope="session",
    params=[pytest.param(kind, marks=pytest.mark.xdist_group(kind)) for kind in (*KINDS, *DOCKER_KINDS)],
)
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
