"""containers-policy.json(5): what a signature policy demands for an image, and one entry of it changed. Pure.

Sources: containers-policy.json(5), containers-registries.d(5), and github.com/containers/image, whose lookup of scopes
this repeats: the image with its tag or digest, its repository, each part of its path, its host, then `*.domain`.
"""

import base64
import json
from typing import NamedTuple

from aibox import jsonview
from aibox.errors import AiboxError
from aibox.imageref import parse_image
from aibox.jsonview import Json

INDENT = "    "
SIGNED = ("signedBy", "sigstoreSigned")
NO_SIGNATURE = "no signature exists"
OTHER_NAME = "Signature for identity "
REJECTED = "is rejected by policy"
# how the engine says that a signature is there and not by the key
OTHER_KEY = (
    "Invalid GPG signature", "is not accepted", "cryptographic signature verification failed",
    "None of the signatures were accepted", "signature verification failed", "invalid signature",
)  # fmt: skip
SIGSTORE_OFF = "sigstore disabled"  # Debian 12's builds: "Debian-local change: sigstore disabled"


class Demand(NamedTuple):
    """What the policy in force says of one image: the scope that matched, and the types of its requirements."""

    path: str
    scope: str
    types: tuple[str, ...]

    @property
    def signed(self) -> bool:
        """Whether a pull succeeds only with a signature that was checked: all requirements have to hold."""
        return any(kind in SIGNED for kind in self.types) and not self.rejected

    @property
    def rejected(self) -> bool:
        """Whether nothing of this name may be pulled."""
        return "reject" in self.types


NOTHING = Demand("", "", ())


def parse(content: bytes, path: str) -> dict[str, Json]:
    """The policy's object. Raises trust-failed for what the engine would not read either."""
    try:
        found: Json = json.loads(content.decode("utf-8"), object_pairs_hook=jsonview.once)
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, str(error)) from error
    if not isinstance(found, dict) or not isinstance(found.get("default"), list):
        raise _unreadable(path, "it has to be an object with a list `default`")
    transports = found.get("transports", {})
    if not isinstance(transports, dict) or not isinstance(transports.get("docker", {}), dict):
        raise _unreadable(path, "its `transports` are not objects")
    return found


def _unreadable(path: str, why: str) -> AiboxError:
    return AiboxError(
        "trust-failed",
        f"{path} is not a signature policy that aibox can read",
        why=why,
        fix="correct the file (containers-policy.json(5))",
    )


def repository(reference: str) -> str:
    """Registry and path as the engine's policy names them; empty for a short name, whose registry is not known."""
    named = parse_image(reference)
    if not named.registry:
        return ""
    host = "docker.io" if named.registry == "index.docker.io" else named.registry
    library = "library/" if host == "docker.io" and "/" not in named.repository else ""
    return f"{host}/{library}{named.repository}"


def scopes(reference: str) -> list[str]:
    """The names under which a policy may speak of the image, the narrowest first; the last is every image."""
    name = repository(reference)
    if not name:
        return [""]
    named = parse_image(reference)
    found = [f"{name}@{named.digest}" if named.digest else f"{name}:{named.tag or 'latest'}"]
    while True:
        found.append(name)
        head, slash, _ = name.rpartition("/")
        if not slash:
            break
        name = head
    host = name.partition(":")[0]
    while "." in host:
        host = host.partition(".")[2]
        found.append(f"*.{host}")
    return [*found, ""]


def demand(policy: dict[str, Json], path: str, reference: str) -> Demand:
    """What a policy demands for the image."""
    by_scope = jsonview.fields(policy, "transports", "docker")
    if repository(reference):
        for scope in scopes(reference):
            if scope in by_scope:
                return Demand(path, scope or "docker", _types(by_scope[scope]))
    return Demand(path, "default", _types(policy.get("default")))


def _types(requirements: Json) -> tuple[str, ...]:
    return tuple(jsonview.text(one, "type") for one in requirements) if isinstance(requirements, list) else ()


def reason(asked: Demand, complaint: str) -> str:
    """What the engine's words about a failed pull say of the signature; empty if they are about something else."""
    if asked.rejected and REJECTED in complaint:
        return "rejected"
    if not asked.signed or "rejected" not in complaint:
        return ""
    if SIGSTORE_OFF in complaint:
        return "sigstore off"
    if NO_SIGNATURE in complaint:
        return "unsigned"
    if OTHER_NAME in complaint:
        return "other name"
    return "other key" if any(words in complaint for words in OTHER_KEY) else ""


def other_name(complaint: str) -> str:
    """The name under which an image was signed that stands under another one now."""
    return complaint.partition(OTHER_NAME)[2].partition(" ")[0]


