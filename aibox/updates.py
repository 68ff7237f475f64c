"""What `aibox update` looks at: the image, gVisor, aibox's own files around it; what is here, and what could be.

A new image never takes the old one's place for good: the old one keeps a tag of its own, and one command goes back.
"""

import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from aibox import (
    __version__,
    boxes,
    imagetrust,
    jsonview,
    runner,
    runscsources,
    runtimefiles,
    setupimage,
    setupruntime,
)
from aibox.context import image_reference
from aibox.enginecalls import CHANGE_SECONDS
from aibox.errors import AiboxError
from aibox.imagemaking import ARCHITECTURES, local_name, recipe_of
from aibox.imageref import parse_image
from aibox.imagevariants import LOCAL_IMAGE
from aibox.wslsteps import steps_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from aibox.enginecalls import EngineCalls
    from aibox.jsonview import Json
    from aibox.runscsources import Source
    from aibox.setupsteps import Setup, Step

CURRENT, OUTDATED, UNKNOWN, KEPT = "current", "outdated", "unknown", "kept"
REGISTRY_SECONDS = 30.0
FETCHED = ("package", "release", "newer-package")  # where aibox itself gets runsc from
OWN_FILES = ("seccomp", "apparmor", "daemon", "runtime", "registration")  # steps of setup that write what aibox ships


class Part(NamedTuple):
    """One thing that can be updated.

    `state` is current, outdated, unknown (only doing it tells) or kept (by choice).
    """

    id: str
    title: str
    installed: str
    available: str
    state: str
    commands: tuple[str, ...] = ()


class Aged(NamedTuple):
    """A box that is not what a new one would be."""

    name: str
    workspace: str
    running: bool
    why: str


def parts(setup: "Setup") -> list[Part]:
    """Everything that `update` knows; nothing is changed. Raises image-missing before the first setup."""
    if not jsonview.text(setup.record, "image", "id"):
        raise AiboxError("image-missing", "there is nothing to update", why="setup has not run", fix="aibox setup")
    return [image(setup), gvisor(setup), own_files(setup)]


def image(setup: "Setup") -> Part:
    """The image of new boxes, and what its registry has."""
    kept = jsonview.fields(setup.record, "image")
    reference, here = jsonview.text(kept, "reference"), jsonview.text(kept, "id")
    shown = f"{reference} ({here[:12]})"
    title, wanted = "image", setup.context.config.image
    if setup.context.config.pull == "never":
        return Part("image", title, shown, "not asked for: pull is set to never", KEPT)
    if parse_image(wanted).registry == "localhost":
        return Part("image", title, shown, f"{wanted} is an image of this host alone", KEPT)
    setup.settled = settled(setup)
    commands = tuple(setupimage.commands(setup))
    there, problem = remote_id(wanted, setup.context.env, setup.host.machine)
    if there:
        named = setup.calls().image(reference)  # a rollback that was interrupted leaves the name at the older one
        same = named is not None and named.identifier == here == there
        state = CURRENT if same and not imagetrust.unchecked(setup.context, kept, reference) else OUTDATED
        return Part("image", title, shown, f"{wanted} ({there[:12]})", state, commands)
    anew = ""
    if imagetrust.only_here(reference):
        anew = f"; {shown} was built here" if setup.settled else ", or one that is built here by this aibox's recipe"
    return Part("image", title, shown, f"what {wanted} is now ({problem}){anew}", UNKNOWN, commands)


def settled(setup: "Setup") -> bool:
    """Whether the image in use was built here by this aibox's recipe: then only `aibox image build` makes it anew."""
    kept = jsonview.fields(setup.record, "image")
    reference = jsonview.text(kept, "reference")
    if setup.context.config.origins["image"].kind != "default" or not imagetrust.only_here(reference):
        return False
    found = setup.calls().image(reference)
    same = found is not None and found.identifier == kept.get("id")
    return same and setup.record.get("recipe") == recipe_of(setup)


def remote_id(reference: str, env: dict[str, str], machine: str) -> tuple[str, str]:
    """The id of the image that a registry has under this reference, or why it is not known."""
    program = runner.find_program("skopeo")
    if program is None:
        return "", "only a pull tells: skopeo is not installed"
    try:
        document = _manifest(program, reference, env)
        listed = jsonview.items(document, "manifests")
        wanted = ARCHITECTURES.get(machine, machine)
        digests = [
            jsonview.text(row, "digest") for row in listed if jsonview.text(row, "platform", "architecture") == wanted
        ]
        if digests:
            named = parse_image(reference)
            document = _manifest(program, named._replace(digest=digests[0]).exact, env)
    except AiboxError as error:
        return "", error.what
    found = jsonview.text(document, "config", "digest").removeprefix("sha256:")
    return found, "" if found else f"the registry has no image for {machine}"


