"""`aibox image`."""

from typing import TYPE_CHECKING

from aibox import facts, imagetrust, jsonview, state, trustfiles, ui
from aibox.cli import Arguments
from aibox.consent import require_consent
from aibox.context import IMAGES, Context, image_reference, kept_image
from aibox.engines.images import digest_of
from aibox.errors import AiboxError
from aibox.imagevariants import local_names
from aibox.jsonview import text
from aibox.trustfiles import Change
from aibox.ui import Outcome, Style

if TYPE_CHECKING:
    from aibox.enginecalls import EngineCalls
    from aibox.jsonview import Json


def run(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """List, show or build images, or demand signatures."""
    part, *names = arguments.words or ["list"]
    if part == "list" and not names:
        return listed(gathered)
    if part == "inspect" and len(names) < 2 and arguments.sbom:
        return bill(gathered, "".join(names))
    if part == "inspect" and len(names) < 2:
        return inspect(gathered, "".join(names))
    if part == "build" and not names:
        return build(gathered, arguments, style)
    if part == "trust" and not names and bool(arguments.key) != arguments.remove:
        return trust(gathered, arguments, style)
    raise AiboxError(
        "usage",
        f"aibox image does not know {' '.join(arguments.words) or 'what to do'}",
        fix="aibox image list, inspect [REFERENCE] [--sbom], build, trust --key FILE, or trust --remove",
    )


def _described(kept: "dict[str, Json]", record: "Json", boxes: dict[str, list[str]]) -> "dict[str, Json]":
    """An image for `--json`; `kept` is setup's record."""
    identifier = text(record, "Id").removeprefix("sha256:")
    mine = kept_image(kept, identifier)
    references = jsonview.texts(record, "RepoTags")
    checked = text(mine, "signature") == "checked"
    here = bool(references) and all(imagetrust.only_here(one) for one in references)
    digest = text(mine, "digest") or next(
        (digest_of(record, one) for one in references if not imagetrust.only_here(one)), ""
    )
    return {
        "references": [*references],
        "id": identifier,
        "digest": digest,
        "size": jsonview.number(record, "Size"),
        "in_use": text(kept, "image", "id") == identifier,
        "boxes": [*boxes.get(identifier, [])],
        "signature": "checked" if checked else "built here" if here else "not checked",
    }


def _boxes(calls: "EngineCalls") -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for box in calls.boxes():
        found.setdefault(box.image.removeprefix("sha256:"), []).append(box.name)
    return found


def listed(gathered: Context) -> Outcome:
    """The images of boxes: those in use, the ones before, the configured one, the local one."""
    calls = gathered.calls()
    kept, boxes = state.read_record(gathered.paths.setup_record), _boxes(calls)
    names = [*(text(kept, one, "id") for one in IMAGES), gathered.config.image, *local_names(), *boxes]
    found = [record for record in (calls.image_record(name) for name in dict.fromkeys(names) if name) if record]
    unique = {text(record, "Id"): record for record in found}
    images = [_described(kept, record, boxes) for record in unique.values()]
    rows = [("IMAGE", "ID", "DIGEST", "SIZE", "SIGNATURE", "USE")]
    rows += [
        (
            ", ".join(jsonview.texts(one, "references")) or "(no name)",
            text(one, "id")[:12],
            text(one, "digest")[:19] or "-",
            ui.size(jsonview.number(one, "size")),
            text(one, "signature"),
            ", ".join([*(["new boxes"] if one["in_use"] else []), *jsonview.texts(one, "boxes")]) or "-",
        )
        for one in images
    ]
    return Outcome({"images": [*images]}, ui.fitted(rows, ui.columns(), (5, 0, 2)))


def inspect(gathered: Context, name: str) -> Outcome:
    """One image, and what the signature policy demands for its name."""
    calls = gathered.calls()
    kept = state.read_record(gathered.paths.setup_record)
    reference = name or image_reference(gathered, text(kept, "image", "reference"))
    record = calls.image_record(reference)
    if record is None:
        raise AiboxError("image-missing", f"the image {reference} is not on this host", fix="aibox image list")
    data = _described(kept, record, _boxes(calls))
    asked = imagetrust.demand(gathered, jsonview.texts(record, "RepoTags")[0] if _is_id(reference, data) else reference)
    mine = kept_image(kept, text(data, "id"))
    data.update(
        created=text(record, "Created"),
        architecture=text(record, "Architecture"),
        layers=len(jsonview.items(record, "RootFS", "Layers")),
        signed_by=text(mine, "signed_by"),
        policy={"path": asked.path, "scope": asked.scope, "demands": [*asked.types]},
    )
    says = f"{', '.join(asked.types)} for {asked.scope} ({asked.path})" if asked.path else "no signature policy is read"
    rows = [
        ("image", ", ".join(jsonview.texts(data, "references"))),
        ("id", text(data, "id")),
        ("digest", text(data, "digest") or "none: it is of this host alone"),
        ("made", f"{text(data, 'created')}, {text(data, 'architecture')}, {jsonview.number(data, 'layers')} layers"),
        ("size", ui.size(jsonview.number(data, "size"))),
        ("signature", ": ".join(one for one in (str(data["signature"]), text(mine, "signed_by")) if one)),
        ("policy", says),
        ("boxes", ", ".join(jsonview.texts(data, "boxes")) or "none"),
    ]
    return Outcome(data, ui.pairs(rows, ui.columns()))


def _is_id(reference: str, data: "dict[str, Json]") -> bool:
    return str(data["id"]).startswith(reference) and bool(data["references"])


def bill(gathered: Context, name: str) -> Outcome:
    """The SBOM of an image, as one JSON document."""
    import json

    from aibox import imagefiles

    kept = state.read_record(gathered.paths.setup_record)
    reference = name or image_reference(gathered, text(kept, "image", "reference"))
    document = imagefiles.document(gathered.calls(), reference)
    return Outcome({"image": reference, "sbom": document}, json.dumps(document, indent=1).split("\n"))


def build(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """Make the local image of the variant anew from its recipe; the one before keeps a tag."""
    from aibox import imagefiles, setupimage, updates
    from aibox.commands.setup import LOCK_SECONDS
    from aibox.imagemaking import Making, local_name
    from aibox.setupsteps import Setup

    setup = Setup(gathered, facts.host(), "", lambda told: ui.detail(told, style))
    calls, name = gathered.calls(), local_name(setup)
    commands = Making(setup, calls, anew=False, locked=arguments.locked).described()
    if arguments.dry_run:
        return Outcome({"commands": [*commands]}, commands)
    for command in commands:
        ui.detail(f"will: {command}", style)
    require_consent(f"build {name}", given=arguments.yes, style=style)
    with state.locked(f"{gathered.paths.data}/setup.lock", timeout=LOCK_SECONDS):
        setup.record = state.read_record(gathered.paths.setup_record)
        replaced = updates.rebuild(setup, calls, lambda given: setupimage.build(given, locked=arguments.locked))
    made = calls.image(name)
    identifier = made.identifier if made else ""
    used = text(setup.record, "image", "reference") == name
    after = "aibox setup proves it with a throw-away box" if used else f"to use it: aibox setup --image {name}"
    path = imagefiles.sbom_path(gathered.paths, identifier)
    data: dict[str, Json] = {"image": name, "id": identifier, "replaced": replaced, "sbom": path}
    return Outcome(data, [f"{name} ({identifier[:12]}) is built; {after}"])


def trust(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """Demand signatures by a key for one registry or a part of it; or take that back."""
    if gathered.engine_kind == "docker":
        raise AiboxError(
            "trust-failed",
            "Docker checks no signatures",
            why="it reads no policy.json",
            fix="aibox setup --engine podman",
        )
    if gathered.policy.require_signature and gathered.caller.uid != 0:
        raise AiboxError(
            "policy-refused",
            "where the host's policy demands signatures, only the administrator's keys count",
            why="/etc/aibox/policy.yaml: require_signature",
            fix="sudo aibox image trust --key FILE",
        )
    kept = state.read_record(gathered.paths.setup_record)
    scope = trustfiles.scope_for(image_reference(gathered, text(kept, "image", "reference")), arguments.scope)
    wanted = None if arguments.remove else trustfiles.trust_of(gathered, arguments.key, scope)
    changes = (
        trustfiles.adding(gathered, wanted, arguments.lookaside) if wanted else trustfiles.removing(gathered, scope)
    )
    data: dict[str, Json] = {
        "scope": scope,
        "policy": trustfiles.policy_file(gathered)[0],
        "key": wanted.title if wanted else "",
        "changed": bool(changes) and not arguments.dry_run,
        "files": [{"path": one.path, "action": _action(one), "diff": [*one.diff]} for one in changes],
    }
    shown = [line for one in changes for line in one.diff]
    if arguments.dry_run:
        return Outcome(data, shown)
    for line in shown:
        ui.step(line, style)
    if changes:
        meaning = f"demand a signature by the {wanted.title} for {scope}" if wanted else f"demand none for {scope}"
        require_consent(f"change {', '.join(one.path for one in changes)}: {meaning}", given=arguments.yes, style=style)
        if wanted:
            trustfiles.remember(gathered, scope, changes)
        trustfiles.apply(changes)
    if wanted is None:
        trustfiles.forget(gathered, scope)
        return Outcome(data, [f"{scope}: what aibox demanded is taken back"])
    return Outcome(data, [f"{scope}: images have to be signed by the {wanted.title}; next: aibox setup"])


def _action(change: Change) -> str:
    if change.before is None:
        return "added"
    return "removed" if change.after is None else "changed"
