"""Each control left out or altered, at the engine's command line, in its record, in the OCI configuration and in the
running box: every mutant is refused with exit code 3, names its control, and leaves no box; before the first process
wherever that can be seen."""

import json
import shutil
import time
from pathlib import Path

import pytest
from machines import Machine

from aibox.runtimefiles import digest

MUTANTS: list[tuple[str, dict[str, object]]] = [
    ("S1", {"level": "create", "drop": [["--cap-drop", "ALL"]]}),
    ("S1", {"level": "create", "add": ["--cap-add", "NET_RAW"]}),
    ("S2", {"level": "create", "drop": [["--security-opt", "no-new-privileges"]]}),
    ("S3", {"level": "create", "drop": [["--read-only"]]}),
    ("S4", {"level": "create", "replace": [["1000:1000", "0:0"]]}),
    ("S4", {"level": "create", "add": ["--group-add", "5"]}),
    ("S5", {"level": "create", "add": ["--security-opt", "seccomp=unconfined"]}),
    ("S5", {"level": "create", "add": ["--security-opt", "seccomp=@HERE@/loose.json"]}),
    ("S7", {"level": "create", "drop": [["--network", "none"]], "add": ["--network", "host"]}),
    ("S9", {"level": "create", "drop": [["--read-only-tmpfs=false"]]}),
    ("S9", {"level": "create", "replace": [["/tmp:nodev,noexec", "/tmp:nodev,exec"]]}),
    ("S9", {"level": "create", "replace": [["size=1073741824", "size=1073741825"]]}),
    ("S9", {"level": "create", "add": ["--mount", "type=bind,source=/usr/share,destination=/mnt"]}),
    ("S9", {"level": "create", "add": ["--tmpfs", "/run:rw"]}),
    ("S9", {"level": "create", "replace": [["nodev,nosuid,rw=true", "dev,suid,rw=true"]]}),
    ("S10", {"level": "create", "add": ["--env", "LD_PRELOAD=/workspace/x.so"]}),
    ("S10", {"level": "create", "add": ["--pid", "host"]}),
    ("S10", {"level": "create", "add": ["--label", "io.aibox.plan=0"]}),
    ("S1", {"level": "inspect", "path": ["BoundingCaps"], "value": ["CAP_SYS_ADMIN"]}),
    ("S3", {"level": "inspect", "path": ["HostConfig", "ReadonlyRootfs"], "value": False}),
    ("S4", {"level": "inspect", "path": ["Config", "User"], "value": "0:0"}),
    ("S7", {"level": "inspect", "path": ["HostConfig", "NetworkMode"], "value": "bridge"}),
    ("S8", {"level": "inspect", "path": ["OCIRuntime"], "value": "runc"}),
    ("S1", {"level": "oci", "path": ["process", "capabilities"], "value": {"effective": ["CAP_CHOWN"]}}),
    ("S2", {"level": "oci", "path": ["process", "noNewPrivileges"], "value": None}),
    ("S3", {"level": "oci", "path": ["root", "readonly"], "value": False}),
    ("S4", {"level": "oci", "path": ["process", "user", "uid"], "value": 0}),
    ("S5", {"level": "oci", "path": ["linux", "seccomp"], "value": None}),
    ("S5", {"level": "oci", "path": ["linux", "seccomp", "defaultAction"], "value": "SCMP_ACT_ALLOW"}),
    ("S5", {"level": "oci", "path": ["linux", "seccomp", "syscalls", "+"],
            "value": {"names": ["mount"], "action": "SCMP_ACT_ALLOW"}}),
    ("S7", {"level": "oci", "path": ["linux", "namespaces"], "value": [{"type": "pid"}]}),
    ("S8", {"level": "oci", "path": ["hooks"], "value": {"createRuntime": [{"path": "/bin/true"}]}}),
    ("S8", {"level": "oci", "path": ["annotations", "dev.gvisor.flag.debug"], "value": "true"}),
    ("S9", {"level": "oci", "path": ["mounts", "+"], "value": {"destination": "/host", "type": "bind", "source": "/",
                                                               "options": ["rw"]}}),
    ("S10", {"level": "oci", "path": ["process", "args"], "value": ["/bin/sh"]}),
    ("S10", {"level": "oci", "path": ["linux", "maskedPaths"], "value": []}),
]  # fmt: skip


