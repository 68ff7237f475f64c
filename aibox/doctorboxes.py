"""Doctor's looks at the boxes: aibox's register against what the engine has."""

import os

from aibox import __version__, boxes, controls, hostview, jsonview, leftovers, planrecord, state
from aibox.doctor import Examination
from aibox.doctorjudge import Look, fine, note, wrong
from aibox.engines.adapter import BoxState
from aibox.leftovers import is_left
from aibox.model import LABEL_VERSION
from aibox.runner import printable


def notes(examination: Examination) -> Look:
    """Notes of boxes that the engine no longer has."""
    lost = _lost(examination)
    return note(f"noted, but gone from the engine: {', '.join(lost)}") if lost else fine("every noted box is there")


def _lost(examination: Examination) -> list[str]:
    there = {box.name for box in examination.listed()}
    return [name for name, _ in boxes.registered(examination.context.paths) if name not in there]


def forget(examination: Examination) -> None:
    """Drop the notes of boxes that are gone; their volumes stay."""
    for name in _lost(examination):
        boxes.forget(examination.context.paths, name)


def orphans(examination: Examination) -> Look:
    """Boxes of the engine that aibox has no notes of."""
    known = {name for name, _ in boxes.registered(examination.context.paths)}
    strange = [box.name for box in examination.listed() if box.name not in known and not is_left(box.name)]
    if strange:
        return note(f"no notes of {', '.join(strange)}", f"{examination.setup.engine} rm --force {' '.join(strange)}")
    return fine("every box is noted")


def left_over(examination: Examination) -> Look:
    """What a command that was killed left behind."""
    found = leftovers.found(examination.context, examination.calls(), examination.listed())
    return note(f"left by interrupted commands: {', '.join(found)}") if found else fine("none")


def sweep(examination: Examination) -> None:
    """Remove throw-away boxes, volumes and unfinished files of processes that are gone."""
    leftovers.sweep(examination.context, examination.calls())


def workspaces(examination: Examination) -> Look:
    """Boxes whose folder was removed or exchanged."""
    lost = []
    for name, record in boxes.registered(examination.context.paths):
        identity = planrecord.decode(record.get("plan")).workspace.identity
        path = jsonview.text(record, "workspace")
        try:
            status = os.stat(path)
        except OSError:
            lost.append((name, path, "is gone"))
            continue
        if identity.inode and identity != (status.st_dev, status.st_ino):
            lost.append((name, path, "is another folder now"))
    if not lost:
        return fine("every box has its folder")
    told = "; ".join(f"{path} of {name} {what}" for name, path, what in lost)
    return note(told, " && ".join(printable(["aibox", "destroy", "--workspace", path]) for _, path, _ in lost))


def drift(examination: Examination) -> Look:
    """Running boxes that are not what they were made as, seen from the host."""
    calls = examination.calls()
    running = [box for box in examination.listed() if box.running and not is_left(box.name)]
    wrongs = []
    for listed in running:
        box = calls.inspect(listed.name)
        if box is None or not box.running:
            continue
        problem = _drifted(examination, box)
        if problem:
            wrongs.append((box, problem))
    if not wrongs:
        return fine(f"{len(running)} running, as they were made" if running else "none runs")
    told = "; ".join(f"{box.name}: {problem}" for box, problem in wrongs)
    return wrong(told, " && ".join(printable(["aibox", "restart", "--workspace", box.workspace]) for box, _ in wrongs))


def _drifted(examination: Examination, box: BoxState) -> str:
    if not os.path.exists(boxes.register_path(examination.context.paths, box.name)):
        return ""  # an orphan, which has its own check
    plan = boxes.recorded_plan(examination.context.paths, box.name, box.plan)
    if plan is None:
        return "its record does not fit its label"
    if state.read_bytes(plan.runtime.path) is None:
        return f"its wrapper {plan.runtime.path} is gone"
    findings = controls.host_findings(plan, hostview.look(box.pid, box.identifier), running=True)
    return ", ".join(f"{one.control} {one.title} (observed {one.observed})" for one in findings if not one.ok)


def versions(examination: Examination) -> Look:
    """Boxes that an older aibox made."""
    old = []
    for box in examination.listed():
        made = jsonview.text(box.inspect, "Labels", LABEL_VERSION)
        if made and made != __version__ and not is_left(box.name):
            old.append((box, made))
    if not old:
        return fine("all by this version")
    told = ", ".join(f"{box.name} by aibox {made}" for box, made in old)
    return note(told, " && ".join(printable(["aibox", "restart", "--workspace", box.workspace]) for box, _ in old))
