"""Setup's image step: the configured image from this host or its registry, else a local one made from a recipe."""

from typing import TYPE_CHECKING

from aibox import baseimage, imagetrust, jsonview, runner
from aibox.context import Context, image_reference
from aibox.enginecalls import EngineCalls
from aibox.errors import AiboxError
from aibox.imagemaking import BOOTSTRAP, Making, local_name, recipe_of
from aibox.jsonview import Json
from aibox.plan import Image

if TYPE_CHECKING:
    from collections.abc import Callable

    from aibox.setupbundle import Bundle
    from aibox.setupsteps import Setup


PULL_SECONDS = 600.0
LOAD_SECONDS = 1800.0
FROM_PACKAGES = " from the distribution's packages; it takes one to three minutes"


def local_image(context: Context, calls: EngineCalls, record: dict[str, Json]) -> Image:
    """The image that boxes use. Raises image-missing."""
    reference = image_reference(context, jsonview.text(record, "image", "reference"))
    image = calls.image(reference)
    if image is None:
        raise AiboxError("image-missing", f"the image {reference} is not on this host", fix="aibox setup")
    return image


def missing(setup: "Setup") -> str:
    """What is wrong with the image, or nothing."""
    try:
        image = local_image(setup.context, setup.calls(), setup.record)
    except AiboxError as error:
        if error.code not in ("image-missing", "engine-missing"):
            raise
        return error.what
    kept = jsonview.fields(setup.record, "image")
    if setup.bundle and (kept.get("reference"), image.identifier) != (
        setup.bundle.manifest.image,
        setup.bundle.manifest.image_id,
    ):
        return f"the bundle's image {setup.bundle.manifest.image} is not in use here"
    if setup.bundle and setup.bundle.signed_by and kept.get("signature") != "checked":
        return "the signature of the bundle is not recorded"
    same = kept.get("reference") == image.reference and kept.get("id") == image.identifier
    return "" if same else f"{image.reference} is there but not recorded"


def unready(setup: "Setup") -> str:
    """As `missing`, and besides whether a signature has to be checked first. Raises image-moved, trust-failed."""
    kept = jsonview.fields(setup.record, "image")
    problem = missing(setup)
    if problem and not setup.bundle and not setup.moving:
        _require_pinned(setup, kept)
    if problem or setup.bundle:
        return problem
    return imagetrust.unchecked(setup.context, kept, jsonview.text(kept, "reference"))


def _require_pinned(setup: "Setup", kept: "dict[str, Json]") -> None:
    try:
        image = local_image(setup.context, setup.calls(), setup.record)
    except AiboxError:
        return  # it is not here
    imagetrust.require_pinned(kept, image)


def commands(setup: "Setup") -> list[str]:
    """What `get` will try, in order."""
    reference = setup.context.config.image
    if setup.bundle:
        return [runner.printable(_load_command(setup.calls(), setup.bundle))]
    here = _already_here(setup)
    if here:
        return [f"use {here}, which is on this host"]
    tries = [] if setup.context.config.pull == "never" else [f"pull {reference}"]
    if not _is_default(setup) or setup.settled:
        return tries
    start = baseimage.origin(setup.host.distribution)
    tries.append(f"else build {local_name(setup)} from {start.base}")
    if start.suite:
        tries.append(f"else build it from {setup.host.distribution} {start.suite} packages (mmdebstrap)")
    return tries


def _already_here(setup: "Setup") -> str:
    if setup.context.config.pull == "always":
        return ""
    references = [setup.context.config.image, *([local_name(setup)] if _is_default(setup) else [])]
    kept = jsonview.fields(setup.record, "image")
    references = [one for one in references if not imagetrust.unchecked(setup.context, kept, one)]
    try:
        calls = setup.calls()
    except AiboxError:
        return ""  # the engine is still to be installed
    return next((reference for reference in references if calls.image(reference)), "")


def get(setup: "Setup", failures: list[str] | None = None) -> None:
    """Get an image: what is here, a pull, a container build, a bootstrap. Raises image-missing with every reason.

    `failures` takes the reasons also where a way that failed left an image which was there before.
    """
    calls, reference = setup.calls(), setup.context.config.image
    if setup.bundle:
        _load(setup, calls, setup.bundle)
        return
    here = _already_here(setup)
    if here and _take(setup, calls, here):
        return
    reasons = [] if failures is None else failures
    if setup.context.config.pull != "never":
        reasons += _attempt(setup, f"pull {reference}", lambda: _fetch(setup, calls, reference))
        if _take(setup, calls, reference):
            return
    if setup.settled and _take(setup, calls, jsonview.text(setup.record, "image", "reference")):
        return
    if _is_default(setup) and not setup.context.policy.require_signature:
        for way, act in Making(setup, calls, anew=setup.moving).ways():
            reasons += _attempt(setup, way, act)
            if _take(setup, calls, local_name(setup)):
                return
    raise AiboxError(
        "image-missing",
        f"no way led to the image {reference}",
        why="; ".join(reasons) or "pull is set to never",
        fix=_way_out(setup),
    )


