"""runsc under its AppArmor profile: the labels, what is refused with it and works without it, and what verify finds."""

import json
from collections.abc import Iterator

import pytest
from guest import Done, Guest
from seats import PROFILE, Seat, Seats, load, unload

pytestmark = pytest.mark.short

LABEL = "aibox-runsc (enforce)"
SIBLINGS = """
import os, sys
parent = next(line for line in open(f"/proc/{sys.argv[1]}/status") if line.startswith("PPid:")).split()[1]
for pid in open(f"/proc/{parent}/task/{parent}/children").read().split():
    name = open(f"/proc/{pid}/cmdline").read().split("\\0")[0]
    print(name, open(f"/proc/{pid}/attr/current").read().strip(), sep="|")
"""


@pytest.fixture(scope="module")
def box(seat: Seat) -> Iterator[str]:
    """A workspace with a key in it, and a running box."""
    place = seat.workspace("project")
    seat.guest.sh(f"mkdir {place}/.ssh; echo secret > {place}/.ssh/id; echo open > {place}/file", user=seat.user)
    seat.ok("start", "--workspace", place)
    yield place
    seat.aibox("destroy", "--workspace", place)


def test_user_is_told_what_an_administrator_has_to_do(before_root: Done) -> None:
    steps = {step["id"]: step for step in json.loads(before_root.out)["data"]["steps"]}
    assert "aibox-runsc" in steps["apparmor"]["missing"], steps["apparmor"]
    assert steps["apparmor"]["commands"], steps["apparmor"]


def test_sentry_and_gofer_carry_the_profile(seat: Seat, box: str) -> None:
    shown = seat.guest.ok(["python3", "-c", SIBLINGS, str(seat.pid(box))]).out
    labels = dict(line.split("|") for line in shown.splitlines())
    assert {name: label for name, label in labels.items() if name.startswith("runsc-")} == {
        "runsc-sandbox": LABEL,
        "runsc-gofer": LABEL,
    }, shown


def test_verify_passes_and_names_the_profile(seat: Seat, box: str) -> None:
    data = json.loads(seat.ok("verify", "--workspace", box, "--json").out)["data"]
    assert data["failed"] == 0
    seen = [finding for finding in data["findings"] if "aibox-runsc" in finding["expected"]]
    assert {"runsc-sandbox", "runsc-gofer"} <= {finding["expected"].split(":")[0] for finding in seen}, seen
    assert "AppArmor confines runsc" in seat.ok("status", "--workspace", box).out


def test_a_key_in_the_workspace_is_refused_and_other_files_are_not(seat: Seat, box: str) -> None:
    assert seat.ok("exec", "--workspace", box, "--", "cat", "file").out == "open\n"
    done = seat.aibox("exec", "--workspace", box, "--", "cat", ".ssh/id")
    assert (done.code, done.out) == (1, ""), str(done)
    assert "Permission denied" in done.err
    write = seat.aibox("exec", "--workspace", box, "--", "sh", "-c", "echo x > .ssh/new")
    assert write.code != 0, str(write)


def test_without_the_profile_the_key_can_be_read(seat: Seat, box: str) -> None:
    """The control run: the same runsc and folder, without the wrapper."""
    program = f"{'/root' if seat.user == 'root' else f'/home/{seat.user}'}/plain"
    flags = "--network=none" if seat.user == "root" else "--network=none --ignore-cgroups"
    runsc = {"root": "/usr/bin/runsc", "dev1": "/opt/gvisor-2026/runsc", "dev2": "/usr/bin/runsc"}[seat.user]
    seat.guest.write(program, f'#!/bin/sh\nexec {runsc} {flags} "$@"\n', user=seat.user, mode=0o755)
    argv = ["podman", "--runtime", program, "run", "--rm", "--network", "none", "--user", "0", "--volume",
            f"{box}:/workspace", "localhost/aibox/base:24.04", "cat", "/workspace/.ssh/id"]  # fmt: skip
    assert seat.guest.ok(argv, user=seat.user).out == "secret\n"


def test_life_cycle(seat: Seat) -> None:
    place = seat.workspace("cycle")
    seat.ok("start", "--workspace", place)
    work = "echo a > /home/dev/a; mkdir d; echo b > d/b; mv d e; ln e/b c; ln -s e l; chmod 600 c; rm -r e l; cat c"
    assert seat.ok("exec", "--workspace", place, "--", "sh", "-ec", work).out == "b\n"
    seat.ok("stop", "--workspace", place)
    seat.ok("start", "--workspace", place)
    assert seat.ok("exec", "--workspace", place, "--", "cat", "/home/dev/a", "c").out == "a\nb\n"
    seat.ok("destroy", "--workspace", place)
    assert seat.aibox("status", "--workspace", place).code == 5


