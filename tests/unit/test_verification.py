"""`aibox verify`: judging what a session and the launcher report, and the report that people read."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from samples import host_view, plan_of

from aibox import assets, runtimefiles, seccomp, sessionview, state, verification
from aibox.commands.verify import report
from aibox.config import Policy, load_config
from aibox.configkeys import POLICY_KEYS
from aibox.context import Context
from aibox.controls import CONTROLS
from aibox.hostview import HostView
from aibox.jsonview import Json, fields, parse
from aibox.model import Developer, Finding, LaunchPlan, Runtime
from aibox.sessionview import CAPABILITY_LINES, CLOSED, FORBIDDEN, OPEN
from aibox.state import Paths, sha256
from aibox.verification import ATTEMPTS, LANDLOCK_ATTEMPTS, judge_outer

ROOT = Path(__file__).resolve().parents[2]
STATUS = {
    "Seccomp": "2", "CapInh": "0" * 16, "CapPrm": "0" * 16, "CapEff": "0" * 16, "CapBnd": "0" * 16,
    "Uid": "1000\t1000\t1000\t1000", "Gid": "1000\t1000\t1000\t1000",
}  # fmt: skip
SEEN_INSIDE = {"S1", "S3", "S4", "S5", "S7", "S9"}
GOOD = [
    *(f"status\t{name}\t{value}" for name, value in STATUS.items()),
    *(f"call\t{name}\t1" for name in FORBIDDEN),
    *(f"write\t{path}\t30" for path in CLOSED),
    *(f"write\t{path}\t0" for path in OPEN),
    "interfaces\tlo",
    "run\t/tmp\t1",
]


def failed(lines: list[str]) -> set[str]:
    return {finding.control for finding in sessionview.findings("\n".join(lines)) if not finding.ok}


def altered(old: str, new: str = "") -> list[str]:
    assert any(old in line for line in GOOD)
    return [line.replace(old, new) for line in GOOD if new or old not in line]


# Sessions


def test_a_good_session() -> None:
    assert failed(GOOD) == set()
    assert {finding.control for finding in sessionview.findings("\n".join(GOOD))} == SEEN_INSIDE


SESSIONS = [
    ("S5", "status\tSeccomp\t2", "status\tSeccomp\t0"),
    ("S5", "status\tSeccomp", ""),
    *(("S5", f"call\t{name}\t1", f"call\t{name}\t0") for name in FORBIDDEN),
    *(("S5", f"call\t{name}\t1", f"call\t{name}\t38") for name in FORBIDDEN),
    *(("S5", f"call\t{name}\t", "") for name in FORBIDDEN),
    *(("S1", f"status\t{name}\t0", f"status\t{name}\t1") for name in CAPABILITY_LINES),
    *(("S1", f"status\t{name}\t", "") for name in CAPABILITY_LINES),
    ("S4", "Uid\t1000\t1000\t1000\t1000", "Uid\t1000\t0\t1000\t1000"),
    ("S4", "Gid\t1000\t1000\t1000\t1000", "Gid\t0\t0\t0\t0"),
    ("S4", "status\tUid", ""),
    *(("S3", f"write\t{path}\t30", f"write\t{path}\t0") for path in CLOSED),
    ("S3", "write\t/etc\t30", ""),
    *(("S9", f"write\t{path}\t0", f"write\t{path}\t13") for path in OPEN),
    ("S9", "write\t/workspace\t0", ""),
    ("S9", "run\t/tmp\t1", "run\t/tmp\t0"),
    ("S9", "run\t/tmp", ""),
    ("S7", "interfaces\tlo", "interfaces\tlo,eth0"),
    ("S7", "interfaces\tlo", ""),
]


@pytest.mark.parametrize(("control", "old", "new"), SESSIONS)
def test_a_session_that_can_do_more(control: str, old: str, new: str) -> None:
    assert failed(altered(old, new)) == {control}


@pytest.mark.parametrize("output", ["", "garbage", "\t\t\n", "status\tSeccomp\t2"])
def test_silence_proves_nothing(output: str) -> None:
    assert failed(output.split("\n")) == SEEN_INSIDE


def test_idle_tunnels_under_runc() -> None:
    assert failed(altered("interfaces\tlo", "interfaces\ttunl0,lo,sit0")) == set()


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_forbidden_call_has_a_number(machine: str) -> None:
    words = sessionview.words("program", machine)
    assert words[:3] == ["/usr/bin/perl", "-e", "program"]
    pairs = dict(part.split("=") for part in words[3].split(","))
    assert set(pairs) == set(FORBIDDEN)
    assert words[4].split(",") == [*CLOSED, *OPEN]


def test_the_program_prints_what_is_read() -> None:
    """Run here, outside a box: the same lines, and a session without a filter is told apart."""
    argv = sessionview.words(assets.text("verify.pl"), os.uname().machine)
    argv[3] = argv[3].split(",")[-1]  # of the calls only add_key, which does no harm with these arguments
    argv[4] = "/proc,/tmp"
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30)
    told = sessionview.parse(done.stdout)
    assert set(STATUS) <= set(told["status"])
    assert set(told["call"]) == {"add_key"}
    assert told["write"]["/tmp"] == "0"
    assert told["write"]["/proc"] != "0"
    assert "lo" in next(iter(told["interfaces"])).split(",")
    assert "/tmp" in told["run"]


# The outer layer


def outer() -> dict[str, Json]:
    attempts: dict[str, Json] = dict.fromkeys(ATTEMPTS, "refused (Operation not permitted)")
    return {"lacking": [], "attempts": attempts}


def wrong(told: dict[str, Json]) -> list[str]:
    return [finding.expected for finding in judge_outer(told) if not finding.ok]


def test_all_refused() -> None:
    assert wrong(outer()) == []
    assert {finding.control for finding in judge_outer(outer())} == {"S6"}


@pytest.mark.parametrize("name", ATTEMPTS)
@pytest.mark.parametrize("result", ["succeeded", "reached the kernel (Function not implemented)", "", 3, None])
def test_an_attempt_that_is_not_refused(name: str, result: Json) -> None:
    told = outer()
    fields(told, "attempts")[name] = result
    assert wrong(told) == [f"{name} refused"]
    del fields(told, "attempts")[name]
    assert wrong(told) == [f"{name} refused"], "not tried"


@pytest.mark.parametrize("name", ATTEMPTS)
def test_only_landlock_may_be_lacking(name: str) -> None:
    told = outer()
    fields(told, "attempts")[name] = "succeeded"
    told["lacking"] = [name]
    assert bool(wrong(told)) == (name not in LANDLOCK_ATTEMPTS)


@pytest.mark.parametrize("told", [{}, {"attempts": []}, {"attempts": {}, "lacking": list(ATTEMPTS)}])
def test_nothing_reported_proves_nothing(told: dict[str, Json]) -> None:
    assert len(wrong(told)) == len(ATTEMPTS)


def test_the_launcher_tries_exactly_these(tmp_path: Path) -> None:
    """The real launcher on this host's kernel."""
    settings = runtimefiles.Settings("/bin/true", "systrap", False, "", sys.executable, os.uname().machine)
    for name, content in runtimefiles.contents(settings, str(tmp_path)).items():
        (tmp_path / name).write_bytes(content)
    argv = [sys.executable, "-I", "-S", "-B", str(tmp_path / "launch.py"), "check"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30)
    told = fields(parse(done.stdout))
    assert set(fields(told, "attempts")) == set(ATTEMPTS)
    assert wrong(told) == []


