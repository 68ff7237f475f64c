"""Reading a bundle front to back in pieces, so that its size does not matter; every byte is compared or summed."""

import hashlib
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

from aibox import bundleformat, signing, state
from aibox.bundleformat import BLOCK, LARGEST_HEAD, MANIFEST, SIGNATURE, SUMS, Manifest, Member, tampered
from aibox.errors import AiboxError
from aibox.signing import Key

PIECE = 1 << 20
Told = Callable[[int], None]


class Opened(NamedTuple):
    """A bundle whose head was read: the manifest, its SHA-256, who signed it (or nobody), and the open file."""

    path: str
    file: BinaryIO
    manifest: Manifest
    digest: str
    signed_by: str
    has_signature: bool

    @property
    def total(self) -> int:
        """Bytes of all files that the manifest lists."""
        return sum(member.size for member in self.manifest.members)


@contextmanager
def opened(path: str, key: Key | None) -> Iterator[Opened]:
    """Open a bundle and read its head; with a key, its signature has to be by that key.

    Raises bundle-invalid, bundle-tampered, bundle-unsigned or bundle-untrusted.
    """
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise AiboxError("bundle-invalid", f"{path} cannot be read", why=error.strerror or str(error)) from error
    with file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise bundleformat.invalid(f"{path} is not a regular file")
        yield _head(path, file, key)


def _head(path: str, file: BinaryIO, key: Key | None) -> Opened:
    content = _first(path, file, MANIFEST)
    summed = _first(path, file, SUMS)
    signature = None
    if f"  {SIGNATURE}\n".encode() in summed:
        signature = _first(path, file, SIGNATURE)
    # before anything of the manifest is believed
    if not summed.startswith(f"{state.sha256(content)}  {MANIFEST}\n".encode()):
        tampered(path, f"{MANIFEST} does not have the SHA-256 that {SUMS} gives it")
    signed_by = ""
    if key is not None:
        signed_by = signing.verify(key, content, signature, path)
    manifest = bundleformat.decode(content)
    if summed != bundleformat.sums(content, manifest.members, signature):
        tampered(path, f"{SUMS} is not that of the manifest")
    return Opened(path, file, manifest, state.sha256(content), signed_by, signature is not None)


def _first(path: str, file: BinaryIO, name: str) -> bytes:
    """A member of the head, whose size only its own header tells."""
    block = file.read(BLOCK)
    try:
        size = tarfile.TarInfo.frombuf(block, "ascii", "strict").size
    except (tarfile.TarError, UnicodeDecodeError):
        size = -1
    if not 0 <= size <= LARGEST_HEAD or block != bundleformat.header(name, size):
        if name == MANIFEST:
            raise bundleformat.invalid(f"{path} does not begin with {MANIFEST}")
        tampered(path, f"{name} does not follow where it should")
    content = _exactly(path, file, size)
    if _exactly(path, file, -size % BLOCK).strip(b"\0"):
        tampered(path, f"something stands between {name} and the next file")
    return content


def _exactly(path: str, file: BinaryIO, size: int) -> bytes:
    content = file.read(size)
    if len(content) != size:
        tampered(path, "it ends too early")
    return content


def copy(bundle: Opened, member: Member, target: BinaryIO | None, told: Told) -> None:
    """Read the next file of the bundle, to `target` or only to sum it; `told` gets the number of bytes of each piece.

    Raises bundle-tampered: what was written then must not be used.
    """
    _require_header(bundle, member)
    digest = hashlib.sha256()
    left = member.size
    while left:
        piece = bundle.file.read(min(PIECE, left))
        if not piece:
            tampered(bundle.path, f"it ends within {member.name}")
        left -= len(piece)
        digest.update(piece)
        if target is not None:
            target.write(piece)
        told(len(piece))
    if digest.hexdigest() != member.sha256:
        tampered(bundle.path, f"{member.name} does not have the SHA-256 that the manifest gives it")
    _require_padding(bundle, member)


def skip(bundle: Opened, member: Member) -> None:
    """Pass over the next file, which the caller already has."""
    _require_header(bundle, member)
    bundle.file.seek(member.size, os.SEEK_CUR)
    _require_padding(bundle, member)


def _require_header(bundle: Opened, member: Member) -> None:
    found = _exactly(bundle.path, bundle.file, BLOCK)
    if found != bundleformat.header(member.name, member.size, member.mode):
        tampered(bundle.path, f"{member.name} does not stand where the manifest has it")


def _require_padding(bundle: Opened, member: Member) -> None:
    if _exactly(bundle.path, bundle.file, -member.size % BLOCK).strip(b"\0"):
        tampered(bundle.path, f"something stands behind {member.name}")


def finish(bundle: Opened) -> None:
    """The end of the archive comes now, and nothing behind it. Raises bundle-tampered."""
    if bundle.file.read(len(bundleformat.END) + 1) != bundleformat.END:
        tampered(bundle.path, "it does not end after its last file")


def check(bundle: Opened, told: Told) -> None:
    """Read everything, keep nothing. Raises bundle-tampered."""
    for member in bundle.manifest.members:
        copy(bundle, member, None, told)
    finish(bundle)
