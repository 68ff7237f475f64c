"""`aibox start`."""

from collections.abc import Callable
from typing import TypeVar

from aibox import audit, boxes, context, controls, execute, notes, ui, workspace
from aibox.boxes import Located
from aibox.cli import Arguments
from aibox.context import Context
from aibox.enginecalls import EngineCalls
from aibox.errors import AiboxError
from aibox.execute import Started
from aibox.jsonview import Json
from aibox.model import LABEL_PLAN, LaunchPlan, Workspace
from aibox.plan import Making, box_name
from aibox.runner import printable
from aibox.ui import Outcome, Style

T = TypeVar("T")


def run(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """Start the box of a workspace."""
    calls = gathered.calls()
    folder = folder_for(gathered, arguments.workspace)
    place = gathered.workspace(folder)
    if arguments.dry_run:
        return dry_run(calls, planned(gathered, calls, place, style, again=False)[0])
    ready = None
    if arguments.recreate:
        # what would be refused leaves the old box alone
        settled = planned(gathered, calls, place, style)
        execute.destroy_alone(calls, gathered.paths, settled[0].name)
        ready = _already(settled)
    started = launch(gathered, calls, place, style, ready)
    plan = started.plan
    notices = [*remarks(plan), *([outdated_remark(folder)] if started.outdated else [])]
    checks = len(started.findings)
    data: dict[str, Json] = {
        "box": plan.name,
        "workspace": place.path,
        "action": started.action,
        "checks_passed": checks,
        "outdated": started.outdated,
        "runtime": plan.runtime.kind,
        "platform": plan.runtime.platform,
        "limits_enforced": plan.limits.enforced,
    }
    done = {"created": "started", "started": "started again", "running": "runs already"}[started.action]
    lines = [f"{plan.name} {done}: {place.path} under {plan.runtime.label}, {checks} checks passed"]
    return Outcome(data, lines, tuple(notices))


def folder_for(gathered: Context, given: str) -> str:
    """The folder that was named, else the nearest one from here up that has a box, else the current one."""
    if given:
        return given
    try:
        return boxes.locate(gathered, "").workspace
    except AiboxError:
        return context.current_folder()


def fetch_again(gathered: Context, calls: EngineCalls) -> bool:
    """Pull the image that setup chose and that is gone from this host, under the signature policy; True if it came.

    Raises what the pull raises: another image than the pinned one is refused.
    """
    from aibox import imagetrust, jsonview, setupimage, state

    kept = jsonview.fields(state.read_record(gathered.paths.setup_record), "image")
    reference = context.image_reference(gathered, jsonview.text(kept, "reference"))
    if gathered.config.pull == "never" or kept.get("reference") != reference or imagetrust.only_here(reference):
        return False
    with state.locked(f"{gathered.paths.data}/setup.lock", timeout=setupimage.PULL_SECONDS):
        record = state.read_record(gathered.paths.setup_record)
        kept = jsonview.fields(record, "image")
        seconds = setupimage.PULL_SECONDS
        record["image"] = imagetrust.fetch(gathered, calls, kept, reference, seconds=seconds, moving=False)
        state.write_record(gathered.paths.setup_record, record)
    return True


def planned(
    gathered: Context, calls: EngineCalls, place: Workspace, style: Style, *, again: bool = True
) -> tuple[LaunchPlan, Json]:
    """The plan for a workspace; what a control or the host's policy refuses is recorded.

    `again`: an image that is gone from this host may be pulled again.
    """

    def plan() -> tuple[LaunchPlan, Json]:
        return context.plan_for(gathered, calls, place)

    try:
        return _with_image(gathered, calls, plan) if again else plan()
    except AiboxError as error:
        if error.refusal:
            _record_refusal(gathered, box_name(place.owner, place.path), error, style)
        raise


def _with_image(gathered: Context, calls: EngineCalls, act: Callable[[], T]) -> T:
    """What `act` returns; if the image is gone from this host and can be pulled again, at the second attempt."""
    try:
        return act()
    except AiboxError as error:
        if error.code != "image-missing" or not fetch_again(gathered, calls):
            raise
        return act()


def _record_refusal(gathered: Context, box: str, error: AiboxError, style: Style) -> None:
    told = audit.refusal(gathered.paths, box, error)
    if told:
        ui.note(told, style)


def launch(
    gathered: Context,
    calls: EngineCalls,
    place: Workspace,
    style: Style,
    ready: Making | None = None,
) -> Started:
    """Start the box of a workspace, with a record of the launch or of the refusal; `ready` gives a plan made before."""
    progress = ui.Progress(style)
    name = box_name(place.owner, place.path)

    def recorded(digest: str) -> LaunchPlan | None:
        return boxes.recorded_plan(gathered.paths, name, digest)

    noted: list[str] = []

    def launching(plan: LaunchPlan, checks: int) -> None:
        noted.append(plan.name)
        boxes.remember(gathered.paths, plan)
        boxes.note_use(gathered.paths, [mount.source for mount in plan.mounts if mount.kind == "volume"])
        if plan.runtime.kind != "runsc":
            audit.record(gathered.paths, "fallback", plan.name, runtime=plan.runtime.kind, apparmor=plan.apparmor)
        audit.record(
            gathered.paths,
            "launched",
            plan.name,
            workspace=plan.workspace.path,
            plan=dict(plan.labels)[LABEL_PLAN],
            runtime=plan.runtime.kind,
            platform=plan.runtime.platform,
            image=plan.image,
            image_id=plan.image_id,
            checks=checks,
        )

    made: list[LaunchPlan] = []

    def planning() -> Making:
        return _noting(ready or context.planning(gathered, calls, place), made)

    def attempt() -> Started:
        return execute.start(
            calls,
            gathered.paths,
            name,
            planning,
            progress.step,
            recorded=recorded,
            launching=launching,
        )

    try:
        started = _with_image(gathered, calls, attempt)
    except BaseException as error:
        if noted:
            # the box is gone again
            boxes.forget(gathered.paths, name)
        # a start that failed is recorded whatever the reason; before there was a plan, only what was refused
        if isinstance(error, AiboxError) and (made or error.refusal):
            _record_refusal(gathered, name, error, style)
        raise
    plan = started.plan
    if started.action == "running" and not started.outdated and not recorded(dict(plan.labels)[LABEL_PLAN]):
        # whoever started it was ended before it could note the box
        boxes.remember(gathered.paths, plan)
    return started


def _already(settled: tuple[LaunchPlan, Json]) -> Making:
    return lambda: settled


def _noting(making: Making, made: list[LaunchPlan]) -> Making:
    """As `making`, and `made` has the plan afterwards."""

    def noted() -> tuple[LaunchPlan, Json]:
        plan, profile = making()
        made.append(plan)
        return plan, profile

    return noted


def ensure_running(gathered: Context, calls: EngineCalls, given: str, style: Style) -> tuple[Located, bool]:
    """The box of a folder, started if it does not run; True if this made it."""
    try:
        located = boxes.locate(gathered, given)
        if notes.noted_running(gathered.paths, located.name):
            return located, False
        folder = located.workspace
    except AiboxError as error:
        if error.code != "box-missing":
            raise
        folder = given or context.current_folder()
    place = gathered.workspace(folder)
    started = launch(gathered, calls, place, style)
    for remark in remarks(started.plan):
        ui.note(remark, style)
    return boxes.locate(gathered, folder), started.action == "created"


def remarks(plan: LaunchPlan) -> list[str]:
    """What the user should know about this box."""
    found = []
    if plan.runtime.kind != "runsc":
        found.append(f"fallback: {plan.runtime.kind} on this host's kernel, confined by AppArmor; gVisor is not used")
    if plan.workspace.empty:
        found.append(f"{plan.workspace.path} is empty")
    notice = workspace.filesystem_notice(plan.workspace)
    if notice:
        found.append(notice)
    if plan.limits.remark:
        found.append(plan.limits.remark)
    if plan.id_map and plan.owner.uid == 0:
        found.append("the workspace belongs to root: files that the box writes there belong to root on this host")
    return found


def outdated_remark(folder: str) -> str:
    """For a box that runs under an older plan than its settings now ask for."""
    return f"it runs with earlier settings; to renew it: {printable(['aibox', 'restart', '--workspace', folder])}"


def dry_run(calls: EngineCalls, plan: LaunchPlan) -> Outcome:
    """The commands of a start, for reading or pasting."""
    execute.require(controls.plan_findings(plan), plan.name)
    inspect = printable([*calls.engine.argv, "container", "inspect", plan.name])
    commands = [
        printable(calls.adapter.create(calls.engine, plan)),
        *([printable([*calls.engine.argv, "init", plan.name])] if plan.engine == "podman" else []),
        inspect,
        *([_limiting(inspect, plan)] if plan.limits.holder == "systemd" else []),
        printable([*calls.engine.argv, "start", plan.name]),
    ]
    return Outcome({"commands": list(commands)}, commands)


def _limiting(inspect: str, plan: LaunchPlan) -> str:
    from aibox import scope

    # the scope bears the container's id, which exists only after `create`
    words = scope.command("BOX", plan.limits)
    return printable(words).replace("BOX", f"$({inspect} --format '{{{{.Id}}}}')")