def requirement(key: bytes) -> dict[str, Json]:
    """The requirement that an image is signed by the key. Raises trust-failed for what is no public key."""
    data = base64.b64encode(key).decode()
    if b"PRIVATE KEY" in key:
        raise AiboxError("trust-failed", "this is a private key", why="a policy holds public keys", fix="gpg --export")
    if key.lstrip().startswith(b"-----BEGIN PUBLIC KEY-----"):
        return {"type": "sigstoreSigned", "keyData": data, "signedIdentity": {"type": "matchRepoDigestOrExact"}}
    # an OpenPGP packet's first byte: a public key, in the old or the new form (RFC 9580, section 4.2)
    if key.lstrip().startswith(b"-----BEGIN PGP PUBLIC KEY BLOCK-----") or key[:1] in (b"\x98", b"\x99", b"\xc6"):
        return {"type": "signedBy", "keyType": "GPGKeys", "keyData": data}
    raise AiboxError(
        "trust-failed",
        "the file holds no public key that image signatures are checked with",
        why="it is neither an OpenPGP key nor a public key in PEM",
        fix="gpg --export --armor KEY > key.asc; for sigstore: the file cosign.pub",
    )


# One entry changed in the text, every other byte as it was


class _Member(NamedTuple):
    """A name of a JSON object, with where it and its value stand in the text."""

    name: str
    start: int
    value: int
    end: int


def _blank(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _members(text: str, start: int) -> tuple[list[_Member], int]:
    """The members of the object whose brace is at `start`, and where its closing brace is."""
    decoder, found, at = json.JSONDecoder(), list[_Member](), _blank(text, start + 1)
    while text[at] != "}":
        name, end = decoder.raw_decode(text, at)
        value = _blank(text, _blank(text, end) + 1)
        last = decoder.raw_decode(text, value)[1]
        found.append(_Member(name, at, value, last))
        at = _blank(text, last)
        if text[at] == ",":
            at = _blank(text, at + 1)
    return found, at


def with_entry(content: bytes, scope: str, requirements: Json) -> bytes:
    """The policy with these requirements for a scope of registries."""
    return _set(content.decode("utf-8"), ["transports", "docker", scope], requirements).encode()


def _set(text: str, names: list[str], value: Json) -> str:
    at, depth = _blank(text, 0), 1
    while True:
        members, closing = _members(text, at)
        here = next((one for one in members if one.name == names[0]), None)
        if here is None:
            break
        if len(names) == 1:
            return text[: here.value] + _shown(text, value, depth) + text[here.end :]
        at, names, depth = here.value, names[1:], depth + 1
    for name in reversed(names[1:]):
        value = {name: value}
    entry = f"{json.dumps(names[0])}: {_shown(text, value, depth)}"
    step, lines = jsonview.indent(text, INDENT), "\n" in text.strip()
    lead = f"\n{step * depth}" if lines else " "
    if members:
        return f"{text[: members[-1].end]},{lead}{entry}{text[members[-1].end :]}"
    tail = f"\n{step * (depth - 1)}" if lines else ""
    return f"{text[: at + 1]}{lead if lines else ''}{entry}{tail}{text[closing:]}"


def _shown(text: str, value: Json, depth: int) -> str:
    if "\n" not in text.strip():
        return json.dumps(value)
    step = jsonview.indent(text, INDENT)
    return json.dumps(value, indent=step).replace("\n", f"\n{step * depth}")


def without_entry(content: bytes, scope: str) -> bytes:
    """The policy without the entry for a scope; an object that it leaves empty goes, too."""
    text, names = content.decode("utf-8"), ["transports", "docker", scope]
    for length in (3, 2, 1):
        at = _blank(text, 0)
        for name in names[: length - 1]:
            at = next((one.value for one in _members(text, at)[0] if one.name == name), -1)
            if at < 0:
                return text.encode()
        members, _ = _members(text, at)
        place = next((at for at, one in enumerate(members) if one.name == names[length - 1]), -1)
        if place < 0 or (length < 3 and _members(text, members[place].value)[0]):
            return text.encode()
        mine = members[place]
        if place:
            text = text[: members[place - 1].end] + text[mine.end :]
        elif len(members) > 1:
            text = text[: mine.start] + text[members[1].start :]
        else:
            text = text[: at + 1] + text[_members(text, at)[1] :]
    return text.encode()


def lookaside(scope: str, requirement_type: str, url: str) -> bytes:
    """A file of registries.d: where the signatures of a scope are; empty where the engine needs none."""
    if requirement_type == "sigstoreSigned":
        return f"# written by aibox image trust\ndocker:\n  {scope}:\n    use-sigstore-attachments: true\n".encode()
    if url:
        return f"# written by aibox image trust\ndocker:\n  {scope}:\n    lookaside: {json.dumps(url)}\n".encode()
    return b""