def label(case: object) -> str:
    """A short name for pytest."""
    return case if isinstance(case, str) else "-".join(str(case[key]) for key in case if key != "value")[:60]  # type: ignore[index,attr-defined]


def stand_in(machine: Machine, mutant: dict[str, object]) -> Path:
    """The stand-in engine with one mutant, where the machine's user can run it."""
    folder = machine.workspace("engine")
    shutil.copy(Path(__file__).with_name("mutants.py"), folder / "podman")
    (folder / "podman").write_text("#!/usr/bin/python3 -I\n" + (folder / "podman").read_text())
    (folder / "podman").chmod(0o755)
    loose = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}
    (folder / "loose.json").write_text(json.dumps(loose))
    (folder / "mutant.json").write_text(json.dumps(mutant).replace("@HERE@", str(folder)))
    shutil.chown(folder, machine.uid, machine.uid)
    for file in folder.iterdir():
        shutil.chown(file, machine.uid, machine.uid)
    return folder


MACHINES = pytest.mark.parametrize("machine", ["rootful-2024", "rootless-2024"], indirect=True)


@MACHINES
@pytest.mark.parametrize(("control", "mutant"), MUTANTS, ids=label)
def test_every_mutant_is_refused(machine: Machine, control: str, mutant: dict[str, object]) -> None:
    folder = stand_in(machine, mutant)
    place = machine.workspace("mutant")
    done = machine.aibox("start", "--workspace", str(place), "--json", "--engine-path", str(folder / "podman"))
    error = json.loads(done.out)["error"]
    assert (done.code, error["code"]) == (3, "control-failed"), str(done)
    assert f"{control} " in error["why"], error["why"]
    assert "start" not in (folder / "calls.txt").read_text().split(), "its first process ran"
    assert boxes_of(machine, place) == ""


def boxes_of(machine: Machine, place: Path) -> str:
    """Ids of the boxes that the engine has for a workspace."""
    return machine.run(["podman", "ps", "--all", "--quiet", "--filter", f"label=io.aibox.workspace={place}"]).out


@MACHINES
def test_the_stand_in_alone_changes_nothing(machine: Machine) -> None:
    """The control run: through the same stand-in without a mutant the box starts."""
    folder = stand_in(machine, {"level": "none"})
    place = machine.workspace("control")
    machine.ok("start", "--workspace", str(place), "--engine-path", str(folder / "podman"))
    machine.ok("destroy", "--workspace", str(place))


@MACHINES
def test_annotations_for_gvisor_are_refused_by_the_wrapper(machine: Machine) -> None:
    folder = stand_in(machine, {"level": "create", "add": ["--annotation", "dev.gvisor.flag.oci-seccomp=false"]})
    place = machine.workspace("annotated")
    done = machine.aibox("start", "--workspace", str(place), "--engine-path", str(folder / "podman"))
    assert done.code == 1
    assert "dev.gvisor.flag.oci-seccomp" in done.err
    assert "start" not in (folder / "calls.txt").read_text().split()
    assert boxes_of(machine, place) == ""


# what is wrong with the wrapper, the file in which, what is replaced there, and the control that only the host shows
WRAPPERS = [
    ("S6", "launch.py", "                enter_outer_layer(settings)\n", "                pass\n"),
    ("S6", "launch.py", "    call(seccomp, ctypes", "    id(ctypes) or call(seccomp, ctypes"),
    ("S8", "settings.json", '"--oci-seccomp=true",', ""),
    ("S8", "settings.json", '"--host-uds=none"', '"--host-uds=all"'),
    ("S8", "settings.json", '"--network=none"', '"--network=sandbox"'),
    ("S8", "settings.json", '"--overlay2=none"', '"--overlay2=none","--profile=true"'),
]


