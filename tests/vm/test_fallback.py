"""Boxes on the host's own kernel, where policy allows them: they carry the profile aibox-sandbox."""

import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from seats import Seat, Seats

SECONDS = 600.0
# reads eight bytes of its own memory, by the process's file and by that of its thread
MEMORY = """
import os, threading
line = next(one for one in open("/proc/self/maps") if " rw-p " in one)
for path in ("/proc/self/mem", f"/proc/self/task/{threading.get_native_id()}/mem"):
    try:
        print(len(os.pread(os.open(path, os.O_RDONLY), 8, int(line.partition("-")[0], 16))))
    except PermissionError:
        print("refused")
"""
CASES = [
    pytest.param(("root", "runc"), marks=pytest.mark.short, id="root-runc"),
    pytest.param(("dev1", "runc"), marks=pytest.mark.short, id="dev1-runc"),
    pytest.param(("root", "crun"), id="root-crun"),
    pytest.param(("dev2", "crun"), id="dev2-crun"),
]


class Native(NamedTuple):
    """Whose box, under which runtime, and its workspace."""

    seat: Seat
    runtime: str
    place: str


@pytest.fixture(scope="module", params=CASES)
def native(request: pytest.FixtureRequest, seats: Seats) -> Iterator[Native]:
    """A running box on the host's own kernel, rootful and rootless."""
    user, runtime = request.param
    guest = seats["root"].guest
    guest.write("/etc/aibox/policy.yaml", "fallback_runtime: true\n")
    seat = seats[user]
    place = seat.workspace(f"native-{runtime}")
    guest.sh(f"mkdir {place}/.ssh; echo secret > {place}/.ssh/id; echo open > {place}/file", user=user)
    try:
        seat.ok("setup", "--yes", "--runtime", runtime, timeout=SECONDS)
        seat.ok("start", "--workspace", place, "--runtime", runtime)
        yield Native(seat, runtime, place)
    finally:
        seat.aibox("destroy", "--workspace", place)
        guest.sh("rm -f /etc/aibox/policy.yaml")


def inside(native: Native, *words: str) -> tuple[int, str]:
    """Exit code and output of a command in the box."""
    done = native.seat.aibox("exec", "--workspace", native.place, "--", *words)
    assert done.code != 125, str(done)
    return done.code, done.out


def test_processes_carry_the_profile(native: Native) -> None:
    for process in ("1", "self"):
        code, label = inside(native, "cat", f"/proc/{process}/attr/current")
        assert code == 0
        assert label.startswith("aibox-sandbox"), label


def test_what_the_profile_denies(native: Native) -> None:
    assert inside(native, "cat", "file") == (0, "open\n")
    assert inside(native, "sh", "-c", "echo x > new && cat new") == (0, "x\n")
    for words in (
        ("cat", ".ssh/id"),
        ("sh", "-c", "echo x > .ssh/new"),
        ("mv", ".ssh", "moved"),
        ("ln", ".ssh/id", "id"),
    ):
        assert inside(native, *words)[0] != 0, words
    assert inside(native, "python3", "-c", MEMORY) == (0, "refused\nrefused\n")


def test_without_the_profile_the_same_works(native: Native) -> None:
    """The control: the developer's own programs on the same folder and the same kernel."""
    guest, user = native.seat.guest, native.seat.user
    assert (
        guest.sh(f"cd {native.place}; mkdir -p x; cp -r .ssh x/; mv x/.ssh other; cat other/id", user=user).out
        == "secret\n"
    )
    assert guest.ok(["python3", "-c", MEMORY], user=user).out == "8\n8\n"


def test_verify_passes(native: Native) -> None:
    done = native.seat.aibox("verify", "--workspace", native.place, "--json")
    assert done.code == 0, str(done)
    data = json.loads(done.out)["data"]
    assert data["failed"] == 0, [finding for finding in data["findings"] if not finding["ok"]]
