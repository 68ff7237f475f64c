"""Pulls under the host's signature policy: what it demands, whether it was met, and why a pull was refused.

An image counts as checked only if the policy in force for its name demands a signature and the pull under that very
file succeeded; the engine does not look at signatures again when it makes a box, so the image's id is remembered.
"""

import os
from typing import TYPE_CHECKING, NamedTuple

from aibox import jsonview, runner, state, trustpolicy
from aibox.errors import AiboxError
from aibox.imageref import parse_image
from aibox.trustpolicy import NOTHING, Demand

if TYPE_CHECKING:
    from aibox.config import Policy
    from aibox.context import Context
    from aibox.enginecalls import EngineCalls
    from aibox.jsonview import Json
    from aibox.plan import Image

SYSTEM_POLICY = "/etc/containers/policy.json"
REFUSALS = ("image-moved", "image-unsigned", "image-untrusted", "policy-refused", "sigstore-disabled", "trust-failed")
AGAIN = "aibox setup"


def user_policy(context: "Context") -> str:
    """Where a rootless Podman looks first, as it reads XDG_CONFIG_HOME."""
    return f"{os.path.dirname(context.paths.config)}/containers/policy.json"


def policy_path(context: "Context") -> str:
    """The signature policy that is in force: the user's own instead of the system's, for a rootless Podman alone.

    Where the administrator demands signatures, a key of the caller's choice proves nothing: the system's counts alone.
    """
    own = user_policy(context)
    of_user = context.caller.uid != 0 and not context.policy.require_signature and os.path.exists(own)
    return own if of_user else SYSTEM_POLICY


def demand(context: "Context", reference: str) -> Demand:
    """What the policy in force demands for an image. Raises trust-failed."""
    if context.engine_kind == "docker":
        return NOTHING  # Docker reads no such policy
    path = policy_path(context)
    content = state.read_bytes(path)
    if content is None:
        return NOTHING  # then Podman pulls nothing at all, and says so
    return trustpolicy.demand(trustpolicy.parse(content, path), path, reference)


def is_checked(policy: "Policy", kept: "dict[str, Json]", reference: str) -> bool:
    """Whether the record says that the image's signature was checked, by a key of the administrator's if he asks."""
    counts = not policy.require_signature or kept.get("policy", SYSTEM_POLICY) == SYSTEM_POLICY
    return counts and kept.get("reference") == reference and kept.get("signature") == "checked"


def only_here(reference: str) -> bool:
    """Whether it is the name of an image that was made on this host: no registry, no signature."""
    return parse_image(reference).registry == "localhost"


def unchecked(context: "Context", kept: "dict[str, Json]", reference: str) -> str:
    """Why the image may not be used before its signature is checked; empty if it may."""
    if is_checked(context.policy, kept, reference):
        return ""
    if context.policy.require_signature:
        return f"the host's policy demands a checked signature, and that of {reference} was not checked"
    if only_here(reference):
        return ""
    asked = demand(context, reference)
    if asked.signed or asked.rejected:
        return f"{asked.path} demands a signature for {asked.scope}, and that of {reference} was not checked"
    return ""


def require_checked(context: "Context", kept: "dict[str, Json]", image: "Image") -> None:
    """Refuse an image that is not the pinned one, or whose signature a policy demands and nobody checked.

    Raises image-moved, policy-refused or image-unchecked.
    """
    require_pinned(kept, image)
    problem = unchecked(context, kept, image.reference)
    if problem:
        raise AiboxError(
            "image-unchecked",
            problem,
            why="it came to this host before the signature policy, or around it",
            fix=AGAIN,
        )


def require_pinned(kept: "dict[str, Json]", image: "Image") -> None:
    """Refuse another image than the one that was pulled under this name. Raises image-moved."""
    pinned = kept.get("digest") or kept.get("signature") == "checked"
    if pinned and kept.get("reference") == image.reference and kept.get("id") != image.identifier:
        raise moved(kept, image)


def moved(kept: "dict[str, Json]", image: "Image") -> AiboxError:
    """The name stands for another image than the pinned one."""
    return AiboxError(
        "image-moved",
        f"{image.reference} is another image now: {image.identifier[:12]} instead of {str(kept.get('id'))[:12]}",
        why=f"the one in use is pinned by its digest {jsonview.text(kept, 'digest') or jsonview.text(kept, 'id')}",
        fix="aibox update, which shows the new one and asks",
    )


def require_possible(context: "Context", asked: Demand, reference: str) -> None:
    """Refuse before a pull whose result could not be used. Raises policy-refused."""
    if not context.policy.require_signature or asked.signed or asked.rejected:
        return
    if context.engine_kind == "docker":
        why, fix = "Docker checks no signatures", "use Podman: aibox setup --engine podman"
    elif only_here(reference):
        why, fix = "an image that was built on this host has no signature", "aibox setup --image REFERENCE"
    else:
        why = f"{asked.path or SYSTEM_POLICY} demands none for it (/etc/aibox/policy.yaml: require_signature)"
        fix = f"aibox image trust --key FILE --image {reference}"
    raise AiboxError(
        "policy-refused",
        f"the host's policy demands a checked signature, and that of {reference} would not be checked",
        why=why,
        fix=fix,
    )


