"""`aibox verify` on real boxes: all pass on a good one, and each tampering from the host shows as that control."""

import json
import shlex
from pathlib import Path
from typing import TypedDict

import pytest
from machines import Done, Machine

MACHINES = pytest.mark.parametrize("machine", ["rootful-2024", "rootless-2024"], indirect=True)


class Row(TypedDict):
    """A finding as `--json` prints it."""

    control: str
    expected: str
    observed: str
    how: str
    ok: bool


def verify(machine: Machine, place: Path) -> tuple[Done, list[Row]]:
    """Exit code and findings."""
    done = machine.aibox("verify", "--workspace", str(place), "--json")
    document = json.loads(done.out)
    return done, document["data"]["findings"] if document["ok"] or "data" in document else []


def failed(machine: Machine, place: Path) -> set[str]:
    """The controls that fail; the exit code has to fit."""
    done, rows = verify(machine, place)
    wrong = {row["control"] for row in rows if not row["ok"]}
    assert done.code == (3 if wrong else 0), str(done)
    return wrong


def test_a_good_box_passes(machine: Machine, box: Path) -> None:
    done, rows = verify(machine, box)
    assert done.code == 0, str(done)
    # nobody can hold the limits of a rootless box in this place
    limits = set() if machine.rootless else {"R6"}
    assert {row["control"] for row in rows} == {f"S{number}" for number in range(1, 11)} | limits
    table = machine.ok("verify", "--workspace", str(box)).out
    assert ("ok   R6   resource limits: 5 of 5" in table) is bool(limits), table
    ways = {row["how"] for row in rows}
    assert ways == {"plan", "files on the host", "engine inspect", "OCI config.json", "host /proc", "policy.yaml",
                    "a program behind the launcher", "a session in the box"}  # fmt: skip
    assert not [path for path in box.iterdir() if path.name.startswith(".aibox")]


@MACHINES
@pytest.mark.parametrize(("control", "name"), [("S8", "aibox-runsc"), ("S8", "settings.json"), ("S5", "seccomp")])
def test_files_changed_under_a_running_box(machine: Machine, box: Path, control: str, name: str) -> None:
    record = json.loads(machine.read(f"{machine.data}/setup.json"))
    path = record["seccomp"]["path"] if name == "seccomp" else f"{Path(record['runtime']['path']).parent}/{name}"
    machine.run(["cp", "-a", path, f"{machine.home}/kept"], root=True)
    try:
        machine.run(["sh", "-c", 'printf " " >> "$1"', "sh", path], root=True)
        assert control in failed(machine, box)
    finally:
        machine.run(["mv", f"{machine.home}/kept", path], root=True)
    assert failed(machine, box) == set()


BY_HAND = [
    ("S1", ["--cap-drop", "ALL"]),
    ("S2", ["--security-opt", "no-new-privileges"]),
    ("S3", ["--read-only"]),
    ("S9", ["--read-only-tmpfs=false"]),
    ("S7", ["--network", "none"]),
]


@MACHINES
@pytest.mark.parametrize(("control", "flag"), BY_HAND)
def test_a_box_made_by_hand_without_one_flag(machine: Machine, control: str, flag: list[str]) -> None:
    place = machine.workspace("hand")
    name = json.loads(machine.ok("start", "--workspace", str(place), "--json").out)["data"]["box"]
    create = shlex.split(
        json.loads(machine.ok("start", "--workspace", str(place), "--dry-run", "--json").out)["data"]["commands"][0]
    )
    at = next(at for at in range(len(create)) if create[at : at + len(flag)] == flag)
    instead = ["--network", "host"] if control == "S7" else []
    without = [*create[:at], *instead, *create[at + len(flag) :]]
    try:
        for argv in (["podman", "stop", name], ["podman", "rm", name], without, ["podman", "start", name]):
            done = machine.run(argv)
            assert done.code == 0, str(done)
        found = failed(machine, place)
        assert control in found
        if control in ("S2", "S3"):  # the others draw more after them: a session is refused, a file is mounted
            assert found <= {control, "S9"}
    finally:
        machine.run(["podman", "rm", "--force", "--time", "0", name])


@MACHINES
def test_a_box_without_a_record_is_not_believed(machine: Machine, box: Path) -> None:
    register = next(path for path in machine.run(["sh", "-c", f"ls {machine.data}/boxes/*.json"]).out.split()
                    if str(box) in machine.read(path))  # fmt: skip
    record = json.loads(machine.read(register))
    record["plan"]["network"] = "host"
    machine.write(register, json.dumps(record), 0o600)
    machine.run(["chown", f"{machine.uid}", register], root=True)
    done = machine.aibox("verify", "--workspace", str(box), "--json")
    assert (done.code, json.loads(done.out)["error"]["code"]) == (3, "control-failed"), str(done)


def test_the_outer_layer_refuses_and_without_it_the_attempts_work(machine: Machine) -> None:
    folder = str(Path(json.loads(machine.read(f"{machine.data}/setup.json"))["runtime"]["path"]).parent)
    python = ["/usr/bin/python3", "-I", "-S", "-B"]
    inside = json.loads(machine.run([*python, f"{folder}/launch.py", "check"]).out)
    assert len(inside["attempts"]) == 9
    assert inside["lacking"] == [], "this kernel's Landlock is too old for this test"
    assert {name for name, result in inside["attempts"].items() if not result.startswith("refused")} == set()
    loose = f"{machine.home}/loose"
    machine.run(["cp", "-a", folder, loose])
    text = machine.read(f"{loose}/launch.py")
    assert text.count("        enter_outer_layer(settings)\n        machine") == 1
    machine.write(
        f"{loose}/launch.py", text.replace("        enter_outer_layer(settings)\n        machine", "        machine")
    )
    outside = json.loads(machine.run([*python, f"{loose}/launch.py", "check"]).out)["attempts"]
    unconfined = {"tcp-connect", "tcp-bind", "tcp-socket", "abstract-socket", "signal", "keyctl", "io_uring_setup"}
    assert {name for name in unconfined if outside[name].startswith("refused")} == set(), outside
