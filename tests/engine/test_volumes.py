"""Volumes of real boxes: there and back with everything, what is refused, and what is left after a kill."""

import json
import os
import random
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from kills import data_of, repair_loop, restore_loop, tree
from machines import Machine

MACHINES = pytest.mark.parametrize("machine", ["rootful-2024", "rootless-2024"], indirect=True)
FILES = """set -e; cd ~; mkdir -p tree/deep/er; head -c 3000000 /dev/urandom > tree/random
ln tree/random tree/deep/hard
ln -s /opt/toolpacks/x link; ln -s ../../etc/passwd up; truncate -s 100M holes; echo end >> holes; chmod 2750 tree
touch -d '2001-02-03 04:05:06.789012345' tree/deep/er; echo run > tool; chmod 4711 tool; echo x > .m2/here; : > empty
printf 'odd' > "$(printf 'new\\nline \\377')"; chmod 0 empty"""
# what a box under gVisor does not make itself: as root on the host, with the box's user's id there
HOST = """import os, socket, sys
os.chdir(sys.argv[1]); owner = os.lstat(".").st_uid
os.mkfifo("pipe", 0o640); os.chown("pipe", owner, owner)
os.setxattr("tool", "user.note", b"a\\0b\\n"); os.setxattr("tree", "user.more=%", b"")
s = socket.socket(socket.AF_UNIX); s.bind("socket")
os.chown("empty", owner + 5, owner + 7) if owner > 10**6 else None
"""


@pytest.fixture
def kept(machine: Machine) -> Iterator[tuple[Path, str]]:
    """A workspace with a stopped box whose home has one of everything, and the folder of that home."""
    place = machine.workspace()
    machine.ok("run", "--workspace", str(place), "--", "sh", "-c", FILES)
    machine.ok("stop", "--workspace", str(place))
    folder = data_of(machine, "home")
    done = machine.run(["python3", "-I", "-c", HOST, folder], root=True)
    assert done.code == 0, str(done)
    yield place, folder
    machine.aibox("destroy", "--workspace", str(place))
    machine.ok("volume", "prune", "--homes", "--yes")


def refused(machine: Machine, *words: str) -> dict[str, str]:
    done = machine.aibox(*words, "--json")
    document = json.loads(done.out)
    assert not document["ok"], str(done)
    assert "Traceback" not in done.err
    return dict(document["error"])


@MACHINES
def test_there_and_back(machine: Machine, kept: tuple[Path, str]) -> None:
    place, folder = kept
    backup = place / "home.tar"
    before = [line for line in tree(machine, folder)[1].splitlines() if "(b'socket'," not in line]
    made = machine.ok("volume", "backup", "-o", str(backup), "home")
    assert "1 sockets and devices were left out" in made.err
    status = backup.stat()
    assert (status.st_mode & 0o7777, status.st_uid, os.listdir(place)) == (0o600, machine.uid, ["home.tar"])
    listed = machine.run(["tar", "--numeric-owner", "-tvf", str(backup)], root=True)
    assert listed.code == 0, str(listed)
    # the box's ids, whatever they are on the host
    assert {line.split()[1] for line in listed.out.splitlines() if "volume/tree" in line} == {"1000/1000"}
    spoil = "cd ~; rm -rf tree tool link; echo spoiled > .profile; echo new > new; chmod 700 ."
    machine.ok("run", "--workspace", str(place), "--", "sh", "-c", spoil)
    machine.ok("stop", "--workspace", str(place))
    machine.ok("volume", "restore", "home", str(backup), "--yes")
    beside, rows = tree(machine, folder)
    assert beside == []
    after = rows.splitlines()
    # the socket was a file of the root folder; nothing else may differ
    assert after == before
    machine.ok("start", "--workspace", str(place))
    seen = machine.ok(
        "exec", "--workspace", str(place), "--", "sh", "-c", "cd ~; cat .m2/here tool; stat -c %u:%g:%a tree"
    )
    assert seen.out == "x\nrun\n1000:1000:2750\n"
    machine.ok("destroy", "--workspace", str(place))