class Pull(NamedTuple):
    """One pull: the record of the image before, the name, and what the policy in force demands for it."""

    context: "Context"
    calls: "EngineCalls"
    kept: "dict[str, Json]"
    reference: str
    asked: Demand


def fetch(
    context: "Context", calls: "EngineCalls", kept: "dict[str, Json]", reference: str, *, seconds: float, moving: bool
) -> "dict[str, Json]":
    """Pull the image under the policy in force; what setup's record says of it afterwards.

    Another image than the pinned one is refused unless `moving`, and does not stay under the name. Raises
    engine-failed, image-missing and what is in REFUSALS.
    """
    pull = Pull(context, calls, kept, reference, demand(context, reference))
    asked = pull.asked
    require_possible(context, asked, reference)
    before = calls.image(reference)
    under = ["--signature-policy", asked.path] if asked.signed else []
    result = calls.run([*calls.engine.argv, "pull", "--quiet", *under, reference], seconds)
    if result.code != 0:
        raise refusal(pull, result.complaint()) or failure(result)
    image = calls.image(reference)
    if image is None:
        raise AiboxError("image-missing", f"the engine pulled {reference} and does not have it", fix="aibox doctor")
    if not moving:
        try:
            require_pinned(kept, image)
        except AiboxError:
            _put_back(calls, before, image)
            raise
    digest = calls.digest(reference)
    pinned: dict[str, Json] = {"digest": digest} if digest else {}
    checked: dict[str, Json] = {}
    if asked.signed:
        checked = {"signature": "checked", "signed_by": told(asked), "policy": asked.path}
    return {"reference": reference, "id": image.identifier, **pinned, **checked}


def told(asked: Demand) -> str:
    """How a checked signature is recorded: by which policy, for which names."""
    return f"{', '.join(kind for kind in asked.types if kind in trustpolicy.SIGNED)} for {asked.scope} ({asked.path})"


def _put_back(calls: "EngineCalls", before: "Image | None", image: "Image") -> None:
    """The name stands for what it stood for before the pull."""
    if before:
        calls.run([*calls.engine.argv, "tag", before.identifier, image.reference])
        if before.identifier != image.identifier:
            calls.run([*calls.engine.argv, "rmi", image.identifier])
    else:
        calls.run([*calls.engine.argv, "rmi", image.reference])


def failure(result: runner.Result) -> AiboxError:
    """A pull that failed for another reason than a signature."""
    return AiboxError(
        "engine-failed",
        f"{os.path.basename(result.argv[0])} failed: {result.complaint()}",
        why=f"exit code {result.code} of: {runner.brief(result.argv)}",
    )


def refusal(pull: Pull, complaint: str) -> AiboxError | None:
    """Why the policy refused the pull; None if the pull failed for another reason."""
    asked, reference = pull.asked, pull.reference
    reason = trustpolicy.reason(asked, complaint)
    demanded = f"{asked.path} demands for {asked.scope}"
    told: dict[str, tuple[str, str, str, str]] = {
        "rejected": (
            "policy-refused",
            f"the signature policy rejects every image like {reference}",
            f"{asked.path}: reject for {asked.scope}",
            f"aibox image trust --key FILE --image {reference}",
        ),
        "sigstore off": (
            "sigstore-disabled",
            f"{pull.calls.engine.label} cannot check the sigstore signature that {demanded}",
            "this build of the engine has sigstore switched off, as Debian 12's; the signature may be right",
            "have it signed with GPG, too, and: aibox image trust --key KEY.asc; or use a newer engine",
        ),
        "unsigned": (
            "image-unsigned",
            f"{reference} has no signature, and {asked.path} demands one",
            _why_unsigned(pull) if reason == "unsigned" else "",
            "have its publisher sign it: skopeo copy --sign-by FINGERPRINT SOURCE DESTINATION",
        ),
        "other name": (
            "image-moved",
            f"{reference} stands for an image that was signed under another name: {trustpolicy.other_name(complaint)}",
            "a tag was moved to it in the registry",
            "have its publisher sign it under this name, or configure the name that it has",
        ),
        "other key": (
            "image-untrusted",
            f"{reference} is signed, but not by the key that {demanded}",
            complaint[: runner.BRIEF],
            "ask its publisher for the key; if it is to be trusted: aibox image trust --key FILE",
        ),
    }
    if reason not in told:
        return None
    code, what, why, fix = told[reason]
    return AiboxError(code, what, why=why, fix=fix)


def _why_unsigned(pull: Pull) -> str:
    """Whether it never had a signature, lost it, or is another image than the one that had it."""
    kept = pull.kept
    if kept.get("reference") != pull.reference or kept.get("signature") != "checked":
        return "no signature is stored for it, neither beside it nor where registries.d points"
    from aibox import facts, updates

    there = updates.remote_id(pull.reference, pull.context.env, facts.host().machine)[0]
    if not there:
        return "an image of this name was signed: its signature was removed, or the tag was moved"
    if there == kept.get("id"):
        return "this same image was signed when it was checked last: its signature was removed"
    return f"the tag was moved to another image ({there[:12]}); the one that was checked is {str(kept['id'])[:12]}"
