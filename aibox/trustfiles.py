"""The files of a signature policy: what `image trust` would write, what it writes, and the way back."""

import os
from typing import TYPE_CHECKING, NamedTuple

from aibox import imagetrust, jsonview, runner, state, trustpolicy
from aibox.errors import AiboxError
from aibox.imageref import parse_image

if TYPE_CHECKING:
    from aibox.context import Context
    from aibox.jsonview import Json

SYSTEM_PLACES = "/etc/containers/registries.d"
GPG_SECONDS = 30.0
MODE = 0o644


class Change(NamedTuple):
    """A file before and after; None: it is not there."""

    path: str
    before: bytes | None
    after: bytes | None

    @property
    def diff(self) -> list[str]:
        """The change as diff(1) shows it."""
        import difflib

        old, new = ((content or b"").decode("utf-8", "replace").splitlines() for content in (self.before, self.after))
        names = [self.path if content is not None else "/dev/null" for content in (self.before, self.after)]
        return list(difflib.unified_diff(old, new, names[0], names[1], lineterm=""))


class Trust(NamedTuple):
    """What is to be trusted: a scope of names, and the requirement for it; `title` says whose key it is."""

    scope: str
    requirement: "dict[str, Json]"
    title: str


def record_path(context: "Context") -> str:
    """Where aibox keeps what it wrote, and what stood there before."""
    return f"{context.paths.data}/trust.json"


def scope_for(reference: str, wanted: str) -> str:
    """The scope to write for: the image's repository, or a wider one that was named. Raises trust-failed."""
    own = trustpolicy.repository(reference)
    if not own or parse_image(reference).registry == "localhost":
        raise AiboxError(
            "trust-failed",
            f"{reference} names no registry",
            why="a signature policy is written for one registry, or a part of it, and never for all images",
            fix="name one: aibox image trust --key FILE --image harbor.internal/aibox/base:24.04",
        )
    names = [one for one in trustpolicy.scopes(reference) if one and not one.startswith("*")][1:]
    if wanted and wanted not in names:
        raise AiboxError(
            "trust-failed",
            f"the scope {wanted} does not cover {reference}",
            why=f"it can be one of: {', '.join(names)}",
            fix=f"aibox image trust --key FILE --scope {names[-1]}",
        )
    return wanted or own


def trust_of(context: "Context", path: str, scope: str) -> Trust:
    """The requirement that a key's file makes. Raises trust-failed."""
    key = state.read_bytes(path)
    if not key:
        raise AiboxError(
            "trust-failed", f"the key {path} cannot be read", fix="name a file with a public key: --key FILE"
        )
    requirement = trustpolicy.requirement(key)
    if requirement["type"] == "sigstoreSigned":
        return Trust(scope, requirement, f"sigstore key, sha256 {state.sha256(key)[:16]}")
    gpg = runner.find_program("gpg")
    if gpg is None:
        return Trust(scope, requirement, f"GPG key, sha256 of its file {state.sha256(key)[:16]}")
    argv = [gpg, "--batch", "--show-keys", "--with-colons"]
    result = runner.checked(
        runner.run(argv, timeout=GPG_SECONDS, env=context.env, stdin=key, cwd="/"),
        "trust-failed",
        fix="gpg --export --armor KEY > key.asc",
    )
    rows = [line.split(":") for line in result.text().splitlines()]
    names = [row[9] for at, row in enumerate(rows) if row[0] == "fpr" and rows[at - 1][0] == "pub" and len(row) > 9]
    if not names:
        raise AiboxError("trust-failed", f"gpg finds no public key in {path}", fix="gpg --export --armor KEY > key.asc")
    return Trust(scope, requirement, f"GPG key {', '.join(names)}")


def policy_file(context: "Context") -> tuple[str, bytes | None, bytes]:
    """The file to change, what is in it, and what to start from: a user's own file replaces the system's whole."""
    path = imagetrust.SYSTEM_POLICY if context.caller.uid == 0 else imagetrust.user_policy(context)
    content = state.read_bytes(path)
    start = content if content is not None else state.read_bytes(imagetrust.SYSTEM_POLICY)
    if start is None:
        raise AiboxError(
            "trust-failed",
            f"there is no {imagetrust.SYSTEM_POLICY} to add to",
            why="a new file would need a default for all images, which is not aibox's to choose",
            fix="install the package that brings it (containers-common)",
        )
    trustpolicy.parse(start, path)
    return path, content, start


def places(context: "Context") -> str:
    """The folder that says where signatures are: a user's own, if it is there, replaces the system's."""
    if context.caller.uid == 0:
        return SYSTEM_PLACES
    return f"{context.environ.get('HOME', '/nonexistent')}/.config/containers/registries.d"