@MACHINES
def test_a_volume_that_is_gone_comes_back(machine: Machine, kept: tuple[Path, str]) -> None:
    place, _ = kept
    backup = str(place / "home.tar")
    machine.ok("volume", "backup", "home", "--output", backup)
    machine.ok("destroy", "--workspace", str(place), "--volumes", "--yes")
    assert refused(machine, "volume", "backup", "home", "-o", backup)["code"] == "volume-missing"
    machine.ok("volume", "restore", "home", backup, "--yes")
    assert len(tree(machine, data_of(machine, "home"))[1].splitlines()) > 20
    done = machine.ok(
        "run", "--workspace", str(place), "--", "sh", "-c", "cd ~; cat tool; echo y > y; stat -c %u . tree y"
    )
    assert done.out == "run\n1000\n1000\n1000\n"


@MACHINES
def test_damaged_and_hostile_files_change_nothing(machine: Machine, kept: tuple[Path, str]) -> None:
    place, folder = kept
    backup = place / "home.tar"
    machine.ok("volume", "backup", "home", "-o", str(backup))
    good, before = backup.read_bytes(), tree(machine, folder)
    seed = os.environ.get("AIBOX_TEST_SEED") or secrets.token_hex(4)
    chosen = random.Random(seed)
    for at in [*(chosen.randrange(len(good)) for _ in range(6)), 600, len(good) - 1]:
        changed = bytearray(good)
        changed[at] ^= 1 << chosen.randrange(8)
        backup.write_bytes(changed)
        assert refused(machine, "volume", "restore", "home", str(backup), "--yes")["code"] == "volume-archive", (
            seed,
            at,
        )
    for content in (b"", good[:-512]):
        backup.write_bytes(content)
        assert refused(machine, "volume", "restore", "home", str(backup), "--yes")["code"] == "volume-archive"
    backup.write_bytes(good)
    wrong = refused(machine, "volume", "restore", "maven", str(backup), "--yes")
    assert wrong["code"] == "volume-archive"
    assert "not of a maven" in wrong["message"]
    assert refused(machine, "volume", "restore", "home", str(backup))["code"] == "consent-needed"
    for name in ("/dev/null", str(place), str(place / "missing")):
        assert refused(machine, "volume", "restore", "home", name, "--yes")["code"] == "usage"
    assert tree(machine, folder) == before


@MACHINES
def test_a_box_that_runs_keeps_its_volumes(machine: Machine, kept: tuple[Path, str]) -> None:
    place, _ = kept
    backup = str(place / "home.tar")
    machine.ok("volume", "backup", "home", "-o", backup)
    machine.ok("start", "--workspace", str(place))
    commands = (
        ["volume", "backup", "home", "-o", backup], ["volume", "restore", "home", backup, "--yes"],
        ["repair", "cache", "maven", "--yes"], ["repair", "cache", "--yes"],
    )  # fmt: skip
    for words in commands:
        error = refused(machine, *words)
        assert (error["code"], error["fix"]) == ("volume-in-use", f"aibox stop --workspace {place}"), words
    machine.ok("stop", "--workspace", str(place))
    # a container of somebody else's, which aibox has no note of
    image = "localhost/aibox/base:24.04"
    other = ["--name", "other", "--runtime", "runc", "--network", "none", "--ulimit", "nproc=1024:1024"]
    volume = f"aibox-{machine.user}-maven-cache"
    run = ["podman", "run", "-d", *other, "--ulimit", "nofile=1024:1024", "-v", f"{volume}:/x", image, "sleep", "300"]
    done = machine.run(run)
    assert done.code == 0, str(done)
    error = refused(machine, "repair", "cache", "maven", "--yes")
    assert (error["code"], error["fix"]) == ("volume-in-use", "podman stop other")
    assert volume not in machine.ok("volume", "prune", "--dry-run").out
    machine.run(["podman", "rm", "--force", "--time", "0", "other"])
    machine.ok("repair", "cache", "maven", "--yes")


