"""Several developers on one host: nothing of theirs has the same name, and none reaches another's box."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from developers import developer, own
from machines import Done, Machine

from aibox.plan import safe_name

FORCE = ["--force", "--time", "0"]


def boxes_of(one: Machine) -> dict[str, str]:
    """The boxes that somebody sees, with their states."""
    listed = json.loads(one.ok("list", "--json").out)["data"]["boxes"]
    return {str(box["name"]): str(box["state"]) for box in listed}


def inside(one: Machine, place: Path, script: str) -> Done:
    return one.aibox("exec", "--workspace", str(place), "--", "sh", "-c", script)


def at_once(*commands: tuple[Machine, list[str]]) -> None:
    """Commands of several people at the same moment, which all have to succeed."""
    started = [
        subprocess.Popen(one.inside([str(one.zipapp), *words]), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for one, words in commands
    ]
    for child in started:
        out, err = child.communicate(timeout=400)
        assert child.returncode == 0, f"{out!r} {err!r}"


# One rootful engine, which each drives with root's rights


@pytest.fixture
def pair(machine: Machine) -> Iterator[tuple[Machine, Machine]]:
    """Two people whose names differ in one sign that volumes cannot hold."""
    if machine.rootless:
        yield machine, machine
        return
    with developer(machine, "-x") as ann, developer(machine, "_x") as bob:
        yield ann, bob


def test_two_developers_on_one_rootful_engine(machine: Machine, pair: tuple[Machine, Machine]) -> None:
    if machine.rootless:
        return
    ann, bob = pair
    for one in pair:
        (Path(one.home) / "project").mkdir()
    places = [own(Path(one.home) / "project", one.uid) for one in pair]
    at_once(*((machine, ["start", "--workspace", str(place)]) for place in places))
    try:
        boxes = [json.loads(machine.ok("status", "--json", "--workspace", str(p)).out)["data"]["box"] for p in places]
        assert [name.split("-")[1] for name in boxes] == [safe_name(ann.user), safe_name(bob.user)]
        assert len({safe_name(ann.user), safe_name(bob.user)}) == 2
        # each has a home of their own, and files in a workspace are its owner's
        for one, place in zip(pair, places, strict=True):
            done = inside(machine, place, f"echo {one.user} > /home/dev/mine; touch made; ls /home/dev")
            assert done.code == 0, str(done)
            assert (place / "made").stat().st_uid == one.uid
        assert inside(machine, places[0], "cat /home/dev/mine").out.strip() == ann.user
        volumes = machine.run([machine.engine, "volume", "ls", "--quiet"]).out.split()
        for one in pair:
            assert f"aibox-{safe_name(one.user)}-home" in volumes
        # what is done to one leaves the other alone
        machine.ok("stop", "--workspace", str(places[1]))
        states = boxes_of(machine)
        assert states[boxes[0]] == "running"
        assert states[boxes[1]] != "running"
        machine.ok("destroy", "--workspace", str(places[1]), "--volumes", "--yes")
        assert inside(machine, places[0], "cat /home/dev/mine").out.strip() == ann.user
        # without root's rights neither reaches the engine, aibox's state, a home or a lock
        box = boxes[0]
        assert machine.run([machine.engine, "exec", box, "true"]).code == 0, "the control: root does"
        home = machine.run(
            [machine.engine, "volume", "inspect", "--format", "{{.Mountpoint}}", f"aibox-{safe_name(ann.user)}-home"]
        ).out.strip()
        run = machine.data.replace("/var/lib", "/run")
        secret = [f"{home}/mine", f"{machine.data}/boxes/{box}.json", f"{run}/locks/{box}.lock"]
        for path in secret:
            assert machine.run(["test", "-e", path]).code == 0, f"the control: {path} is there"
            assert bob.run(["cat", path]).code != 0, path
        assert bob.run(["flock", "--nonblock", secret[2], "true"]).code != 0
        for words in (["exec", "--workspace", str(places[0]), "--", "id"], ["stop", "--workspace", str(places[0])]):
            done = bob.aibox(*words)
            assert done.code != 0
            assert "uid=" not in done.out
        assert boxes_of(machine)[box] == "running"
    finally:
        for place in places:
            machine.aibox("destroy", "--workspace", str(place), "--volumes", "--yes")


# Two rootless developers


def test_two_rootless_developers(machine: Machine) -> None:
    if not machine.rootless:
        return
    with developer(machine) as bob:
        bob.set_up()
        shared = own(machine.workspace("shared"), machine.uid)
        mine, other = str(machine.workspace()), str(bob.workspace())
        at_once((machine, ["start", "--workspace", mine]), (bob, ["start", "--workspace", other]))
        at_once((machine, ["start", "--workspace", str(shared)]))
        try:
            ours, theirs = boxes_of(machine), boxes_of(bob)
            assert set(ours) & set(theirs) == set()
            assert {name.split("-")[1] for name in ours} == {safe_name(machine.user)}
            assert {name.split("-")[1] for name in theirs} == {safe_name(bob.user)}
            require_out_of_reach(machine, bob, mine)
            assert boxes_of(machine) == ours
            # a folder that both can reach is two boxes, and a box reads what its developer may read
            (shared / "text").write_text("x")
            done = bob.aibox("start", "--workspace", str(shared))
            if done.code == 0:
                assert set(boxes_of(bob)) - set(theirs) == {f"aibox-{safe_name(bob.user)}-{shared_hash(bob, shared)}"}
                assert inside(bob, shared, "touch made").code != 0, "the folder is another's"
                bob.ok("destroy", "--workspace", str(shared))
            assert boxes_of(machine) == ours
            # everything of one goes, and the other works on
            bob.ok("destroy", "--all", "--volumes", "--yes", timeout=300)
            assert inside(machine, Path(mine), "id -u").out.strip() == "1000"
        finally:
            machine.aibox("destroy", "--all", timeout=300)


def shared_hash(one: Machine, place: Path) -> str:
    """The end of the name of somebody's box for a folder."""
    box = json.loads(one.ok("status", "--json", "--workspace", str(place)).out)["data"]["box"]
    return str(box).rpartition("-")[2]


