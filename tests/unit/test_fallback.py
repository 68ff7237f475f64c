"""The fallback to runc and crun: refused unless policy and host allow it, and never without its profile."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
from samples import RECORDINGS, plan_of

from aibox import controls, runtimefiles
from aibox.config import Policy, load_config, policy_violations
from aibox.context import Context, require_fallback
from aibox.engines import podman
from aibox.errors import AiboxError
from aibox.hostview import HostProcess, HostView
from aibox.model import NATIVE_KINDS, SANDBOX_PROFILE, Developer, Engine, LaunchPlan, Runtime
from aibox.runtimefiles import Settings
from aibox.state import Paths
from aibox.verification import fallback_findings

ROOT = Path(__file__).resolve().parents[2]
PATHS = Paths("/x/data", "/x/run", "/x/config", "/x/seccomp.json")


@pytest.fixture
def launch() -> ModuleType:
    spec = importlib.util.spec_from_file_location("launch", ROOT / "data" / "launch.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def context(kind: str) -> Context:
    config = load_config((), environ={}, flags={"runtime": kind})
    return Context({}, Developer(1001, 1001, "dev1"), PATHS, config, Policy())


def native_plan(name: str, **changes: str) -> LaunchPlan:
    plan = plan_of(name)
    runtime = Runtime("runc", "/x/aibox-runc", "0" * 64, "/usr/sbin/runc", "", SANDBOX_PROFILE)
    return plan._replace(runtime=runtime, apparmor=changes.get("apparmor", SANDBOX_PROFILE))


def first_process(**changes: object) -> HostView:
    process = HostProcess(
        pid=7,
        role="first process",
        argv=("/usr/bin/perl",),
        program="/usr/bin/perl",
        uid=101000,
        capabilities=0,
        no_new_privileges=True,
        seccomp=2,
        filters=1,
        label=f"{SANDBOX_PROFILE} (enforce)",
        id_map=((0, 100000, 65536),),
        interfaces=("lo",),
        routes=(),
        mounts=(),
    )
    return HostView((process._replace(**changes),), ())  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", NATIVE_KINDS)
def test_policy_refuses_it_unless_it_says_otherwise(kind: str) -> None:
    config = load_config((), environ={}, flags={"runtime": kind})
    broken = policy_violations(config, Policy(), "/home/dev1/project")
    assert [rule for rule, _ in broken] == ["fallback_runtime"]
    assert policy_violations(config, Policy(fallback_runtime=True), "/home/dev1/project") == []


@pytest.mark.parametrize("kind", NATIVE_KINDS)
@pytest.mark.parametrize(("confinement", "seen"), [("none", "has no AppArmor"), ("selinux", "has SELinux")])
def test_a_host_without_apparmor_refuses_it(kind: str, confinement: str, seen: str) -> None:
    with pytest.raises(AiboxError) as caught:
        require_fallback(context(kind), confinement)
    assert caught.value.code == "fallback-refused"
    assert seen in caught.value.what
    assert "use gVisor" in caught.value.fix


def test_gvisor_needs_no_fallback() -> None:
    require_fallback(context("runsc"), "none")
    require_fallback(context("runc"), "apparmor")


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_plan_without_the_profile_is_refused(name: str) -> None:
    assert all(finding.ok for finding in controls.plan_findings(native_plan(name)))
    for profile in ("", "unconfined", "containers-default-0.50.1"):
        wrong = [f.control for f in controls.plan_findings(native_plan(name, apparmor=profile)) if not f.ok]
        assert wrong == ["S6"]


def test_only_a_rootful_engine_is_given_the_profile_by_flag() -> None:
    for name in RECORDINGS:
        rootless = name.endswith("rootless")
        argv = podman.create(Engine("podman", "/usr/bin/podman", (4, 3, 1), rootless), native_plan(name))
        assert (f"apparmor={SANDBOX_PROFILE}" in argv) is not rootless
        assert "label=disable" not in argv


@pytest.mark.parametrize(
    ("changes", "control"),
    [
        ({"label": "unconfined"}, "S6"),
        ({"label": ""}, "S6"),
        ({"label": f"{SANDBOX_PROFILE} (complain)"}, "S6"),
        ({"label": "crun (enforce)"}, "S6"),
        ({"capabilities": 1}, "S1"),
        ({"no_new_privileges": False}, "S2"),
        ({"seccomp": 0}, "S5"),
    ],
)
def test_a_first_process_that_is_not_confined_is_found(changes: dict[str, object], control: str) -> None:
    plan = native_plan("podman-4.3.1-rootless")
    assert all(finding.ok for finding in controls.running_findings(plan, first_process()))
    stacked = first_process(label=f"{SANDBOX_PROFILE}//&crun (mixed)")
    assert all(finding.ok for finding in controls.running_findings(plan, stacked))
    wrong = {finding.control for finding in controls.running_findings(plan, first_process(**changes)) if not finding.ok}
    assert wrong == {control}


def test_before_its_start_the_runtime_stands_in_its_place() -> None:
    plan = native_plan("podman-4.3.1-rootless")
    early = first_process(capabilities=1, no_new_privileges=False, label="unconfined")
    wrong = {finding.control for finding in controls.host_findings(plan, early, running=False) if not finding.ok}
    assert wrong == {"S9"}  # the sample has no mounts


def test_verify_wants_policy_to_allow_it_still() -> None:
    plan = native_plan("podman-4.3.1-rootful")
    assert [finding.ok for finding in fallback_findings(plan, allowed=True)] == [True]
    assert [finding.ok for finding in fallback_findings(plan, allowed=False)] == [False]
    assert fallback_findings(plan_of("podman-4.3.1-rootful"), allowed=False) == []


def test_the_wrapper_of_a_fallback_has_no_gvisor_flags() -> None:
    settings = Settings(
        "/usr/sbin/runc", "", True, SANDBOX_PROFILE, "/usr/bin/python3", "x86_64", kind="runc"
    )  # fmt: skip
    files = runtimefiles.contents(settings, "/x")
    assert sorted(files) == ["aibox-runc", "launch.py", "settings.json"]
    assert b"exec /usr/sbin/runc " in files["aibox-runc"]
    assert json.loads(files["settings.json"])["kind"] == "runc"
    other = runtimefiles.contents(settings._replace(apparmor=""), "/x")
    assert runtimefiles.digest(files) != runtimefiles.digest(other)


def test_the_bundle_is_given_the_profile(launch: ModuleType, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"process": {"args": ["sh"], "apparmorProfile": "unconfined"}, "root": {}}))
    launch.confine_bundle(str(config), SANDBOX_PROFILE)
    assert json.loads(config.read_text()) == {
        "process": {"args": ["sh"], "apparmorProfile": SANDBOX_PROFILE},
        "root": {},
    }
    with pytest.raises(launch.RefusedError):
        launch.confine_bundle(str(config), "")
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_session_is_given_the_profile(launch: ModuleType, tmp_path: Path) -> None:
    process = tmp_path / "process.json"
    process.write_text(json.dumps({"user": {"uid": 1000, "gid": 1000}, "args": ["id"], "env": ["A=b"]}))
    settings = {"kind": "runc", "apparmor": SANDBOX_PROFILE}
    launch.prepare_session(["exec", "--process", str(process), "box"], settings)
    made = json.loads(process.read_text())
    assert (made["apparmorProfile"], made["noNewPrivileges"]) == (SANDBOX_PROFILE, True)
    assert (made["args"], made["env"]) == (["id"], ["A=b"])