# Files


def test_files_on_the_host(tmp_path: Path) -> None:
    settings = runtimefiles.Settings("/bin/true", "systrap", False, "", sys.executable, os.uname().machine)
    folder = tmp_path / "wrapper"
    folder.mkdir()
    files = runtimefiles.contents(settings, str(folder))
    for name, content in files.items():
        (folder / name).write_bytes(content)
    profile = seccomp.content("runsc")
    (tmp_path / "seccomp.json").write_bytes(profile)
    plan = plan_of("podman-4.3.1-rootful")
    plan = plan._replace(
        runtime=plan.runtime._replace(path=f"{folder}/aibox-runsc", digest=runtimefiles.digest(files)),
        seccomp_path=f"{tmp_path}/seccomp.json",
        seccomp_digest=sha256(profile),
    )

    def bad(plan: LaunchPlan = plan) -> list[str]:
        return [finding.control for finding in verification.file_findings(plan) if not finding.ok]

    assert bad() == []
    (tmp_path / "seccomp.json").write_text("{}")
    assert bad(plan._replace(seccomp_digest=sha256(b"{}"))) == ["S5"], "as recorded, and not what this aibox makes"
    (tmp_path / "seccomp.json").write_bytes(profile)
    (folder / "launch.py").write_text("pass")
    assert bad() == ["S8"]
    (tmp_path / "seccomp.json").unlink()
    assert bad() == ["S5", "S5", "S8"]


def test_the_wrapper_of_a_fallback(tmp_path: Path) -> None:
    files = {"aibox-crun": b"#!/bin/sh\n", "settings.json": b"{}"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path.parent / "native.json").write_bytes(seccomp.content("crun"))
    plan = plan_of("podman-4.3.1-rootful")
    runtime = Runtime("crun", f"{tmp_path}/aibox-crun", runtimefiles.digest(files), "/usr/bin/crun", "")
    plan = plan._replace(
        runtime=runtime, seccomp_path=f"{tmp_path.parent}/native.json", seccomp_digest=sha256(seccomp.content("crun"))
    )
    assert [finding.observed for finding in verification.file_findings(plan) if not finding.ok] == []
    (tmp_path / "aibox-crun").write_bytes(b"#!/bin/sh\n\n")
    assert [finding.title for finding in verification.file_findings(plan) if not finding.ok] == ["wrapper"]