@MACHINES
@pytest.mark.parametrize(("control", "name", "old", "new"), WRAPPERS)
def test_a_wrapper_that_lacks_something_is_refused(
    machine: Machine, *, control: str, name: str, old: str, new: str
) -> None:
    """A wrapper with a fault that setup recorded as right: only the look at the host's processes can tell."""
    record = json.loads(machine.read(f"{machine.data}/setup.json"))
    runtime = record["runtime"]
    folder = f"{Path(runtime['path']).parent.parent}/mutant-{time.monotonic_ns()}"
    files = {
        each: machine.read(f"{Path(runtime['path']).parent}/{each}") for each in runtime["files"] if ".bpf" not in each
    }
    assert old in files[name]
    files[name] = files[name].replace(old, new)
    files["aibox-runsc"] = files["aibox-runsc"].replace(str(Path(runtime["path"]).parent), folder)
    machine.run(["cp", "-a", str(Path(runtime["path"]).parent), folder])
    for each, content in files.items():
        machine.write(f"{folder}/{each}", content, 0o755 if each == "aibox-runsc" else 0o644)
    machine.run(["chown", "-R", f"{machine.uid}:{machine.uid}", folder], root=True)
    contents = {each: machine.run(["cat", f"{folder}/{each}"], root=True).raw for each in runtime["files"]}
    altered = {**record, "runtime": {**runtime, "path": f"{folder}/aibox-runsc", "digest": digest(contents)}}
    place = machine.workspace("wrapper")
    try:
        machine.write(f"{machine.data}/setup.json", json.dumps(altered))
        done = machine.aibox("start", "--workspace", str(place), "--json")
        error = json.loads(done.out)["error"]
        assert (done.code, error["code"]) == (3, "control-failed"), str(done)
        assert f"{control} " in error["why"], error["why"]
        assert boxes_of(machine, place) == ""
    finally:
        machine.write(f"{machine.data}/setup.json", json.dumps(record))
        machine.run(["chown", f"{machine.uid}:{machine.uid}", f"{machine.data}/setup.json"], root=True)


@MACHINES
@pytest.mark.parametrize(
    "name", ["aibox-runsc", "launch.py", "session.pl", "session.bpf", "outer.bpf", "settings.json"]
)
def test_an_edited_runtime_file_is_refused(machine: Machine, name: str) -> None:
    path = f"{Path(json.loads(machine.read(f'{machine.data}/setup.json'))['runtime']['path']).parent}/{name}"
    place = machine.workspace("edited")
    machine.run(["sh", "-c", 'cp -a "$1" "$1.kept" && printf " " >> "$1"', "sh", path], root=True)
    try:
        done = machine.aibox("start", "--workspace", str(place), "--json")
        assert (done.code, json.loads(done.out)["error"]["code"]) == (3, "runtime-tampered"), str(done)
    finally:
        machine.run(["mv", f"{path}.kept", path], root=True)
    machine.ok("run", "--rm", "--workspace", str(place), "--", "true")


@MACHINES
def test_an_edited_profile_is_refused(machine: Machine) -> None:
    path = json.loads(machine.read(f"{machine.data}/setup.json"))["seccomp"]["path"]
    content = machine.read(path)
    place = machine.workspace("profile")
    machine.run(["cp", "-a", path, f"{path}.kept"], root=True)
    try:
        machine.write(path, content.replace("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", 1))
        done = machine.aibox("start", "--workspace", str(place), "--json")
        assert (done.code, json.loads(done.out)["error"]["code"]) == (3, "runtime-tampered"), str(done)
    finally:
        machine.run(["mv", f"{path}.kept", path], root=True)
