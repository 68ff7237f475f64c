"""`aibox setup`."""

import os
import time
from typing import TYPE_CHECKING

from aibox import facts, jsonview, state, ui
from aibox.cli import Arguments
from aibox.consent import require_consent
from aibox.context import Context, confinement_line
from aibox.errors import AiboxError
from aibox.meter import pulse
from aibox.setupsteps import Setup, Step
from aibox.ui import Outcome, Style
from aibox.wslsteps import preparation, steps_for

if TYPE_CHECKING:
    from aibox.jsonview import Json
    from aibox.setupbundle import Bundle

LOCK_SECONDS = 900.0


def run(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """Make this host ready, step by step."""
    if arguments.bundle:
        return from_bundle(gathered, arguments, style)
    return set_up(Setup(gathered, facts.host(), arguments.runsc, lambda text: ui.detail(text, style)), arguments, style)


def from_bundle(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """The same steps with a bundle as their only source; nothing is changed before all of it was checked."""
    from aibox import setupbundle

    if arguments.runsc or arguments.prepare_for or gathered.config.runsc_path or gathered.config.runtime != "runsc":
        raise AiboxError("usage", "--bundle brings its own runsc", fix="leave out --runsc, --runsc-path and --runtime")
    gathered.calls()  # the engine itself is not in a bundle
    host, path = facts.host(), os.path.abspath(arguments.bundle)

    def setup(bundle: "Bundle") -> Setup:
        return Setup(gathered, host, "", lambda text: ui.detail(text, style), bundle)

    if arguments.dry_run:
        return set_up(setup(setupbundle.look(gathered, path)), arguments, style)
    state.make_folder(gathered.paths.data, 0o755 if gathered.caller.uid == 0 else 0o700)
    with state.locked(f"{gathered.paths.data}/bundle.lock", timeout=LOCK_SECONDS):
        ui.step(f"check {path}", style)
        staged = setupbundle.stage(gathered, path, ui.Transfer(style).add)
        by = f"signed by {staged.signed_by}" if staged.signed_by else "its signature was not checked"
        ui.step(f"every file of the bundle is as its manifest says; {by}", style)
        outcome = set_up(setup(staged), arguments, style)
        setupbundle.discard(gathered.paths)
    return outcome


def set_up(setup: Setup, arguments: Arguments, style: Style) -> Outcome:
    """Do the steps."""
    gathered = setup.context
    steps = preparation(arguments.prepare_for) if arguments.prepare_for else steps_for(setup)
    if arguments.dry_run:
        return dry_run(setup, steps)
    if not setup.record:
        introduce(len(steps), given=arguments.yes, style=style)
    state.make_folder(gathered.paths.data, 0o755 if setup.root else 0o700)
    done: list[Json] = []
    with state.locked(f"{gathered.paths.data}/setup.lock", timeout=LOCK_SECONDS):
        for number, step in enumerate(steps, 1):
            done.append(perform(setup, step, f"[{number}/{len(steps)}]", given=arguments.yes, style=style))
    changed = sum(1 for entry in done if isinstance(entry, dict) and entry["action"] == "done")
    summary = (
        f"this host is ready ({changed} step{'' if changed == 1 else 's'} done)" if changed else "this host is ready"
    )
    if arguments.prepare_for:
        # standard output belongs to the setup of the user, which comes next
        ui.step(f"this host is prepared for {arguments.prepare_for}", style)
        return Outcome({"steps": done}, [])
    lines = [f"{summary}; next: aibox start --workspace FOLDER && aibox shell"]
    profile = jsonview.text(setup.kept("runtime"), "apparmor")
    data: dict[str, Json] = {"steps": done, "confinement": setup.host.confinement, "apparmor": profile}
    return Outcome(data, lines, (confinement_line(gathered, setup.host.confinement, profile),))


def introduce(count: int, *, given: bool, style: Style) -> None:
    """What will happen, before a first run does anything."""
    how = "then done" if given else "then done if you agree"
    ui.step(f"aibox makes this host ready in {count} steps: each is looked at, what is missing is shown, {how}", style)
    ui.step(
        "the first time takes one to five minutes, most of it for downloads; Ctrl-C is safe, a repeat goes on", style
    )


def perform(setup: Setup, step: Step, position: str, *, given: bool, style: Style) -> "dict[str, Json]":
    """Check a step, do it if needed, and check again. Raises setup-failed if it did not reach its goal."""
    began = time.monotonic()
    missing = step.missing(setup)
    if not missing:
        ui.step(f"{position} {step.title}: ready", style)
        return {"id": step.id, "action": "none"}
    ui.step(f"{position} {step.title}: {missing}", style)
    commands = step.commands(setup)
    ui.detail(f"why: {step.why}", style)
    for command in commands:
        ui.detail(f"will: {command}", style)
    if step.needs_root and not setup.root and step.optional:
        ui.step(f"{position} {step.title}: left alone; only root can do it: sudo {' && '.join(commands)}", style)
        return {"id": step.id, "action": "left", "missing": missing}
    if step.needs_root and not setup.root:
        raise AiboxError(
            "setup-failed",
            f"{step.title}: {missing}",
            why=f"{step.why}; only root can add it",
            fix=f"have an administrator run: {' && '.join(commands)}; then: aibox setup",
        )
    try:
        require_consent(f"do this step ({step.title})", given=given, style=style)
        with pulse(step.title, setup.say):
            step.do(setup)
        still = step.missing(setup)
        if still:
            raise AiboxError("setup-failed", f"{step.title}: {still}", why="the step ran, but its goal was not reached")
    except AiboxError as error:
        if not step.optional:
            raise
        ui.step(f"{position} {step.title}: left as it is; {error.what}", style)
        return {"id": step.id, "action": "left", "missing": missing, "why": error.what}
    seconds = time.monotonic() - began
    ui.step(f"{position} {step.title}: done ({seconds:.1f} s)", style)
    return {"id": step.id, "action": "done", "seconds": round(seconds, 1)}


def dry_run(setup: Setup, steps: tuple[Step, ...]) -> Outcome:
    """What setup would do, as far as it can be seen before the earlier steps are done."""
    rows: list[tuple[str, str]] = []
    data: list[Json] = []
    for step in steps:
        try:
            missing = step.missing(setup)
            commands = step.commands(setup) if missing else []
        except AiboxError as error:
            missing, commands = error.what, []
        data.append({"id": step.id, "missing": missing, "commands": list(commands)})
        rows.append((step.title, missing or "ready"))
        rows += [("", f"would: {command}") for command in commands]
    return Outcome({"steps": data}, ui.table(rows))
