"""Turns a plan into a running box, proving each step before the next; any mismatch destroys the box."""

import os
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from aibox import controls, hostview, idmapped, jsonview, monitors, notes, state
from aibox.enginecalls import EngineCalls
from aibox.engines.adapter import BoxState
from aibox.errors import AiboxError
from aibox.facts import PTRACE_FORBIDDEN, PTRACE_REMEDY, PTRACE_SCOPE
from aibox.hostview import HostView
from aibox.jsonview import Json
from aibox.meanwhile import Meanwhile
from aibox.model import BOX_HOME, LABEL_PLAN, Finding, LaunchPlan
from aibox.plan import CACHE_PARENTS, Making
from aibox.runtimefiles import INIT_TITLE
from aibox.state import Paths

SETTLE_SECONDS = 10.0


class Started(NamedTuple):
    """What `start` did with a plan's box: `created`, `started` (it was stopped) or `running` (it already was)."""

    plan: LaunchPlan
    action: str
    pid: int
    findings: tuple[Finding, ...]
    outdated: bool


Step = Callable[[str], None]
# the plan that a box was made with, by the digest in its label
Recorded = Callable[[str], "LaunchPlan | None"]
# judges what needs no engine, and returns what makes the plan
Planned = Callable[[], Making]
# called with the plan and the number of checks passed before the first process runs; what it raises ends the start
Launching = Callable[[LaunchPlan, int], None]


def start(
    calls: EngineCalls,
    paths: Paths,
    name: str,
    planned: Planned,
    step: Step,
    *,
    recorded: Recorded,
    launching: Launching,
) -> Started:
    """Bring the box `name` to run as planned, whatever state it is in; called by many at once it happens once.

    A box that runs under an earlier plan is judged by that one. `launching` notes a launch before the first process.
    Raises control-failed (the box is destroyed then) or what the engine reports.
    """
    with state.locked(notes.lock_path(paths, name), timeout=notes.LOCK_SECONDS):
        # what is refused without an engine asks none
        making = planned()
        # the plan asks the engine for the image; meanwhile it is asked for the box
        with Meanwhile(lambda: calls.inspect(name)) as looking:
            plan, profile = making()
            require(controls.plan_findings(plan), name)
            box = looking.result()
        wanted = dict(plan.labels)[LABEL_PLAN]
        if box and box.running:
            outdated = box.plan != wanted
            findings = _judge_running(calls, paths, recorded(box.plan) if outdated else plan, box)
            notes.note_running(paths, box.name, box)
            return Started(plan, "running", box.pid, tuple(findings), outdated)
        action = "created"
        if box and box.plan == wanted and box.status in ("exited", "stopped") and not monitors.running(paths, name):
            action = "started"
        elif box:
            step("remove the box that was there")
            destroy(calls, paths, name)

        def waiting() -> None:
            step("wait for other boxes that start")

        turn = state.one_of(notes.starting_locks(paths), timeout=notes.QUEUE_SECONDS, waiting=waiting)
        with turn, state.locked(notes.volumes_lock(paths), timeout=notes.LOCK_SECONDS, shared=True):
            return _launch(calls, paths, plan, profile, step, action=action, launching=launching)


def _launch(
    calls: EngineCalls, paths: Paths, plan: LaunchPlan, profile: Json, step: Step, *, action: str, launching: Launching
) -> Started:
    try:
        if plan.id_map:
            idmapped.ensure(plan, workspace_source(plan))
        if action == "created":
            step("create the box")
            calls.create(plan)
        step("let gVisor set it up" if plan.runtime.kind == "runsc" else "set it up")
        box = calls.set_up(plan)
        if box is None:
            raise AiboxError("engine-failed", f"{plan.name} vanished while it was being made", fix="try again")
        if plan.limits.holder == "systemd":
            from aibox import scope

            step("have systemd hold its limits")
            scope.hold(box.identifier, plan.limits, calls.env)
        step("check it before its first process")
        findings = before_start(calls, plan, profile, box)
        require(findings, plan.name)
        _hand_over_cache_parents(calls, plan, box)
        launching(plan, len(findings))
        step("start its first process")
        calls.start(plan.name)
        running = controls.host_findings(plan, _settled(plan, box), running=True)
        require(running, plan.name)
        notes.note_running(paths, plan.name, box)
        return Started(plan, action, box.pid, (*findings, *running), outdated=False)
    except BaseException as error:
        destroy(calls, paths, plan.name)
        stopped = isinstance(error, AiboxError) and error.code in ("engine-failed", "command-timeout")
        if stopped and plan.runtime.kind == "runsc" and cause("") == PTRACE_FORBIDDEN:
            raise AiboxError(
                "platform-failed",
                f"gVisor cannot start a box on this host (platform {plan.runtime.platform})",
                why=PTRACE_FORBIDDEN,
                fix=PTRACE_REMEDY,
            ) from error
        raise