def _manifest(program: str, reference: str, env: dict[str, str]) -> "Json":
    argv = [program, "inspect", "--raw", f"docker://{reference}"]
    result = runner.checked(runner.run(argv, timeout=REGISTRY_SECONDS, env=env, cwd="/"))
    try:
        return jsonview.parse(result.text())
    except ValueError as error:
        raise AiboxError("command-failed", f"skopeo printed no JSON for {reference}") from error


def gvisor(setup: "Setup") -> Part:
    """runsc, and what the place has that aibox got it from."""
    kept = setup.kept("runtime")
    program, digest = jsonview.text(kept, "program"), jsonview.text(kept, "program_sha256")
    shown = f"{program} ({digest[:12]})"
    title = setup.kind
    if runtimefiles.program_digest(program) != digest:
        return Part("runsc", title, shown, "another program is there now; it has to prove itself", OUTDATED)
    sources = runsc_sources(setup)
    if not sources:
        return Part("runsc", title, shown, f"yours: aibox updates only what it fetched ({_origin(setup)})", KEPT)
    with tempfile.TemporaryDirectory(prefix="aibox-update-") as folder:
        source, found, reasons = newest(runsc_sources(setup, folder))
        if source is None:
            return Part("runsc", title, shown, "; ".join(reasons), UNKNOWN)
        sum_ = runtimefiles.program_digest(found)
    if sum_ == digest:
        return Part("runsc", title, shown, f"the same, from {source.title}", CURRENT)
    commands = (f"use the runsc of {source.title}, if it starts a box",)
    return Part("runsc", title, shown, f"another one ({sum_[:12]}), from {source.title}", OUTDATED, commands)


def _origin(setup: "Setup") -> str:
    return jsonview.text(setup.kept("runtime"), "source") or "unknown"


def runsc_sources(setup: "Setup", folder: str = "") -> "list[Source]":
    """Where a newer runsc may come from: the place that aibox fetched this one from; none for a program of the user's.

    What they fetch goes to `folder`, or to stay.
    """
    paths, config = setup.context.paths, setup.context.config
    program, origin = jsonview.text(setup.kept("runtime"), "program"), _origin(setup)
    fetched = program.startswith(f"{paths.data}/runsc/") and origin != "bundle"
    if setup.kind != "runsc" or config.runsc_path or not fetched:
        return []
    place = paths._replace(data=folder) if folder else paths
    where = runscsources.Where(setup.host, place, setup.context.env, "", "", setup.root)
    known = [source for source in runscsources.sources(where) if source.name in FETCHED]
    return [source for source in known if source.name == origin] or known


def newest(sources: "list[Source]") -> "tuple[Source | None, str, list[str]]":
    """The first source that has a runsc, with its path; or the reasons why none has."""
    reasons = []
    for source in sources:
        try:
            return source, source.find()[0], []
        except AiboxError as error:
            reasons.append(f"{source.title}: {error.what}")
    return None, "", reasons


def own_steps(setup: "Setup") -> "list[Step]":
    """The steps of setup that write what aibox ships, and the proof."""
    return [step for step in steps_for(setup) if step.id in (*OWN_FILES, "proof")]


def own_files(setup: "Setup") -> Part:
    """Profiles, wrapper and registration: what this aibox ships against what is installed."""
    missing, commands = [], []
    for step in own_steps(setup):
        problem = "" if step.id == "proof" else step.missing(setup)
        if problem and not (step.optional and step.needs_root and not setup.root):
            missing.append(problem)
            commands += step.commands(setup)
    shown = f"those of aibox {__version__}"
    if not missing:
        return Part("profiles", "profiles, wrapper", shown, shown, CURRENT)
    return Part("profiles", "profiles, wrapper", "; ".join(missing), shown, OUTDATED, tuple(commands))


# The image, there and back


def kept_tag(identifier: str) -> str:
    """The tag that keeps an image which a newer one replaced."""
    return f"{LOCAL_IMAGE.rpartition(':')[0]}:previous-{identifier[:12]}"


def _tag(calls: "EngineCalls", identifier: str, reference: str) -> None:
    calls.change([*calls.engine.argv, "tag", identifier, reference])


def _tidy(setup: "Setup", calls: "EngineCalls") -> None:
    """Take away each kept tag but that of the previous image, and with it an image that nothing else names or uses.

    What an interrupted update left goes as well. What fails here costs only space.
    """
    wanted = jsonview.text(setup.record, "image_previous", "id")
    pattern = kept_tag("*")
    with suppress(AiboxError):
        listed = calls.run([
            *calls.engine.argv, "images", "--filter", f"reference={pattern}", "--format", "{{.Repository}}:{{.Tag}}"
        ]).text()  # fmt: skip
        for name in listed.split():
            if name.startswith(pattern[:-1]) and not (wanted and name == kept_tag(wanted)):
                calls.run([*calls.engine.argv, "rmi", name], CHANGE_SECONDS)


