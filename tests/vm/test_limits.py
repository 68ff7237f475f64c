"""Limits of rootless boxes under gVisor, held by the user's systemd: hogs stay inside while the host works on."""

import json
from collections.abc import Iterator

import pytest
from guest import Done, Guest
from seats import Seat, Seats

MEMORY = "perl -e 'my @a; push @a, q(x) x 1048576 for 1..900; print qq(survived)'"
FORKS = "perl -e 'for (1..2000) { fork // do { print qq(refused), exit 0 } } sleep 1; print qq(survived)' | tail -c 20"
BURN = "for i in 1 2 3 4; do timeout 20 sh -c 'while :; do :; done' & done; wait"
LIMITED = ("--memory", "400M", "--cpus", "0.5", "--pids", "400")


@pytest.fixture(scope="module", params=["dev1", "dev2"])
def limited(request: pytest.FixtureRequest, seats: Seats) -> Seat:
    """A user without root; each has another runsc."""
    return seats[request.param]


@pytest.fixture
def place(limited: Seat) -> Iterator[str]:
    """A workspace with a box that has limits."""
    path = limited.workspace("limited")
    started = limited.ok("start", "--workspace", path, *LIMITED)
    assert "not enforced" not in started.err, str(started)
    yield path
    limited.aibox("destroy", "--workspace", path)


def works(guest: Guest) -> None:
    """The host's other work goes on."""
    done = guest.ok(["sh", "-c", "echo on | sha256sum"], timeout=60)
    assert done.out, str(done)


def own_scope(seat: Seat, place: str) -> str:
    """The control group of the box on the host."""
    shown = seat.guest.ok(["cat", f"/proc/{seat.pid(place)}/cgroup"]).out
    return "/sys/fs/cgroup" + shown.strip().removeprefix("0::")


def test_the_kernel_holds_them_and_verify_sees_it(limited: Seat, place: str) -> None:
    group = own_scope(limited, place)
    shown = limited.guest.sh(f"cat {group}/memory.max {group}/memory.swap.max {group}/pids.max {group}/cpu.max").out
    assert shown.splitlines() == ["419430400", "0", "400", "50000 100000"]
    data = json.loads(limited.ok("verify", "--workspace", place, "--json").out)["data"]
    assert sum(finding["control"] == "R6" for finding in data["findings"]) == 8
    assert data["failed"] == 0
    limits = json.loads(limited.ok("status", "--workspace", place, "--json").out)["data"]["limits"]
    assert (limits["enforced"], limits["held_by"]) == (True, "systemd")


def test_verify_finds_a_limit_that_was_lifted(limited: Seat, place: str) -> None:
    group = own_scope(limited, place)
    limited.guest.sh(f"echo max > {group}/memory.max")
    done = limited.aibox("verify", "--workspace", place, "--json")
    assert done.code == 3, str(done)
    wrong = [one for one in json.loads(done.out)["data"]["findings"] if not one["ok"]]
    assert {one["control"] for one in wrong} == {"R6"}, wrong


def session(seat: Seat, place: str, script: str) -> Done | None:
    """A session, or None where it does not end: the kernel may take a stub process of the Sentry (docs/limits.md)."""
    words = [
        "timeout",
        "--kill-after",
        "5",
        "60",
        "/usr/local/bin/aibox",
        "exec",
        "--workspace",
        place,
        "--",
        "sh",
        "-c",
    ]
    done = seat.guest.run([*words, script], user=seat.user, timeout=90)
    return None if done.code in (124, 137) and not done.err else done


def test_a_memory_hog_ends_its_own_box_alone(limited: Seat, place: str) -> None:
    other = limited.workspace("neighbour")
    limited.ok("start", "--workspace", other, *LIMITED)
    try:
        done = session(limited, place, MEMORY)
        assert done is None or "survived" not in done.out, str(done)
        if done is not None and limited.aibox("exec", "--workspace", place, "--", "true").code == 5:
            assert "the box itself ended" in done.err, str(done)
        works(limited.guest)
        assert limited.ok("exec", "--workspace", other, "--", "echo", "on").out == "on\n"
        limited.ok("restart", "--workspace", place)
        assert limited.ok("exec", "--workspace", place, "--", "echo", "again").out == "again\n"
    finally:
        limited.aibox("destroy", "--workspace", other)


def test_a_fork_bomb_stays_inside(limited: Seat, place: str) -> None:
    group = own_scope(limited, place)
    session(limited, place, FORKS)
    works(limited.guest)
    events = limited.guest.run(["cat", f"{group}/pids.peak"])
    if events.code == 0:
        assert int(events.out) <= 400, str(events)
    limited.ok("restart", "--workspace", place)
    limited.ok("verify", "--workspace", place)


def test_a_burner_gets_its_share(limited: Seat, place: str) -> None:
    group = own_scope(limited, place)

    def used() -> float:
        lines = limited.guest.ok(["cat", f"{group}/cpu.stat"]).out.splitlines()
        return int(dict(line.split() for line in lines)["usage_usec"]) / 1e6

    before, began = used(), float(limited.guest.ok(["cut", "-d ", "-f1", "/proc/uptime"]).out)
    session(limited, place, BURN)
    after, ended = used(), float(limited.guest.ok(["cut", "-d ", "-f1", "/proc/uptime"]).out)
    share = (after - before) / (ended - began)
    assert 0.1 < share <= 0.6, f"{share:.2f} of a processor"