def cause(complaint: str) -> str:
    """What most likely keeps gVisor from starting, from the engine's words and Yama's setting.

    Source: Documentation/admin-guide/LSM/Yama.rst; systrap attaches to its own children with ptrace.
    """
    if (state.read_bytes(PTRACE_SCOPE) or b"").strip() == b"3":
        return PTRACE_FORBIDDEN
    if "did not end within" in complaint:
        return f"the platform hangs on this host ({complaint})"
    return complaint


def _settled(plan: LaunchPlan, box: BoxState) -> HostView:
    """The box from outside, once its first process is what was planned.

    runc's and crun's `start` return while their own process is still dropping its rights before it becomes that.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        view = hostview.look(box.pid, box.identifier)
        first = view.role("first process")
        became = first is not None and first.argv[0] in (plan.command[0], INIT_TITLE)
        if plan.runtime.kind == "runsc" or became or time.monotonic() >= deadline:
            return view
        time.sleep(0.005)


def before_start(calls: EngineCalls, plan: LaunchPlan, profile: Json, box: BoxState) -> list[Finding]:
    """Everything that can be seen of an initialised box: the engine's record, the OCI configuration, the host."""
    view = hostview.look(box.pid, box.identifier)
    oci = calls.oci_config(box)
    held: list[Finding] = []
    if plan.limits.holder:
        from aibox import checks_limits, scope

        if plan.limits.holder == "systemd":
            held = scope.findings(box.identifier, plan.limits, view)
        else:
            held = checks_limits.findings(plan.limits, oci, swap=scope.counts_swap())
    return [
        *controls.inspect_findings(plan, box.inspect),
        *controls.oci_findings(plan, oci, profile),
        *controls.host_findings(plan, view, running=False),
        *held,
    ]


def require(findings: Iterable[Finding], name: str, done: str = "started") -> None:
    """Raise control-failed with every finding that is wrong; `done` is what was not done therefore."""
    wrong = [finding for finding in findings if not finding.ok]
    if wrong:
        reasons = "; ".join(
            f"{one.control} {one.title}: expected {one.expected}, found {one.observed} ({one.how})" for one in wrong
        )
        raise AiboxError(
            "control-failed",
            f"{name} was not {done}: {len(wrong)} security check{'s' if len(wrong) > 1 else ''} failed",
            why=reasons,
            fix="aibox doctor",
        )


def _judge_running(calls: EngineCalls, paths: Paths, plan: LaunchPlan | None, box: BoxState) -> list[Finding]:
    """The host's view of a box that runs already. Raises control-failed; a box that is wrong is destroyed."""
    if plan is None:
        raise AiboxError(
            "control-failed",
            f"{box.name} runs, and nothing says what it should be",
            why="its record is missing or does not fit its label; aibox did not make it, or another version did",
            fix="aibox start --recreate",
        )
    findings = controls.host_findings(plan, hostview.look(box.pid, box.identifier), running=True)
    try:
        require(findings, box.name)
    except AiboxError:
        destroy(calls, paths, box.name)
        raise
    return findings


def destroy(calls: EngineCalls, paths: Paths, box: str) -> None:
    """Remove a box and what aibox keeps beside it; volumes stay. Fine if there is none."""
    calls.remove(box)
    for monitor in monitors.running(paths, box):
        # of a box that the engine no longer knows, so it did not know of these either
        monitors.end(calls, monitor)
    notes.forget(paths, box)


def destroy_alone(calls: EngineCalls, paths: Paths, box: str) -> None:
    """As `destroy`, recorded, while no other aibox command changes the box. Raises lock-timeout."""
    from aibox import audit

    with state.locked(notes.lock_path(paths, box), timeout=notes.LOCK_SECONDS):
        found = calls.inspect(box)
        destroy(calls, paths, box)
        if found:
            audit.record(paths, "destroyed", box)


def workspace_source(plan: LaunchPlan) -> str:
    """The folder that the engine mounts as the workspace."""
    return next(mount.source for mount in plan.mounts if mount.kind == "bind")


def _hand_over_cache_parents(calls: EngineCalls, plan: LaunchPlan, box: BoxState) -> None:
    """Folders that the runtime made in the home volume, to mount caches in, belong to the user, not to root."""
    home = next(mount for mount in plan.mounts if mount.target == BOX_HOME)
    source = next(
        (
            jsonview.text(entry, "Source")
            for entry in jsonview.items(box.inspect, "Mounts")
            if jsonview.text(entry, "Name") == home.source
        ),
        "",
    )
    owner = plan.id_map.base + 1000 if plan.id_map else plan.owner.uid
    for parent in CACHE_PARENTS:
        folder = f"{source}{parent.removeprefix(BOX_HOME)}"
        try:
            status = os.lstat(folder)
        except OSError:
            continue
        if status.st_uid != owner:
            calls.give_to_box_user(folder, plan)
