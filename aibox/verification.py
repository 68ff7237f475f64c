"""`aibox verify`: every control of a running box, looked at anew, most of it from outside the box."""

import os
from collections.abc import Mapping

from aibox import (
    apparmor,
    assets,
    controls,
    execute,
    hostview,
    jsonview,
    runner,
    runtimefiles,
    seccomp,
    sessionview,
    state,
)
from aibox.boxes import recorded_plan
from aibox.config import Origin, policy_violations
from aibox.context import Context, kept_image, require_confinement, require_signed
from aibox.enginecalls import EngineCalls
from aibox.engines.adapter import BoxState
from aibox.errors import AiboxError
from aibox.hostview import HostView
from aibox.jsonview import Json
from aibox.model import Finding, LaunchPlan
from aibox.observe import Seen, equal, holds

# what data/launch.py tries behind the outer layer; the first ones depend on the kernel's Landlock
LANDLOCK_ATTEMPTS = ("tcp-connect", "tcp-bind", "abstract-socket", "signal")
ATTEMPTS = (*LANDLOCK_ATTEMPTS, "tcp-socket", "packet-socket", "keyctl", "io_uring_setup", "userfaultfd")
SESSION_SECONDS = 60.0
CHECK_SECONDS = 20.0


def verify(context: Context, calls: EngineCalls, box: BoxState) -> tuple[LaunchPlan, list[Finding]]:
    """The plan of a running box and all findings, right and wrong.

    Raises control-failed if nothing says what the box should be.
    """
    plan = recorded_plan(context.paths, box.name, box.plan)
    if plan is None:
        raise AiboxError(
            "control-failed",
            f"{box.name} cannot be verified: nothing says what it should be",
            why="its record is missing or does not fit its label; aibox did not make it, or somebody changed it",
            fix=runner.printable(["aibox", "restart", "--workspace", box.workspace]),
        )
    try:
        profile = jsonview.parse(state.read_bytes(plan.seccomp_path) or b"{}")
    except ValueError:
        profile = {}  # somebody wrote over it: no rule of the box is in there, and its SHA-256 differs
    view = hostview.look(box.pid, box.identifier)
    record = state.read_record(context.paths.setup_record)
    return plan, [
        *controls.plan_findings(plan),
        *file_findings(plan),
        *program_findings(plan, jsonview.fields(record, runtimefiles.slot("runtime", plan.runtime.kind)), view),
        *fallback_findings(plan, allowed=context.policy.fallback_runtime),
        *policy_findings(context, plan, kept_image(record, plan.image_id)),
        *execute.before_start(calls, plan, profile, box),
        *controls.running_findings(plan, view),
        *outer_findings(calls, plan),
        *session_findings(calls, box),
    ]


def file_findings(plan: LaunchPlan) -> list[Finding]:
    """The files on the host that the controls rest on are still what they were."""
    profile = state.read_bytes(plan.seccomp_path)
    found = state.sha256(profile) if profile is not None else "missing"
    digest = runtimefiles.folder_digest(os.path.dirname(plan.runtime.path))
    own = state.sha256(seccomp.content(plan.runtime.kind))
    seen = [
        ("S5", "seccomp profile", equal("sha256", plan.seccomp_digest, found)),
        ("S5", "seccomp profile", equal("sha256 of the profile that this aibox makes:", own, found)),
        ("S8", "wrapper", equal("sha256", plan.runtime.digest, digest or "missing")),
    ]
    for one in apparmor.PROFILES:
        if one.name == plan.runtime.apparmor:
            content = state.read_bytes(one.file)
            found = state.sha256(content) if content is not None else "missing"
            shipped = state.sha256(assets.read(one.asset))
            seen.append(("S6", f"AppArmor profile {one.name}", equal("sha256", shipped, found)))
    return [
        Finding(control, title, one.expected, one.observed, "files on the host", one.ok) for control, title, one in seen
    ]


def program_findings(plan: LaunchPlan, kept: dict[str, Json], view: HostView) -> list[Finding]:
    """S8: the runtime is the very program that setup proved, on disk and as what runs; `kept` is setup's record of it.

    A box that was made before setup chose another program has no digest of its own to compare with.
    """
    program, proved = plan.runtime.program, jsonview.text(kept, "program_sha256")
    seen = []
    if jsonview.text(kept, "program") == program:
        found = runtimefiles.program_digest(program) or "missing"
        seen.append(("files on the host", equal(f"{program} sha256", proved, found)))
    for process in view.processes if plan.runtime.kind == "runsc" else ():
        right = runs(process.pid, program)
        shown = f"{process.role}: {'that file' if right else 'another file, or one that is gone'}"
        seen.append(("host /proc", holds(f"{process.role} runs {program} as it is on disk", shown, ok=right)))
    return [Finding("S8", "runtime program", one.expected, one.observed, how, one.ok) for how, one in seen]