def adding(context: "Context", trust: Trust, url: str) -> list[Change]:
    """What trusting changes. Raises trust-failed."""
    path, before, start = policy_file(context)
    changes = [Change(path, before, trustpolicy.with_entry(start, trust.scope, [trust.requirement]))]
    place = trustpolicy.lookaside(trust.scope, str(trust.requirement["type"]), url)
    if place:
        changes += _adding_place(context, trust.scope, place)
    return [one for one in changes if one.before != one.after]


def _adding_place(context: "Context", scope: str, content: bytes) -> list[Change]:
    folder = places(context)
    own = f"{folder}/{file_name(scope)}"
    changes = []
    source = folder
    if not os.path.isdir(folder) and folder != SYSTEM_PLACES:
        # the user's folder hides the system's, whose entries go on counting this way
        source = SYSTEM_PLACES
        changes = [Change(f"{folder}/{name}", None, state.read_bytes(f"{source}/{name}")) for name in _files(source)]
    for name in _files(source):
        lines = (state.read_bytes(f"{source}/{name}") or b"").decode("utf-8", "replace").splitlines()
        if name != file_name(scope) and any(line.strip().strip("\"'").rstrip("\"':") == scope for line in lines):
            raise AiboxError(
                "trust-failed",
                f"{source}/{name} already says where signatures of {scope} are",
                why="the engine takes each name from one file only",
                fix="change that file, and leave --lookaside out",
            )
    return [*changes, Change(own, state.read_bytes(own), content)]


def _files(folder: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith(".yaml"))
    except OSError:
        return []


def file_name(scope: str) -> str:
    """The name of aibox's own file in registries.d for a scope."""
    return f"aibox-{''.join(one if one.isalnum() else '-' for one in scope)}.yaml"


def removing(context: "Context", scope: str) -> list[Change]:
    """What taking the trust back changes: each file as it was. Raises trust-failed."""
    kept = jsonview.fields(state.read_record(record_path(context)), scope)
    if not kept:
        raise AiboxError(
            "trust-failed",
            f"aibox wrote no signature policy for {scope}",
            why="it takes back only what it wrote itself",
            fix=f"see {imagetrust.policy_path(context)}",
        )
    path, now, start = policy_file(context)
    earlier = kept.get("earlier")
    after: bytes | None = (
        trustpolicy.with_entry(start, scope, earlier) if earlier else trustpolicy.without_entry(start, scope)
    )
    if kept.get("made") and after == state.read_bytes(imagetrust.SYSTEM_POLICY):
        after = None
    changes = [Change(path, now, after)]
    folder = places(context)
    own = f"{folder}/{file_name(scope)}"
    changes.append(Change(own, state.read_bytes(own), None))
    for name in jsonview.texts(kept, "copies"):
        copy = state.read_bytes(f"{folder}/{name}")
        left = set(_files(folder)) - {file_name(scope), *jsonview.texts(kept, "copies")}
        if copy == state.read_bytes(f"{SYSTEM_PLACES}/{name}") and not left:
            changes.append(Change(f"{folder}/{name}", copy, None))
    return [one for one in changes if one.before != one.after]


def apply(changes: list[Change]) -> None:
    """Write the files, the signature policy last: then all that it needs is there."""
    for change in reversed(changes):
        if change.after is None:
            state.remove_file(change.path)
        else:
            state.write_atomically(change.path, change.after, MODE)
    for folder in {os.path.dirname(change.path) for change in changes if change.after is None}:
        if folder.endswith("/registries.d") and folder != SYSTEM_PLACES and not os.listdir(folder):
            os.rmdir(folder)


def remember(context: "Context", scope: str, changes: list[Change]) -> None:
    """Keep what stood there before, for the way back; written before the change itself."""
    record = state.read_record(record_path(context))
    if scope in record:
        return  # the first state is the one to go back to
    policy = next((one for one in changes if one.path.endswith("policy.json")), None)
    path, _, start = policy_file(context)
    earlier = jsonview.dig(trustpolicy.parse(start, path), "transports", "docker", scope)
    copies: list[Json] = [
        os.path.basename(one.path)
        for one in changes
        if one is not policy and one.before is None and os.path.basename(one.path) != file_name(scope)
    ]
    record[scope] = {"earlier": earlier, "made": bool(policy and policy.before is None), "copies": copies}
    state.write_record(record_path(context), record)


def forget(context: "Context", scope: str) -> None:
    """The way back was gone."""
    record = state.read_record(record_path(context))
    record.pop(scope, None)
    state.write_record(record_path(context), record)