def require_out_of_reach(ann: Machine, bob: Machine, place: str) -> None:
    """Bob cannot enter, stop, read or lock Ann's box, by aibox, the engine or by hand; Ann can, by the same words."""
    status = json.loads(ann.ok("status", "--json", "--workspace", place).out)["data"]
    box = str(status["box"])
    pid = ann.run(["podman", "container", "inspect", "--format", "{{.State.Pid}}", box]).out.strip()
    storage = f"{ann.home}/.local/share/containers/storage"
    hers = {"XDG_RUNTIME_DIR": f"/run/user/{ann.uid}", "XDG_DATA_HOME": f"{ann.home}/.local/share", "HOME": ann.home}
    lock = f"/run/user/{ann.uid}/aibox/locks/{box}.lock"
    assert ann.run(["test", "-e", lock]).code == 0, "the control: the lock is there"
    attempts: list[tuple[list[str], dict[str, str]]] = [
        ([str(bob.zipapp), "exec", "--workspace", place, "--", "id"], {}),
        ([str(bob.zipapp), "exec", "--workspace", place, "--", "id"], hers),
        (["podman", "exec", box, "id"], {}),
        (["podman", "--root", storage, "exec", box, "id"], {}),
        (["kill", "-0", pid], {}),
        (["cat", f"{ann.data}/boxes/{box}.json"], {}),
        (["flock", "--nonblock", lock, "true"], {}),
        ([str(bob.zipapp), "stop", "--workspace", place], {}),
        ([str(bob.zipapp), "stop", "--workspace", place], hers),
        ([str(bob.zipapp), "destroy", "--workspace", place], hers),
    ]
    for words, environment in attempts:
        done = bob.run(words, environment=environment, timeout=120)
        assert done.code != 0, str(done)
        assert "uid=" not in done.out, str(done)
        assert "Traceback" not in done.err, str(done)
        if not words[1].startswith(("stop", "destroy")) and words[0] != "podman":
            control = ann.run(words, timeout=120)
            assert control.code == 0, f"the control: {control}"
    assert inside(ann, Path(place), "true").code == 0


def test_the_same_moment_takes_no_longer_than_two(machine: Machine) -> None:
    """Locks are of one box: a held one stops neither another's nor one's own other box."""
    place, other = machine.workspace(), machine.workspace()
    machine.ok("start", "--workspace", str(place))
    name = str(json.loads(machine.ok("status", "--json", "--workspace", str(place)).out)["data"]["box"])
    run = f"/run/user/{machine.uid}/aibox" if machine.rootless else machine.data.replace("/var/lib", "/run")
    holder = subprocess.Popen(machine.inside(["flock", "--no-fork", f"{run}/locks/{name}.lock", "sleep", "600"]))
    try:
        time.sleep(1)
        machine.ok("start", "--workspace", str(other), timeout=300)
        assert machine.aibox("stop", "--workspace", str(other), timeout=120).code == 0
    finally:
        holder.terminate()
        holder.wait()
        machine.ok("destroy", "--all", timeout=300)