def attempts() -> list[tuple[str, ...]]:
    """What runsc may not do, for runsc-probe."""
    inet, inet6, netlink, packet, stream, datagram, raw = "2", "10", "16", "17", "1", "2", "3"
    return [
        ("socket", inet, stream), ("socket", inet6, datagram), ("socket", packet, raw), ("socket", netlink, raw),
        ("read", "/etc/shadow"), ("read", "/srv/secret/.ssh/id"), ("read", "/srv/secret/.aws/credentials"),
        ("read", "/proc/kcore"), ("write", "/etc/attempt"), ("write", "/srv/attempt"), ("write", "/root/attempt"),
        ("write", "/proc/sys/kernel/hostname"), ("write", "/var/lib/containers/attempt"), ("write", "/dev/vda"),
        ("read", "/dev/vda"), ("bind", "/", "/srv/secret"), ("bind", "/srv/secret", "/mnt"), ("mount", "tmpfs", "/mnt"),
        ("mount", "proc", "/mnt"), ("kill", "1", "0"), ("ptrace", "1"), ("exec", "/bin/sh"),
        ("read", "/srv/secret/.password-store/x.gpg"), ("bind", "/etc/apparmor.d", "/mnt"),
        ("exec", "/root/workspace/runsc"),
    ]  # fmt: skip


@pytest.mark.parametrize("words", attempts(), ids=" ".join)
def test_attempt_is_refused_with_the_profile_and_works_without(root: Seat, words: tuple[str, ...]) -> None:
    root.guest.sh(
        "mkdir -p /srv/secret /root/workspace; cp /bin/sh /root/workspace/runsc; cd /srv/secret;"
        "mkdir -p .ssh .aws .password-store; echo s | tee .ssh/id .password-store/x.gpg > .aws/credentials"
    )
    plain = root.guest.run(["/opt/runsc-probe", *words])
    assert plain.out.split()[0] in ("done", "ran"), str(plain)
    confined = root.guest.run(["aa-exec", "-p", "aibox-runsc", "--", "/opt/runsc-probe", *words])
    assert confined.out == "EACCES\n", str(confined)


def test_the_profile_lets_runsc_do_what_it_must(root: Seat) -> None:
    """The control of the attempts above: it is not that nothing works."""
    for words in (("socket", "1", "1"), ("read", "/proc/self/status"), ("write", "/run/runsc/attempt")):
        done = root.guest.run(["aa-exec", "-p", "aibox-runsc", "--", "/opt/runsc-probe", *words])
        assert done.out == "done\n", str(done)


def failed(done: Done) -> list[str]:
    """What verify found wrong."""
    assert done.code == 3, str(done)
    return [
        finding["title"] + finding["observed"]
        for finding in json.loads(done.out)["data"]["findings"]
        if not finding["ok"]
    ]


def test_verify_finds_a_changed_profile_file(root: Seat) -> None:
    place = root.workspace("changed")
    root.ok("start", "--workspace", place)
    root.guest.sh(f"cp {PROFILE} /root/kept; echo '# changed' >> {PROFILE}")
    try:
        wrong = failed(root.aibox("verify", "--workspace", place, "--json"))
        assert len(wrong) == 1
        assert "AppArmor profile aibox-runsc" in wrong[0]
    finally:
        root.guest.sh(f"cp /root/kept {PROFILE}")
    root.ok("verify", "--workspace", place)
    root.ok("destroy", "--workspace", place)


def test_an_unloaded_profile_is_found_and_no_box_starts_without_it(seats: Seats, guest: Guest) -> None:
    places = {user: seats[user].workspace("unloaded") for user in ("root", "dev1")}
    for user, place in places.items():
        seats[user].ok("start", "--workspace", place)
    unload(guest)
    try:
        for user, place in places.items():
            wrong = failed(seats[user].aibox("verify", "--workspace", place, "--json"))
            assert any("unconfined" in one for one in wrong), wrong
            seats[user].aibox("destroy", "--workspace", place)
            refused = seats[user].aibox("start", "--workspace", place)
            assert refused.code != 0, str(refused)
            assert seats[user].aibox("status", "--workspace", place).code == 5
    finally:
        load(guest)
    for user, place in places.items():
        seats[user].ok("start", "--workspace", place)
        seats[user].ok("destroy", "--workspace", place)
