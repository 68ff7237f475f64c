"""What only Docker has: the gate before the first process, its folders, and a daemon.json that is not aibox's alone."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from machines import DAEMON_JSON, LOCAL_IMAGE, Machine

ID = ["docker", "inspect", "--format", "{{.Id}}"]


def name_of(machine: Machine, box: Path) -> str:
    return str(json.loads(machine.ok("status", "--workspace", str(box), "--json").out)["data"]["box"])


def test_daemon_json_has_one_key_more(machine: Machine) -> None:
    had, has = json.loads(DAEMON_JSON), json.loads(machine.read("/etc/docker/daemon.json"))
    assert has.pop("runtimes") == {"aibox": {"path": "/var/lib/aibox/docker/aibox-docker"}}
    assert has == had
    assert machine.read("/etc/docker/daemon.json.before-aibox") == DAEMON_JSON


def test_a_container_that_aibox_did_not_make_does_not_run_under_its_runtime(machine: Machine) -> None:
    done = machine.run(["docker", "run", "--rm", "--runtime", "aibox", "--network", "none", LOCAL_IMAGE, "true"])
    assert done.code != 0
    assert "not a box that aibox made" in done.err, str(done)


def test_by_hand_only_what_was_checked_starts(machine: Machine, box: Path) -> None:
    name = name_of(machine, box)
    gate = f"/run/aibox/docker/gates/{machine.run([*ID, name]).out.strip()}"
    assert machine.run(["docker", "stop", "--time", "5", name]).code == 0
    machine.run(["rm", f"{gate}/checked"])
    refused = machine.run(["docker", "start", name])
    assert refused.code != 0
    assert "was not checked by aibox as it is now" in refused.err, str(refused)
    state = machine.run(["docker", "inspect", "--format", "{{.State.Running}}", name]).out
    assert state == "false\n"
    assert json.loads(machine.ok("start", "--workspace", str(box), "--json").out)["data"]["action"] == "started"


def test_the_store_stays_closed(machine: Machine, box: Path) -> None:
    """The way to a box's files is in the runtime's own mount namespace: another user of the host has none."""
    name = name_of(machine, box)
    form = '{{range .Mounts}}{{if eq .Destination "/home/dev"}}{{.Source}}{{end}}{{end}}'
    home = machine.run(["docker", "inspect", "--format", form, name]).out.strip()
    machine.ok("exec", "--workspace", str(box), "--", "sh", "-c", "echo mine > /home/dev/file")
    assert machine.run(["cat", f"{home}/file"]).out == "mine\n"
    look = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat"]
    for path in (f"{home}/file", home):
        done = machine.run([*look, path])
        assert (done.code, "Permission denied" in done.err) == (1, True), str(done)


def test_volumes_are_the_boxs_own(machine: Machine, box: Path) -> None:
    name = name_of(machine, box)
    form = '{{range .Mounts}}{{if eq .Type "volume"}}{{.Source}}\n{{end}}{{end}}'
    folders = machine.run(["docker", "inspect", "--format", form, name]).out.split()
    assert len(folders) == 9
    # the box's root made the places that nested caches are mounted on
    owners = set(machine.run(["find", *folders, "-printf", "%U:%G\n"]).out.split())
    assert owners <= {"1900001000:1900001000", "1900000000:1900000000"}
    tops = set(machine.run(["stat", "--format", "%u:%g", *folders]).out.split())
    assert tops == {"1900001000:1900001000"}


def test_killed_while_the_box_is_held(machine: Machine) -> None:
    """aibox dies between set-up and check: the box does not run, and the next command converges."""
    place = machine.workspace()
    started = subprocess.Popen(
        machine.inside([str(machine.zipapp), "start", "--workspace", str(place)]),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not machine.run(["sh", "-c", "ls /run/aibox/docker/gates/*/ask"]).out:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    time.sleep(3)
    running = machine.run(["docker", "ps", "--quiet", "--filter", f"label=io.aibox.workspace={place}"], timeout=180).out
    assert running == ""
    again = json.loads(machine.ok("start", "--workspace", str(place), "--json").out)["data"]
    assert again["action"] == "created"
    machine.ok("destroy", "--workspace", str(place))


@pytest.mark.parametrize("variable", ["DOCKER_HOST", "DOCKER_CONTEXT"])
def test_the_daemon_is_the_local_one(machine: Machine, box: Path, variable: str) -> None:
    spoiled = {variable: "tcp://127.0.0.1:1" if variable == "DOCKER_HOST" else "elsewhere"}
    done = machine.aibox("exec", "--workspace", str(box), "--", "echo", "fine", environment=spoiled)
    assert (done.code, done.out) == (0, "fine\n"), str(done)
    assert f"{variable} ignored" in done.err


def test_a_context_of_the_callers_is_not_followed(machine: Machine) -> None:
    """Nor are the proxies of ~/.docker/config.json, which Docker's client would hand into the box."""
    spoiled = {"currentContext": "elsewhere", "proxies": {"default": {"httpProxy": "http://proxy.invalid:1"}}}
    machine.write(f"{machine.home}/.docker/config.json", json.dumps(spoiled))
    try:
        assert machine.run(["docker", "ps"]).code != 0, "the control run: plain Docker follows it"
        place = machine.workspace()
        machine.ok("start", "--workspace", str(place))
        assert "proxy.invalid" not in machine.ok("exec", "--workspace", str(place), "--", "env").out
        machine.ok("destroy", "--workspace", str(place))
    finally:
        machine.run(["rm", "-r", f"{machine.home}/.docker"])


def test_a_lost_daemon_is_named(machine: Machine) -> None:
    place = machine.workspace()
    machine.run(["mv", "/run/docker.sock", "/run/docker.away"])
    try:
        for verb in ("start", "status", "stop", "destroy"):
            words = ["--all"] if verb in ("stop", "destroy") else ["--workspace", str(place)]
            done = machine.aibox(verb, *words, "--json")
            assert done.code != 0, verb
            error = json.loads(done.out)["error"]
            wanted = ("box-missing", "") if verb == "status" else ("engine-failed", "systemctl start docker")
            assert (error["code"], error["fix"] if verb != "status" else "") == wanted, str(done)
    finally:
        machine.run(["mv", "/run/docker.away", "/run/docker.sock"])
    machine.ok("run", "--rm", "--workspace", str(place), "--", "true")


def test_without_its_daemon_setup_writes_nothing(machine: Machine) -> None:
    place = "/etc/docker/daemon.json"
    machine.run(["mv", "/run/docker.sock", "/run/docker.away"])
    machine.run(["mv", place, f"{place}.away"])
    try:
        error = json.loads(machine.aibox("setup", "--yes", "--json").out)["error"]
        assert (error["code"], error["fix"]) == ("engine-failed", "systemctl start docker")
        assert machine.run(["test", "-e", place]).code == 1
    finally:
        machine.run(["mv", f"{place}.away", place])
        machine.run(["mv", "/run/docker.away", "/run/docker.sock"])
    machine.ok("setup", "--yes")


def test_doctor_is_content(machine: Machine) -> None:
    checks = json.loads(machine.aibox("doctor", "--json", timeout=240).out)["data"]["checks"]
    assert {check["id"]: check["evidence"] for check in checks if check["level"] in ("wrong", "unchecked")} == {}
