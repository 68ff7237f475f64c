"""`aibox status`."""

import time

from aibox import ages, boxes, context, controls, facts, hostview, state, ui
from aibox.boxes import Located
from aibox.cli import Arguments
from aibox.context import Context
from aibox.enginecalls import EngineCalls
from aibox.engines.adapter import BoxState
from aibox.errors import AiboxError
from aibox.jsonview import Json, fields, text
from aibox.model import LABEL_PLAN, LABEL_VERSION, LaunchPlan
from aibox.plan import volume_name
from aibox.runner import printable
from aibox.ui import Outcome, Style


def run(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """What the box of a workspace is and does."""
    del style
    calls = gathered.calls()
    located = boxes.locate(gathered, arguments.workspace)
    box = calls.inspect(located.name)
    if box is None:
        raise AiboxError(
            "box-missing",
            f"the box of {located.workspace} is gone",
            why="it was removed outside aibox",
            fix=printable(["aibox", "start", "--workspace", located.workspace]),
        )
    today, problem = _plan(gathered, calls, located)
    # what it was made with, so that a box which was started with flags is shown as it is
    plan = boxes.recorded_plan(gathered.paths, box.name, box.plan) or today
    host = facts.host()
    data: dict[str, Json] = {
        "box": box.name,
        "state": box.status,
        "workspace": box.workspace,
        "created": ages.iso(box.created),
        "version": str(fields(box.inspect, "Config", "Labels").get(LABEL_VERSION, "")),
        "image_id": box.image,
        "engine": calls.engine.label,
        "confinement": host.confinement,
    }
    made = ages.ago(box.created, time.time())
    rows = [("box", box.name), ("state", f"{box.status}, made {made}"), ("workspace", box.workspace)]
    rows.append(("engine", calls.engine.label))
    notices = [problem] if problem else []
    if plan:
        notices += _add_plan(plan, box, data, rows)
    signature = _signature(gathered, box)
    data.update(signature)
    if signature.get("signature") == "checked" or str(signature.get("digest")).startswith("sha256:"):
        rows += [(name, str(value)) for name, value in signature.items()]
    if today and box.plan != dict(today.labels)[LABEL_PLAN]:
        data["outdated"] = True
        renew = printable(["aibox", "restart", "--workspace", box.workspace])
        notices.append(f"it was started with other settings; to renew it: {renew}")
    rows.append(("host", context.confinement_line(gathered, host.confinement, plan.runtime.apparmor if plan else "")))
    return Outcome(data, ui.pairs(rows, ui.columns()), tuple(notices))


def _signature(gathered: Context, box: BoxState) -> dict[str, Json]:
    """The digest of the box's image in its registry, and whether its signature was checked, by setup's record."""
    kept = context.kept_image(state.read_record(gathered.paths.setup_record), box.image)
    if not kept:
        return {}
    checked = "checked" if kept.get("signature") == "checked" else "not checked"
    return {"digest": text(kept, "digest") or "none: it is of this host alone", "signature": checked}


def _plan(gathered: Context, calls: EngineCalls, located: Located) -> tuple[LaunchPlan | None, str]:
    """Today's plan for the box, or why there is none."""
    try:
        return context.plan_for(gathered, calls, gathered.workspace(located.workspace))[0], ""
    except AiboxError as error:
        return None, f"it could not be started again as things are: {error.what}"


def _add_plan(plan: LaunchPlan, box: BoxState, data: dict[str, Json], rows: list[tuple[str, str]]) -> list[str]:
    notices = []
    data.update(outdated=False, image=plan.image, runtime=plan.runtime.kind, platform=plan.runtime.platform)
    rows.append(("image", f"{plan.image} ({box.image[:12]})"))
    rows.append(("runtime", plan.runtime.label))
    if box.running and box.plan == dict(plan.labels)[LABEL_PLAN]:
        findings = controls.host_findings(plan, hostview.look(box.pid, box.identifier), running=True)
        wrong = [f"{one.control} {one.title}" for one in findings if not one.ok]
        data.update(host_checks=len(findings), host_checks_failed=list(wrong))
        rows.append(("controls", f"{len(findings) - len(wrong)} of {len(findings)} host checks pass"))
        notices += [f"control failed: {name}" for name in wrong]
    limits = plan.limits
    data["limits"] = {
        "memory": limits.memory,
        "cpus": limits.cpus,
        "pids": limits.pids,
        "enforced": limits.enforced,
        "held_by": limits.holder,
    }
    shown = f"{ui.size(limits.memory)} memory, {limits.cpus:g} CPUs, {limits.pids} processes"
    rows.append(("limits", limits.remark or shown))
    prefix = volume_name(plan.owner, "")
    purposes = [mount.source.removeprefix(prefix) for mount in plan.mounts if mount.kind == "volume"]
    caches = [purpose.removesuffix("-cache") for purpose in purposes if purpose.endswith("-cache")]
    rows.append(("volumes", f"{prefix}*: {', '.join(purpose for purpose in purposes if '-' not in purpose)}"))
    rows.append(("caches", ", ".join(caches) or "none"))
    return notices
