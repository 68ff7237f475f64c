"""Boxes on the host's own kernel, where policy allows them: they carry the profile aibox-sandbox."""

import json
from collections.abc import Iterator

import pytest
from seats import Seat

SECONDS = 600.0


@pytest.fixture(scope="module", params=["runc", "crun"])
def native(request: pytest.FixtureRequest, root: Seat) -> Iterator[tuple[str, str]]:
    """The runtime and a workspace with a running box under it."""
    runtime = request.param
    root.guest.write("/etc/aibox/policy.yaml", "fallback_runtime: true\n")
    place = root.workspace(f"native-{runtime}")
    root.guest.sh(f"mkdir {place}/.ssh; echo secret > {place}/.ssh/id; echo open > {place}/file")
    try:
        root.ok("setup", "--yes", "--runtime", runtime, timeout=SECONDS)
        root.ok("start", "--workspace", place, "--runtime", runtime)
        yield runtime, place
    finally:
        root.aibox("destroy", "--workspace", place)
        root.guest.sh("rm -f /etc/aibox/policy.yaml")


def inside(root: Seat, native: tuple[str, str], *words: str) -> tuple[int, str]:
    """Exit code and output of a command in the box."""
    done = root.aibox("exec", "--workspace", native[1], "--", *words)
    assert done.code != 125, str(done)
    return done.code, done.out


def test_processes_carry_the_profile(root: Seat, native: tuple[str, str]) -> None:
    for process in ("1", "self"):
        code, label = inside(root, native, "cat", f"/proc/{process}/attr/current")
        assert code == 0
        assert label.startswith("aibox-sandbox"), label


def test_what_the_profile_denies(root: Seat, native: tuple[str, str]) -> None:
    assert inside(root, native, "cat", "file") == (0, "open\n")
    assert inside(root, native, "sh", "-c", "echo x > new && cat new") == (0, "x\n")
    for words in (("cat", ".ssh/id"), ("sh", "-c", "echo x > .ssh/new"), ("cat", "/proc/1/mem")):
        assert inside(root, native, *words)[0] != 0, words


def test_verify_passes(root: Seat, native: tuple[str, str]) -> None:
    done = root.aibox("verify", "--workspace", native[1], "--json")
    assert done.code == 0, str(done)
    data = json.loads(done.out)["data"]
    assert data["failed"] == 0, [finding for finding in data["findings"] if not finding["ok"]]
