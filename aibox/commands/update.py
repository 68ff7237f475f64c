"""`aibox update`."""

import tempfile
from typing import TYPE_CHECKING

from aibox import facts, imagetrust, programupdate, state, ui, updates
from aibox.cli import Arguments
from aibox.commands import start
from aibox.commands.setup import LOCK_SECONDS, perform
from aibox.consent import require_consent
from aibox.context import Context
from aibox.errors import CONTROL, FAILED, AiboxError
from aibox.programupdate import Offered, Running
from aibox.runner import printable
from aibox.setupsteps import Setup
from aibox.ui import Outcome, Style
from aibox.updates import CURRENT, KEPT, OUTDATED, Aged, Part

if TYPE_CHECKING:
    from aibox.enginecalls import EngineCalls
    from aibox.jsonview import Json

VERDICTS = {"current": "up to date", "outdated": "update", "unknown": "look", "kept": "left alone"}


def run(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """Bring image, gVisor and profiles up to date, or go back to the previous image."""
    if arguments.program:
        return program(gathered, arguments, style)
    config = gathered.config
    eager = config if config.pull == "never" else config._replace(pull="always")
    setup = Setup(gathered._replace(config=eager), facts.host(), "", lambda text: ui.detail(text, style))
    setup.moving = True
    calls = gathered.calls()
    if arguments.look:
        return shown(updates.parts(setup), updates.aged(setup, calls))
    if arguments.dry_run:
        return dry_run(setup, calls, back=arguments.rollback)
    with state.locked(f"{gathered.paths.data}/setup.lock", timeout=LOCK_SECONDS):
        setup.record = state.read_record(gathered.paths.setup_record)
        if arguments.rollback:
            return roll_back(setup, calls, arguments, style)
        return update(setup, calls, arguments, style)


def shown(parts: list[Part], boxes: list[Aged], done: "dict[str, str] | None" = None) -> Outcome:
    """The table of what is here and what could be; `done` says what became of each part."""
    rows = [("PART", "HERE", "AVAILABLE", "")]
    rows += [
        (part.title, part.installed, part.available, (done or {}).get(part.id, VERDICTS[part.state])) for part in parts
    ]
    lines = ui.table(rows)
    lines += [f"outdated box: {box.name} ({box.why}); {renewal(box)}" for box in boxes]
    data: dict[str, Json] = {
        "parts": [document(part, done) for part in parts],
        "boxes": [dict(box._asdict()) for box in boxes],
    }
    return Outcome(data, lines)


def document(part: Part, done: "dict[str, str] | None") -> "dict[str, Json]":
    """A part for `--json`."""
    known: dict[str, Json] = {
        "id": part.id, "installed": part.installed, "available": part.available, "state": part.state
    }  # fmt: skip
    return {**known, "action": done[part.id]} if done else known


def renewal(box: Aged) -> str:
    """What makes an outdated box new."""
    if not box.running:
        return "its next start makes it anew"
    return f"to renew it: {printable(['aibox', 'restart', '--workspace', box.workspace])}"


def dry_run(setup: Setup, calls: "EngineCalls", *, back: bool) -> Outcome:
    """What would be done."""
    if back:
        previous = updates.previous_image(setup, calls)
        commands = [printable([*calls.engine.argv, "tag", str(previous["id"]), str(previous["reference"])])]
    else:
        wanted = [part for part in updates.parts(setup) if part.state not in (CURRENT, KEPT)]
        commands = [command for part in wanted for command in part.commands]
    return Outcome({"commands": list(commands)}, commands)


def update(setup: Setup, calls: "EngineCalls", arguments: Arguments, style: Style) -> Outcome:
    """Do what the parts need, each with consent; a part that fails leaves what was there."""
    parts = updates.parts(setup)
    for part in parts:
        ui.step(f"{part.title}: {part.installed}; available: {part.available} [{VERDICTS[part.state]}]", style)
    done = {part.id: "left" if part.state == KEPT else "none" for part in parts}
    notices: list[str] = []
    failed = 0
    wanted = [part for part in parts if part.state not in (CURRENT, KEPT)]
    for part in wanted:
        for command in part.commands:
            ui.detail(f"will: {command}", style)
    if wanted:
        require_consent(f"update {', '.join(part.title for part in wanted)}", given=arguments.yes, style=style)
    for part in wanted:
        try:
            if part.id == "image":
                done[part.id] = "updated" if updates.renew_image(setup, calls) else "none"
            if part.id == "runsc" and part.commands:
                done[part.id] = "updated" if updates.renew_gvisor(setup) else "none"
        except AiboxError as error:
            done[part.id] = "failed"
            failed = CONTROL if CONTROL in (failed, error.exit_code) else FAILED
            code = f" [{error.code}]" if error.code in imagetrust.REFUSALS else ""
            notices.append(f"{part.title} is as it was: {error.what}{f' ({error.why})' if error.why else ''}{code}")
    consented = arguments.yes or bool(wanted)
    changed = done["image"] == "updated" or updates.is_unproven(setup)
    if prove(setup, calls, style, given=consented, image_changed=changed):
        done["profiles"] = "updated"
    boxes = recreate(setup, calls, arguments, style)
    outcome = shown(updates_after(setup, parts), boxes, done)
    return outcome._replace(notices=tuple(notices), exit_code=failed)


def updates_after(setup: Setup, parts: list[Part]) -> list[Part]:
    """The parts with what is here now."""
    record = state.read_record(setup.context.paths.setup_record)
    image = record.get("image")
    now = f"{image['reference']} ({str(image['id'])[:12]})" if isinstance(image, dict) else ""
    kept = setup.kept("runtime")
    program = f"{kept.get('program')} ({str(kept.get('program_sha256'))[:12]})"
    here = {"image": now, "runsc": program, "profiles": "those of this aibox"}
    return [part._replace(installed=here[part.id]) for part in parts]


def prove(setup: Setup, calls: "EngineCalls", style: Style, *, given: bool, image_changed: bool) -> bool:
    """Write what this aibox ships and prove all with a throw-away box; a new image that fails is taken back.

    True if one of aibox's files was written. Raises what the steps raise.
    """
    steps = updates.own_steps(setup)
    wrote = False
    try:
        for number, step in enumerate(steps, 1):
            result = perform(setup, step, f"[{number}/{len(steps)}]", given=given, style=style)
            wrote = wrote or (result["action"] == "done" and step.id != "proof")
    except AiboxError:
        if image_changed:
            updates.roll_back(setup, calls)
            ui.note("the new image did not prove itself; the previous one is in use again", style)
        raise
    return wrote


def roll_back(setup: Setup, calls: "EngineCalls", arguments: Arguments, style: Style) -> Outcome:
    """Go back to the image before the last update."""
    previous = updates.previous_image(setup, calls)
    named = f"{previous['reference']} ({str(previous['id'])[:12]})"
    require_consent(f"use the previous image {named} for new boxes", given=arguments.yes, style=style)
    updates.roll_back(setup, calls)
    prove(setup, calls, style, given=True, image_changed=False)
    boxes = recreate(setup, calls, arguments, style)
    part = Part("image", "image", named, "the newer one is kept", CURRENT)
    return shown([part], boxes, {"image": "rolled back"})


def recreate(setup: Setup, calls: "EngineCalls", arguments: Arguments, style: Style) -> list[Aged]:
    """With --recreate, running boxes that are outdated are made anew, each with consent; returns those that stay."""
    left = []
    for box in updates.aged(setup, calls):
        if not (arguments.recreate and box.running):
            left.append(box)
            continue
        change = f"end everything in {box.name} ({box.workspace}) and make the box anew; home and caches stay"
        require_consent(change, given=arguments.yes, style=style)
        again = Arguments()
        again.workspace, again.recreate = box.workspace, True
        for line in start.run(setup.context, again, style).lines:
            ui.step(line, style)
    return left


# aibox itself


def program(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """Put a newer aibox, checked and signed, in the place of the file that runs; or the one before it."""
    here = programupdate.running()
    with state.locked(f"{gathered.paths.data}/program.lock", timeout=LOCK_SECONDS):
        if arguments.rollback:
            return program_back(here, arguments, style)
        with tempfile.TemporaryDirectory(prefix="aibox-program-") as folder:
            offered = programupdate.fetch(gathered, folder, lambda told: ui.detail(told, style))
            return program_forward(gathered, offered, here, arguments, style)


def program_forward(gathered: Context, offered: Offered, here: Running, arguments: Arguments, style: Style) -> Outcome:
    """Say what is offered, and put it in place."""
    same = offered.sha256 == here.sha256
    shown_as = f"{offered.version} ({offered.sha256[:12]}), signed by {offered.signed_by}, from {offered.url}"
    part = Part("program", "aibox", named(here), shown_as, CURRENT if same else OUTDATED)
    if same:
        return shown([part], [])
    if not arguments.look or arguments.downgrade:
        programupdate.require_newer(offered, here, downgrade=arguments.downgrade)
    elif programupdate.is_older(offered.version, here.version):
        part = part._replace(state=KEPT, available=f"{shown_as}: older, only with --downgrade")
    if arguments.look:
        return shown([part], [])
    commands = [
        f"write {here.path}.new, start it once, and keep {here.path} as {here.previous}",
        printable(["mv", f"{here.path}.new", here.path]),
    ]
    if arguments.dry_run:
        return Outcome({"commands": [*commands]}, commands)
    programupdate.require_writable(here, "update --program")
    for line in (f"aibox: {named(here)}; offered: {shown_as}", *(f"will: {command}" for command in commands)):
        ui.detail(line, style)
    require_consent(f"replace {here.path} by aibox {offered.version}", given=arguments.yes, style=style)
    programupdate.replace(offered, here, gathered.env)
    back = printable([here.path, "update", "--program", "--rollback"])
    outcome = shown([part._replace(installed=f"{offered.version} ({offered.sha256[:12]})")], [], {"program": "updated"})
    return outcome._replace(lines=[*outcome.lines, f"next: aibox setup; back to {here.version}: {back}"])


def program_back(here: Running, arguments: Arguments, style: Style) -> Outcome:
    """Exchange the running file and the one before it."""
    commands = [printable(["mv", here.previous, here.path])]
    if arguments.dry_run:
        return Outcome({"commands": [*commands]}, commands)
    programupdate.require_writable(here, "update --program --rollback")
    require_consent(f"replace {here.path} by {here.previous}", given=arguments.yes, style=style)
    programupdate.roll_back(here)
    part = Part("program", "aibox", here.path, f"{named(here)} is kept as {here.previous}", CURRENT)
    return shown([part], [], {"program": "rolled back"})


def named(here: Running) -> str:
    """The running file, for people."""
    return f"{here.version} ({here.sha256[:12]})"
