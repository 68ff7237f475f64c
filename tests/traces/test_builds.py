"""Real builds under the filters: all pass under what ships; without one allowed call a named build breaks."""

import os
import random
import secrets
import shutil

import places
import pytest
import removal

NEEDED = ("mmdebstrap", "unshare", "nice")
SEED = os.environ.get("AIBOX_TEST_SEED") or secrets.token_hex(4)
SAMPLE = 10


@pytest.fixture(scope="session")
def toolbox() -> places.Place:
    """The Debian folder with the tools, made once and kept in the cache."""
    assert os.geteuid() == 0, "these tests change the root folder: run tests/run as root"
    lacking = [program for program in NEEDED if not shutil.which(program)]
    assert not lacking, f"missing: {lacking}; `tests/run` installs what the tests need"
    return places.toolbox()


def sample() -> list[removal.Break]:
    """Ten calls whose removal was seen to break a build, chosen anew in every run; the ids show the seed."""
    return random.Random(SEED).sample(removal.read(), SAMPLE)


@pytest.mark.parametrize("project", places.projects())
def test_build_passes_under_the_session_program(toolbox: places.Place, project: str) -> None:
    built = toolbox.build(project, program=removal.DATA / f"session-{os.uname().machine}.bpf")
    assert built.code == 0, built.output


@pytest.mark.parametrize("row", [pytest.param(row, id=f"seed-{SEED}-{row.call}") for row in sample()])
def test_build_breaks_without_a_call(toolbox: places.Place, row: removal.Break) -> None:
    assert row.project in removal.traced()[row.call]
    assert removal.breaks(toolbox, row.call, row.project, row.error), f"{row.project} builds without {row.call}"


def test_the_removal_itself_breaks_nothing(toolbox: places.Place) -> None:
    """The control: the same steps with a call that is refused anyway give the shipped program, and the build passes."""
    shipped = (removal.DATA / f"session-{os.uname().machine}.bpf").read_bytes()
    assert removal.program() == shipped
    assert not removal.breaks(toolbox, "keyctl", "shell", "ENOSYS")