@MACHINES
def test_repair_list_prune_and_df(machine: Machine, kept: tuple[Path, str]) -> None:
    place, _ = kept
    fill = "head -c 5000000 /dev/urandom > ~/.npm/x; echo y > ~/.m2/y"
    machine.ok("run", "--workspace", str(place), "--", "sh", "-c", fill)
    rows = {row["purpose"]: row for row in json.loads(machine.ok("volume", "list", "--json").out)["data"]["volumes"]}
    npm = rows["npm-cache"]
    assert 5_000_000 <= npm["bytes"] < 5_100_000
    assert (npm["files"], npm["user"], npm["cache"], npm["leftover_bytes"]) == (1, machine.user, True, 0)
    assert [box["state"] for box in npm["boxes"]] == ["running"]
    assert npm["last_used"] > "2026"
    machine.ok("stop", "--workspace", str(place))
    folder = data_of(machine, "npm-cache")
    # as another user of the box has it, so that the box's own could not write
    other = ["podman", "unshare", "chown", "5:5"] if machine.rootless else ["chown", "1900000005:1900000005"]
    assert machine.run([*other, folder]).code == 0
    machine.ok("repair", "cache", "npm", "--yes")
    assert len(tree(machine, folder)[1].splitlines()) == 1
    machine.ok(
        "run", "--workspace", str(place), "--", "sh", "-c", "test ! -e ~/.npm/x && test -e ~/.m2/y && : > ~/.npm/z"
    )
    totals = json.loads(machine.ok("df", "--json").out)["data"]["totals"]
    assert totals["all"] == sum(value for name, value in totals.items() if name != "all")
    assert totals["images"] > 50_000_000
    assert totals["volumes"] >= 3_000_000
    assert totals["own"] > 100_000
    assert machine.ok("volume", "prune", "--yes").out == "no unused volumes\n"
    machine.ok("destroy", "--workspace", str(place))
    machine.run(["podman", "volume", "create", "aibox-somebody"])
    offered = machine.ok("volume", "prune", "--dry-run").out
    assert "npm-cache" in offered
    assert "home" not in offered
    assert refused(machine, "volume", "prune")["code"] == "consent-needed"
    machine.ok("volume", "prune", "--yes")
    names = machine.run(["podman", "volume", "ls", "--quiet"]).out.split()
    assert sorted(names) == [f"aibox-{machine.user}-home", f"aibox-{machine.user}-toolpacks", "aibox-somebody"]
    machine.ok("volume", "prune", "--homes", "--yes")
    assert machine.run(["podman", "volume", "ls", "--quiet"]).out.split() == ["aibox-somebody"]
    machine.run(["podman", "volume", "rm", "aibox-somebody"])


@MACHINES
def test_what_nothing_uses_is_shown_and_goes(machine: Machine) -> None:
    place = machine.workspace("leftovers")
    machine.ok("start", "--workspace", str(place))
    old, volume = f"{machine.data}/runsc/0123456789abcdef", f"aibox-{machine.user}.proof99999999-home"
    machine.run(["sh", "-c", 'mkdir -p "$1" && echo x > "$1/runsc" && podman volume create "$2"', "sh", old, volume])
    own = json.loads(machine.ok("df", "--json").out)["data"]["own"]
    assert [row["what"] for row in own if row["name"] == old] == ["gVisor that nothing uses: aibox repair leftovers"]
    assert set(machine.ok("repair", "leftovers", "--dry-run").out.splitlines()) >= {f"remove {old}", f"remove {volume}"}
    assert refused(machine, "repair", "leftovers")["code"] == "consent-needed"
    removed = json.loads(machine.ok("repair", "leftovers", "--yes", "--json").out)["data"]["removed"]
    assert {old, volume} <= set(removed)
    assert machine.ok("repair", "leftovers", "--yes").out == "no leftovers\n"
    assert machine.ok("exec", "--workspace", str(place), "--", "echo", "still").out == "still\n"
    machine.ok("restart", "--workspace", str(place))
    machine.ok("destroy", "--workspace", str(place))


@MACHINES
def test_a_few_kills(machine: Machine) -> None:
    """The long loops are in tests/kills."""
    assert sum(restore_loop(machine, 6).seen.values()) == 6
    assert sum(repair_loop(machine, 4).seen.values()) == 4