def runs(pid: int, program: str) -> bool:
    """Whether a process's program is one of the runtime's files: the same file, or at least the same content."""
    running = f"/proc/{pid}/exe"
    try:
        files = runtimefiles.program_files(program)
        if any(os.path.samestat(os.stat(running), os.stat(path)) for path in files):
            return True
        return state.sha256_file(running) in [state.sha256_file(path) for path in files]
    except OSError:
        return False


# the policy's keys, and the control that a box fails which they no longer allow; fallback_runtime has its own finding
POLICY_CONTROLS = {
    "workspace_roots": "S9",
    "allowed_images": "S10",
    "allowed_registries": "S10",
    "require_signature": "S10",
    "max_memory": "S10",
    "max_cpus": "S10",
    "max_pids": "S10",
    "require_mac": "S6",
}


def policy_findings(context: Context, plan: LaunchPlan, kept: dict[str, Json]) -> list[Finding]:
    """The host's policy may have become stricter since the box was made; `kept` is setup's record of its image."""
    config = context.config
    of_box = config._replace(
        image=plan.image,
        runtime=plan.runtime.kind,
        memory=plan.limits.memory,
        cpus=plan.limits.cpus,
        pids=plan.limits.pids,
        origins=dict.fromkeys(config.origins, Origin("box", "of this box")),
    )
    broken = dict(policy_violations(of_box, context.policy, plan.workspace.path))
    try:
        require_confinement(context.policy.require_mac, plan.runtime.apparmor)
    except AiboxError as error:
        broken["require_mac"] = error.what
    try:
        require_signed(context.policy, kept, plan.image)
    except AiboxError as error:
        broken["require_signature"] = error.what
    told = {rule: broken.get(rule, "it does") for rule in POLICY_CONTROLS}
    return [
        Finding(control, "the host's policy", f"{rule} allows it", told[rule], "policy.yaml", rule not in broken)
        for rule, control in POLICY_CONTROLS.items()
    ]


def fallback_findings(plan: LaunchPlan, *, allowed: bool) -> list[Finding]:
    """A box on the host's own kernel is right only as long as the host's policy allows that."""
    if plan.runtime.kind == "runsc":
        return []
    seen = equal("fallback_runtime", expected=True, observed=allowed)
    return [Finding("S8", "fallback", seen.expected, seen.observed, "policy.yaml", seen.ok)]


def outer_findings(calls: EngineCalls, plan: LaunchPlan) -> list[Finding]:
    """The outer layer, tried by a program that goes through the same launcher as runsc."""
    if plan.runtime.kind != "runsc":
        return []
    return judge_outer(try_outer(plan.runtime.path, calls.env)[0])


def try_outer(wrapper: str, env: Mapping[str, str]) -> tuple[dict[str, Json], str]:
    """What a program reports that goes through the wrapper's launcher as runsc does; or nothing, and why."""
    argv = [runtimefiles.python_program(), "-I", "-S", "-B", f"{os.path.dirname(wrapper)}/launch.py", "check"]
    result = runner.run(argv, timeout=CHECK_SECONDS, env=env, cwd="/")
    try:
        return jsonview.fields(jsonview.parse(result.out)), ""
    except ValueError:
        return {}, result.complaint()


def judge_outer(told: dict[str, Json]) -> list[Finding]:
    """What a program behind the launcher reported: each attempt has to be refused, as far as the kernel can."""
    lacking = [name for name in jsonview.texts(told, "lacking") if name in LANDLOCK_ATTEMPTS]
    attempts = jsonview.fields(told, "attempts")
    seen = []
    for name in ATTEMPTS:
        result = f"{name}: {attempts.get(name, 'not tried')}"
        if name in lacking:
            seen.append(Seen(f"{name}: this kernel's Landlock cannot refuse it", result, name in attempts))
        else:
            seen.append(Seen(f"{name} refused", result, result.startswith(f"{name}: refused")))
    return [
        Finding("S6", "outer layer", one.expected, one.observed, "a program behind the launcher", one.ok)
        for one in seen
    ]


def session_findings(calls: EngineCalls, box: BoxState) -> list[Finding]:
    """One session that attempts what has to fail."""
    command = sessionview.words(assets.text("verify.pl"), os.uname().machine)
    result = calls.run([*calls.engine.argv, "exec", box.name, *command], SESSION_SECONDS)
    return sessionview.findings(result.text())
