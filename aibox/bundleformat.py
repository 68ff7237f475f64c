"""The bundle: one plain tar archive whose every byte is settled by its first member, the manifest.

Members in order: `manifest.json`; `SHA256SUMS`, for `sha256sum --check`; `manifest.json.sig`, if it was signed; then
the files that the manifest lists. Headers are those of tar(5) with nothing to choose (root's, time 0), so a reader
knows them in advance and compares them byte by byte.
"""

import json
import re
import tarfile
from typing import NamedTuple, NoReturn

from aibox import jsonview, state
from aibox.errors import AiboxError
from aibox.jsonview import Json

KIND = "aibox-bundle"
VERSION = 1
MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
SIGNATURE = "manifest.json.sig"
PROGRAM = "aibox"
RUNSC = "runsc/runsc"
IMAGE = "image.tar"
SBOM = "image.spdx.json"
NEEDED = (PROGRAM, RUNSC, IMAGE)
BLOCK = 512
END = bytes(2 * BLOCK)
LARGEST_HEAD = 1 << 20
LARGEST_FILE = 1 << 40
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_SUM = re.compile(r"[0-9a-f]{64}")
_MODES = (0o644, 0o755)


class Member(NamedTuple):
    """One file of a bundle: its path there, its size in bytes, its SHA-256 in hex, its mode."""

    name: str
    size: int
    sha256: str
    mode: int


class Manifest(NamedTuple):
    """What a bundle holds: aibox's version, the processor, the image's reference and id, the files in their order."""

    aibox: str
    created: str
    machine: str
    image: str
    image_id: str
    members: tuple[Member, ...]

    def member(self, name: str) -> Member:
        """The file of this name, which has to be there."""
        return next(member for member in self.members if member.name == name)

    @property
    def runsc(self) -> tuple[Member, ...]:
        """runsc and what it needs beside it."""
        return tuple(member for member in self.members if member.name.startswith("runsc/"))


def encode(manifest: Manifest) -> bytes:
    """The manifest's file."""
    members: list[Json] = [dict(member._asdict()) for member in manifest.members]
    record = {**manifest._asdict(), "kind": KIND, "version": VERSION, "members": members}
    return (json.dumps(record, indent=1) + "\n").encode("ascii")


def decode(content: bytes) -> Manifest:
    """Read a manifest's file. Raises bundle-invalid."""
    try:
        record = jsonview.parse(content)
    except ValueError as error:
        raise invalid(f"its manifest is not JSON: {error}") from error
    if jsonview.text(record, "kind") != KIND or jsonview.number(record, "version") != VERSION:
        raise invalid("it was made by another version of aibox, or is no bundle at all")
    members = tuple(_member(row) for row in jsonview.items(record, "members"))
    names = [member.name for member in members]
    if len(set(names)) != len(names) or not set(NEEDED) <= set(names) or {MANIFEST, SUMS, SIGNATURE} & set(names):
        raise invalid("its manifest names a file twice, lacks one, or names one of its own")
    words = [jsonview.text(record, key) for key in ("aibox", "created", "machine", "image", "image_id")]
    manifest = Manifest(words[0], words[1], words[2], words[3], words[4], members)
    if not all(words) or encode(manifest) != content:
        raise invalid("its manifest is not written as aibox writes one")
    return manifest


def _member(row: Json) -> Member:
    member = Member(
        jsonview.text(row, "name"),
        jsonview.number(row, "size"),
        jsonview.text(row, "sha256"),
        jsonview.number(row, "mode"),
    )
    named = len(member.name) < 100 and _NAME.fullmatch(member.name)
    if not named or not 0 <= member.size <= LARGEST_FILE or not _SUM.fullmatch(member.sha256):
        raise invalid(f"its manifest holds the wrong entry {member.name[:100]!r}")
    if member.mode not in _MODES:
        raise invalid(f"its manifest gives {member.name} the mode {member.mode:o}")
    return member


def sums(manifest: bytes, members: tuple[Member, ...], signature: bytes | None) -> bytes:
    """The file SHA256SUMS, for these bytes of the manifest and of its signature."""
    rows = [(state.sha256(manifest), MANIFEST)]
    rows += [(state.sha256(signature), SIGNATURE)] if signature is not None else []
    rows += [(member.sha256, member.name) for member in members]
    return "".join(f"{sum_}  {name}\n" for sum_, name in rows).encode("ascii")


def header(name: str, size: int, mode: int = 0o644) -> bytes:
    """The tar header of a file."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, mode
    return info.tobuf(tarfile.GNU_FORMAT, "ascii", "strict")


def padding(size: int) -> bytes:
    """The zeros that fill a file's last block."""
    return bytes(-size % BLOCK)


def invalid(why: str) -> AiboxError:
    """The error for a file that is no bundle."""
    return AiboxError(
        "bundle-invalid", "this file is no bundle that aibox can read", why=why, fix="aibox bundle create -o FILE"
    )


def tampered(path: str, why: str) -> NoReturn:
    """Raise bundle-tampered."""
    raise AiboxError(
        "bundle-tampered",
        f"{path} is not as it was made",
        why=f"{why}; nothing was installed",
        fix="copy the bundle again from where it was made, and compare: sha256sum FILE",
    )