def _way_out(setup: "Setup") -> str:
    """What an administrator can add for the bootstrap; where nothing lacks, another image."""
    lacking = not setup.root and _is_default(setup) and not runner.find_program("mmdebstrap")
    if lacking and baseimage.origin(setup.host.distribution).suite:
        return "have an administrator run: apt-get install mmdebstrap; then: aibox setup"
    return "aibox setup --image REFERENCE, with an image that is on this host or in a registry you reach"


def build(setup: "Setup", *, anew: bool = False, locked: bool = False) -> None:
    """Make the local image of the variant anew, whatever the registry has. Raises image-missing with the reasons."""
    reasons = list[str]()
    for way, act in Making(setup, setup.calls(), anew=anew, locked=locked).ways():
        failed = _attempt(setup, way, act)
        if not failed:
            return
        reasons += failed
    raise AiboxError("image-missing", "the image could not be built", why="; ".join(reasons), fix="aibox doctor")


def _load_command(calls: EngineCalls, bundle: "Bundle") -> list[str]:
    from aibox.engines.images import load

    return load(calls.engine, bundle.image)


def _load(setup: "Setup", calls: EngineCalls, bundle: "Bundle") -> None:
    """Take the image out of a checked bundle. Raises bundle-tampered if the engine makes another one of it."""
    wanted = bundle.manifest
    if not _is_default(setup) and setup.context.config.image != wanted.image:
        raise AiboxError(
            "image-missing",
            f"the bundle holds {wanted.image}, and {setup.context.config.image} is configured",
            why=f"the setting comes from {setup.context.config.origins['image']}",
            fix=f"aibox setup --bundle FILE --image {wanted.image}",
        )
    image = calls.image(wanted.image)
    if image is None or image.identifier != wanted.image_id:
        runner.checked(calls.run(_load_command(calls, bundle), LOAD_SECONDS), "engine-failed")
        image = calls.image(wanted.image)
    if image is None or image.identifier != wanted.image_id:
        _require_plain_store(calls)
        raise AiboxError(
            "bundle-tampered",
            f"the image of the bundle is not {wanted.image} with the id {wanted.image_id[:12]}",
            why=f"the engine made {image.identifier[:12] if image else 'no image of this name'} of it",
            fix="make the bundle again: aibox bundle create --output FILE",
        )
    signature: dict[str, Json] = {"signature": "checked", "signed_by": bundle.signed_by} if bundle.signed_by else {}
    setup.note(image={"reference": wanted.image, "id": image.identifier, **signature})


def _require_plain_store(calls: EngineCalls) -> None:
    """Refuse a Docker whose images lie in containerd, which gives them other ids. Raises engine-unsupported."""
    from aibox.engines.images import CONTAINERD_STORE

    if calls.engine.kind != "docker":
        return
    told = calls.run([*calls.engine.argv, "info", "--format", "{{json .DriverStatus}}"]).text()
    if CONTAINERD_STORE in told:
        raise AiboxError(
            "engine-unsupported",
            "a bundle cannot be checked in this Docker's image store",
            why="containerd keeps its images and names them by other digests than the bundle's manifest",
            fix='add "features": {"containerd-snapshotter": false} to /etc/docker/daemon.json, or use Podman',
        )


def _attempt(setup: "Setup", way: str, act: "Callable[[], None]") -> list[str]:
    """Do it; a failure is said in short, and returned whole as a reason."""
    setup.say(f"now: {way}{FROM_PACKAGES if way == BOOTSTRAP else ''}")
    try:
        act()
    except AiboxError as error:
        if error.code in (*imagetrust.REFUSALS, "lock-differs"):
            raise  # another way round a refusal would be none
        setup.say(f"that did not work: {error.what.rpartition(': ')[2]}")
        return [f"{way}: {error.what}"]
    if not way.startswith("pull "):
        setup.note(recipe=recipe_of(setup))
    return []


def _take(setup: "Setup", calls: EngineCalls, reference: str) -> bool:
    image = calls.image(reference)
    if image is None:
        return False
    kept = jsonview.fields(setup.record, "image")
    if (kept.get("reference"), kept.get("id")) == (reference, image.identifier):
        return True  # what is known of its signature stays known
    if not setup.moving:
        imagetrust.require_pinned(kept, image)
    _use(setup, {"reference": reference, "id": image.identifier})
    return True


def _use(setup: "Setup", image: "dict[str, Json]") -> None:
    """Record the image of new boxes, and in the same write the one that an update replaces by it."""
    replaced = setup.former and setup.former["id"] != image["id"]
    setup.note(image=image, **({"image_previous": setup.former} if replaced else {}))


def _is_default(setup: "Setup") -> bool:
    return setup.context.config.origins["image"].kind == "default"


def _fetch(setup: "Setup", calls: EngineCalls, reference: str) -> None:
    """Pull the configured image under the host's signature policy, and record what came of it."""
    # a registry that is out of reach must not hold up the first run for the engine's own retries
    limit = baseimage.PULL_SECONDS if _is_default(setup) else PULL_SECONDS
    kept = jsonview.fields(setup.record, "image")
    _use(setup, imagetrust.fetch(setup.context, calls, kept, reference, seconds=limit, moving=setup.moving))
