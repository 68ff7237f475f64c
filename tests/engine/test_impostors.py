"""Containers made by hand under a box's name: no session enters them, whatever labels they carry."""

import json
import shlex
from pathlib import Path

import pytest
from machines import LOCAL_IMAGE, Machine

MACHINES = pytest.mark.parametrize("machine", ["rootful-2024", "rootless-2024"], indirect=True)


def impostor(machine: Machine, box: Path, *labels: str) -> str:
    """In place of the box: a container of its name under runc with nothing of a box's controls."""
    name = str(json.loads(machine.ok("status", "--workspace", str(box), "--json").out)["data"]["box"])
    limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
    run = ["podman", "--runtime", "runc", "run", "--detach", "--name", name, "--network", "none", *limits, *labels]
    for words in (["podman", "rm", "--force", "--time", "0", name], [*run, LOCAL_IMAGE, "sleep", "600"]):
        done = machine.run(words)
        assert done.code == 0, str(done)
    assert machine.run(["podman", "exec", name, "cat", "/proc/version"]).out == Path("/proc/version").read_text()
    return name


def labels_of(machine: Machine, box: Path) -> list[str]:
    """The labels of the real box, as words."""
    create = shlex.split(
        json.loads(machine.ok("start", "--workspace", str(box), "--dry-run", "--json").out)["data"]["commands"][0]
    )
    return [part for at, word in enumerate(create) if word == "--label" for part in (word, create[at + 1])]


@MACHINES
@pytest.mark.parametrize("labelled", [False, True])
def test_no_session_enters_an_impostor(machine: Machine, box: Path, labelled: bool) -> None:
    labels = labels_of(machine, box) if labelled else []
    impostor(machine, box, *labels)
    done = machine.aibox("exec", "--workspace", str(box), "--json", "--", "cat", "/proc/version")
    assert (done.code, json.loads(done.out)["error"]["code"]) == (125, "control-failed"), str(done)
    done = machine.aibox("start", "--workspace", str(box), "--json")
    assert (done.code, json.loads(done.out)["error"]["code"]) == (3, "control-failed"), str(done)


@MACHINES
def test_a_box_started_by_hand_is_entered(machine: Machine, box: Path) -> None:
    name = str(json.loads(machine.ok("status", "--workspace", str(box), "--json").out)["data"]["box"])
    for verb in ("stop", "start"):
        assert machine.run(["podman", verb, name]).code == 0
    assert machine.ok("exec", "--workspace", str(box), "--", "echo", "in").out == "in\n"
