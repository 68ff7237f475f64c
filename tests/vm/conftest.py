"""Fixtures of the virtual machine's suite: one guest for all tests, aibox set up in it for root and for two users."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from guest import Done, Guest
from seats import AIBOX, RUNSC, Seat, Seats
from settings import CACHE, ROOT

NEEDED = {
    "qemu-system-x86_64": "qemu-system-x86",
    "mkfs.ext4": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "gcc": "gcc",
    "apparmor_parser": "apparmor",
}


def pytest_configure() -> None:
    """Fail, not skip, where something is missing."""
    lacking = sorted(package for program, package in NEEDED.items() if not shutil.which(program))
    if lacking:
        pytest.exit(f"missing: {' '.join(lacking)}; `tests/run --full` installs what the tests need", 1)


@pytest.fixture(scope="session")
def guest() -> Iterator[Guest]:
    """The guest, with the artifact built from this tree."""
    with tempfile.TemporaryDirectory(prefix="aibox-vm-", dir="/var/tmp") as folder:
        payload = Path(folder) / "payload"
        payload.mkdir()
        build = [sys.executable, str(ROOT / "build_zipapp.py"), "--output", str(payload / "aibox")]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        shutil.copy(CACHE / "runsc-2026", payload / "runsc-2026")
        files = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True).stdout
        pack = ["tar", "--create", "--file", str(payload / "tree.tar"), "--files-from", "-"]
        subprocess.run(pack, cwd=ROOT, input=files, check=True)
        probe = [
            "gcc",
            "-O1",
            "-static",
            "-o",
            str(payload / "runsc-probe"),
            str(Path(__file__).parent / "stage" / "probe.c"),
        ]
        subprocess.run(probe, check=True)
        running = Guest(payload, Path(folder))
        try:
            running.wait()
            running.sh(
                f"install /payload/aibox {AIBOX}; install -D /payload/runsc-2026 {RUNSC['dev1']};"
                " install /payload/runsc-probe /opt/runsc-probe"
            )
            yield running
        finally:
            running.stop()


@pytest.fixture(scope="session")
def before_root(guest: Guest) -> Done:
    """What setup says to a user before an administrator has run it."""
    return guest.ok([AIBOX, "setup", "--dry-run", "--json"], user="dev1")


@pytest.fixture(scope="session")
def seats(guest: Guest, before_root: Done) -> Seats:
    """Root, who loads the profiles, and the users; each is set up when it is first asked for."""
    assert before_root.code == 0
    made = Seats(guest)
    assert made["root"].user == "root"
    return made


@pytest.fixture(scope="session", params=["root", "dev1"])
def seat(request: pytest.FixtureRequest, seats: Seats) -> Seat:
    """Rootful with one runsc and rootless with the other."""
    return seats[request.param]


@pytest.fixture(scope="session")
def root(seats: Seats) -> Seat:
    """Root's."""
    return seats["root"]