def renew_image(setup: "Setup", calls: "EngineCalls") -> bool:
    """Get the image anew; the one before keeps a tag. False if nothing newer was there.

    `setup` has to have `pull: always`. Raises image-missing; then the old image is what it was.
    """
    before = jsonview.fields(setup.record, "image")
    old = jsonview.text(before, "id")
    if calls.image(old) is not None:
        _tag(calls, old, kept_tag(old))
        setup.former = before
    failures: list[str] = []
    setup.settled = settled(setup)
    try:
        setupimage.get(setup, failures)
        same = jsonview.text(setup.record, "image", "id") == old
        if same and failures and not setup.settled:
            raise AiboxError("image-missing", "no newer image was reached", why="; ".join(failures), fix="aibox doctor")
    finally:
        setup.former = {}
        _tidy(setup, calls)
    return not same


def rebuild(setup: "Setup", calls: "EngineCalls", build: "Callable[[Setup], None]") -> str:
    """Build a local image anew; the one before keeps a tag, and its id is returned. Raises image-missing."""
    name = local_name(setup)
    before, there = jsonview.fields(setup.record, "image"), calls.image(name)
    old = there.identifier if there else ""
    if old:
        _tag(calls, old, kept_tag(old))
    try:
        build(setup)
        made = calls.image(name)
        if made is None or made.identifier == old:
            return ""
        if before.get("reference") == name:
            setup.note(image={"reference": name, "id": made.identifier}, image_previous=before)
    finally:
        _tidy(setup, calls)
    return old


def is_unproven(setup: "Setup") -> bool:
    """Whether an update was interrupted before its new image proved itself."""
    proven, previous = setup.kept("proof").get("image"), jsonview.text(setup.record, "image_previous", "id")
    return proven == previous and proven != jsonview.text(setup.record, "image", "id")


def previous_image(setup: "Setup", calls: "EngineCalls") -> "dict[str, Json]":
    """What `--rollback` goes back to. Raises image-missing or image-unchecked."""
    previous = jsonview.fields(setup.record, "image_previous")
    reference, identifier = jsonview.text(previous, "reference"), jsonview.text(previous, "id")
    if not identifier or calls.image(identifier) is None:
        why = "the engine has it no more" if identifier else "update has not replaced an image yet"
        raise AiboxError("image-missing", "there is no previous image to go back to", why=why, fix="aibox update")
    wanted = image_reference(setup.context, reference)
    if wanted != reference:
        raise AiboxError(
            "image-missing",
            f"the previous image is {reference}, and {wanted} is configured",
            why=f"the setting comes from {setup.context.config.origins['image']}",
            fix=f"aibox update --rollback --image {reference}",
        )
    problem = imagetrust.unchecked(setup.context, previous, reference)
    if problem:
        raise AiboxError(
            "image-unchecked", problem, why="it was pulled before the policy was there", fix="aibox update"
        )
    return previous


def roll_back(setup: "Setup", calls: "EngineCalls") -> None:
    """Use the previous image again; the present one becomes the previous. Raises what `previous_image` raises."""
    previous, present = previous_image(setup, calls), jsonview.fields(setup.record, "image")
    old, new = jsonview.text(previous, "id"), jsonview.text(present, "id")
    if calls.image(new) is not None:
        _tag(calls, new, kept_tag(new))
    _tag(calls, old, jsonview.text(previous, "reference"))
    setup.note(image=previous, image_previous=present)
    _tidy(setup, calls)


def renew_gvisor(setup: "Setup") -> bool:
    """Fetch runsc anew and use it if it starts a box; the old one stays until then. False if it is the same.

    Raises runtime-missing or platform-failed.
    """
    source, program, reasons = newest(runsc_sources(setup))
    if source is None:
        raise AiboxError("runtime-missing", "no newer runsc was found", why="; ".join(reasons), fix="aibox doctor")
    if runtimefiles.program_digest(program) == jsonview.text(setup.kept("runtime"), "program_sha256"):
        return False
    setupruntime.adopt(setup, source, program)
    return True


# Boxes


def aged(setup: "Setup", calls: "EngineCalls") -> list[Aged]:
    """Boxes whose image, runtime or seccomp profile is not what a new box gets."""
    image_id = jsonview.text(setup.record, "image", "id")
    found = []
    for box in calls.boxes():
        why = ["image"] if box.image.removeprefix("sha256:") != image_id else []
        plan = boxes.recorded_plan(setup.context.paths, box.name, box.plan)
        if plan:
            kind = plan.runtime.kind
            runtime = jsonview.text(setup.record, runtimefiles.slot("runtime", kind), "digest")
            seccomp = jsonview.text(setup.record, runtimefiles.slot("seccomp", kind), "sha256")
            why += ["runtime"] if plan.runtime.digest != runtime else []
            why += ["seccomp profile"] if plan.seccomp_digest != seccomp else []
        if why:
            found.append(Aged(box.name, box.workspace, box.running, f"older {', '.join(why)}"))
    return found