def test_the_program_is_the_one_that_setup_proved(tmp_path: Path) -> None:
    program, copy = tmp_path / "runsc", tmp_path / "copy"
    shutil.copy("/bin/sleep", program)
    shutil.copy("/bin/sleep", copy)
    plan = plan_of("podman-4.3.1-rootful")
    plan = plan._replace(runtime=plan.runtime._replace(program=str(program)))
    kept: dict[str, Json] = {"program": str(program), "program_sha256": state.sha256_file(str(program))}

    def bad(*pids: int, kept: dict[str, Json] = kept, kind: str = "runsc") -> list[str]:
        gofer = host_view("podman-4.3.1-rootful").role("runsc-gofer")
        assert gofer
        view = HostView(tuple(gofer._replace(pid=pid) for pid in pids), ())
        judged = plan._replace(runtime=plan.runtime._replace(kind=kind))
        found = verification.program_findings(judged, kept, view)
        assert {finding.control for finding in found} <= {"S8"}
        return [finding.how for finding in found if not finding.ok]

    with subprocess.Popen([program, "600"]) as same, subprocess.Popen([copy, "600"]) as alike:
        try:
            settled({same.pid: "runsc", alike.pid: "copy"})
            assert bad(same.pid, alike.pid) == [], "the same file, or the same content"
            assert bad(os.getpid()) == bad(4194305) == ["host /proc"], "another program, and none that is told"
            assert bad(os.getpid(), kind="runc") == [], "under runc what runs is the box's"
            changed = {**kept, "program_sha256": "0" * 64}
            assert bad(kept=changed) == ["files on the host"]
            assert bad(kept={**changed, "program": "/opt/newer"}) == [], "setup chose another one since"
            program.unlink()
            assert bad(same.pid) == ["files on the host", "host /proc"]
            shutil.copy("/bin/true", program)
            assert bad(same.pid) == ["files on the host", "host /proc"], "exchanged while it runs"
        finally:
            same.kill()
            alike.kill()


def settled(programs: dict[int, str]) -> None:
    """Wait until each process is its program."""
    deadline = time.monotonic() + 60
    while any(os.path.basename(os.readlink(f"/proc/{pid}/exe")) != name for pid, name in programs.items()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


# A policy that became stricter


POLICIES = [
    ("require_mac", "S6", Policy(require_mac="any"), "AppArmor or SELinux"),
    ("allowed_images", "S10", Policy(allowed_images=("registry.example/*",)), "matches none of"),
    ("allowed_registries", "S10", Policy(allowed_registries=("registry.example",)), "registry"),
    ("require_signature", "S10", Policy(require_signature=True), "was not checked"),
    ("max_memory", "S10", Policy(max_memory=1 << 30), "memory is 8"),
    ("max_cpus", "S10", Policy(max_cpus=0.5), "cpus is 4"),
    ("max_pids", "S10", Policy(max_pids=10), "pids is 4096 (of this box)"),
    ("workspace_roots", "S9", Policy(workspace_roots=("/srv",)), "does not lie in /srv"),
]


@pytest.mark.parametrize(("rule", "control", "policy", "told"), POLICIES)
def test_a_policy_that_became_stricter(rule: str, control: str, policy: Policy, told: str) -> None:
    plan = plan_of("podman-4.3.1-rootful")

    def judged(policy: Policy) -> list[Finding]:
        config = load_config((), environ={})._replace(memory=1 << 20, cpus=0.1, pids=5, image="registry.example/a:1")
        context = Context({}, Developer(0, 0, "root"), Paths("/d", "/r", "/c", "/s"), config, policy)
        return [finding for finding in verification.policy_findings(context, plan, {}) if not finding.ok]

    assert judged(Policy()) == []
    wrong = judged(policy)
    assert [(finding.control, finding.expected) for finding in wrong] == [(control, f"{rule} allows it")]
    assert told in wrong[0].observed, "the box's own values count, not what is configured now"


def test_every_key_of_the_policy_is_looked_at() -> None:
    looked = {*verification.POLICY_CONTROLS, "fallback_runtime"}
    assert looked == {rule for rule, *_ in POLICIES} | {"fallback_runtime"}
    assert {row.name for row in POLICY_KEYS} - looked == {"signing_key"}, "which is about bundles alone"


# The report


def test_the_report() -> None:
    findings = [
        Finding("S1", "t", "none", "none", "plan", ok=True),
        Finding("S1", "t", "none", "none", "host /proc", ok=True),
        Finding("S2", "t", "noNewPrivileges True", "noNewPrivileges False", "OCI config.json", ok=False),
    ]
    lines = report(findings)
    assert lines[:6] == [
        "ok   S1   no capability in any set: 2 of 2",
        "          seen in plan, host /proc",
        "FAIL S2   no-new-privileges: 0 of 1",
        "          seen in OCI config.json",
        "          expected noNewPrivileges True",
        "          observed noNewPrivileges False (OCI config.json)",
    ]
    assert lines[6:8] == ["FAIL S3   read-only root: 0 of 0", "          not seen"], "what was not looked at fails"
    assert [line.split()[1] for line in lines if line.startswith(("ok", "FAIL"))] == [row.id for row in CONTROLS]
