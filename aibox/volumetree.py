"""The files of a volume, seen from inside it (boxids.py): walking them in one order, and what they take."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from aibox.errors import AiboxError
from aibox.jsonview import Json
from aibox.volumearchive import (
    ATTRIBUTES,
    BLOCK,
    MOST_MEMBERS,
    PIECE,
    Entry,
    Manifest,
    Reader,
    Write,
    head_member,
    header,
    sparse_map,
)

ZEROS = bytes(PIECE)
KIND_OF = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
}


class Seen(NamedTuple):
    """One file, folder or link: its path below the root (empty: the root itself) and lstat's answer."""

    path: bytes
    status: os.stat_result


def walk(*, lenient: bool = False) -> Iterator[Seen]:
    """Everything below the current folder, the root first, each folder before what is in it, names in byte order.

    `lenient` passes over what vanishes meanwhile or cannot be read.
    """
    waiting = [b""]
    while waiting:
        path = waiting.pop()
        names: list[bytes] = []
        try:
            status = os.lstat(path or b".")
            if stat.S_ISDIR(status.st_mode):
                names = sorted(os.listdir(path or b"."), reverse=True)
        except OSError:
            if not lenient:
                raise
            continue
        yield Seen(path, status)
        waiting += [path + b"/" + name if path else name for name in names]


def measure() -> Json:
    """Bytes that the files take on the disk, and how many there are; a file with several names counts once."""
    taken, count = 0, 0
    known: set[int] = set()
    for seen in walk(lenient=True):
        status = seen.status
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            if status.st_ino in known:
                continue
            known.add(status.st_ino)
        taken += status.st_blocks * BLOCK
        count += bool(seen.path)
    return {"bytes": taken, "files": count}


class Content:
    """A digest of a file's bytes that does not depend on where its holes are, and costs nothing for them."""

    def __init__(self) -> None:
        self._sha, self._index, self._piece = hashlib.sha256(), -1, bytearray()

    def feed(self, offset: int, data: bytes) -> None:
        """Bytes at a place behind all earlier ones."""
        while data:
            index, within = divmod(offset, PIECE)
            if index != self._index:
                self._flush()
                self._index, self._piece = index, bytearray(PIECE)
            part = data[: PIECE - within]
            self._piece[within : within + len(part)] = part
            offset, data = offset + len(part), data[len(part) :]

    def _flush(self) -> None:
        if self._piece and self._piece != ZEROS:
            self._sha.update(b"%d " % self._index)
            self._sha.update(self._piece)

    def hexdigest(self) -> str:
        """The digest of all that was fed."""
        self._flush()
        self._piece = bytearray()
        return self._sha.hexdigest()


class Total:
    """A digest of a whole tree: every name, kind, mode, owner, time, attribute, link and byte."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()

    def add(self, entry: Entry, content: str) -> None:
        """The next entry, with the digest of its content."""
        self._sha.update(repr((entry._replace(segments=None), content)).encode())

    def hexdigest(self) -> str:
        """The digest of all entries."""
        return self._sha.hexdigest()


def described(seen: Seen, linked: dict[int, bytes]) -> Entry | None:
    """A file as a member of a backup, or None for a socket or a device; `linked` remembers files with further names."""
    status, path = seen.status, seen.path
    kind = KIND_OF.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        return None
    link = b""
    if kind == "file" and status.st_nlink > 1:
        first = linked.setdefault(status.st_ino, path)
        if first != path:
            kind, link = "link", first
    if kind == "symlink":
        link = os.readlink(path)
    return Entry(
        path=path,
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime=status.st_mtime_ns,
        size=status.st_size if kind == "file" else 0,
        link=link,
        xattrs=attributes(path or b".") if kind in ("file", "folder") else (),
    )


def attributes(path: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """The extended attributes that a box can set; the host's own labels are not a volume's."""
    try:
        names = sorted(os.fsencode(name) for name in os.listxattr(path, follow_symlinks=False))
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return ()
        raise
    return tuple(
        (name, os.getxattr(path, name, follow_symlinks=False)) for name in names if name.startswith(ATTRIBUTES)
    )


def data_of(descriptor: int, size: int) -> tuple[tuple[int, int], ...]:
    """Where an open file holds data (lseek(2), SEEK_DATA)."""
    found, at = [], 0
    while at < size:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break
            raise
        at = min(os.lseek(descriptor, start, os.SEEK_HOLE), size)
        if start < at:
            found.append((start, at - start))
    return tuple(found)


def pieces(descriptor: int, segments: tuple[tuple[int, int], ...]) -> Iterator[tuple[int, bytes]]:
    """The data of an open file with its places. Raises volume-failed if it became shorter."""
    for offset, length in segments:
        at, end = offset, offset + length
        while at < end:
            piece = os.pread(descriptor, min(PIECE, end - at), at)
            if not piece:
                raise AiboxError("volume-failed", "a file of the volume changed meanwhile", fix="try again")
            yield at, piece
            at += len(piece)


def pack(write: Write, about: dict[str, Json]) -> Manifest:
    """Write the backup of the current folder, all but its last member, which the caller makes of the answer."""
    sha, total, count, left_out = hashlib.sha256(), 0, 0, 0
    linked: dict[int, bytes] = {}

    def put(data: bytes) -> None:
        nonlocal total
        write(data)
        sha.update(data)
        total += len(data)

    put(head_member(about))
    for seen in walk():
        entry = described(seen, linked)
        if entry is None:
            left_out += 1
            continue
        count += 1
        if count > MOST_MEMBERS:
            raise AiboxError("volume-failed", f"the volume has more than {MOST_MEMBERS} files", fix="remove some")
        if entry.kind == "file":
            pack_file(put, seen, entry)
        else:
            put(header(entry))
    return Manifest(count, total, sha.hexdigest(), left_out)


def pack_file(put: Write, seen: Seen, entry: Entry) -> None:
    """Write one file with its data."""
    descriptor = os.open(seen.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        segments: tuple[tuple[int, int], ...] = ((0, entry.size),)
        if seen.status.st_blocks * BLOCK < entry.size:
            segments = data_of(descriptor, entry.size)
        if segments != ((0, entry.size),) and entry.size:
            # a last empty place says where the file ends, for other tar programs
            segments = segments if segments and sum(segments[-1]) == entry.size else (*segments, (entry.size, 0))
            entry = entry._replace(segments=segments)
        put(header(entry))
        if entry.segments is not None:
            put(sparse_map(entry.segments))
        length = 0
        for _, piece in pieces(descriptor, segments if entry.size else ()):
            put(piece)
            length += len(piece)
        put(b"\0" * (-length % BLOCK))
    finally:
        os.close(descriptor)


def fill(reader: Reader) -> str:
    """Unpack a backup into the current, empty folder; returns the digest that the tree has to have."""
    total = Total()
    folders: list[Entry] = []
    for entry, data in reader.entries():
        content = Content()
        path = entry.path or b"."
        if entry.kind == "folder":
            if entry.path:
                os.mkdir(path, 0o700)
            folders.append(entry)
        elif entry.kind == "symlink":
            os.symlink(entry.link, path)
        elif entry.kind == "link":
            os.link(entry.link, path, follow_symlinks=False)
        elif entry.kind == "fifo":
            os.mkfifo(path, 0o600)
        else:
            fill_file(path, entry, data, content)
        if entry.kind not in ("folder", "link"):
            finish(path, entry)
        total.add(entry, content.hexdigest())
    # last, because what is made in a folder changes its time, and may need its mode to be another
    for folder in reversed(folders):
        finish(folder.path or b".", folder)
    return total.hexdigest()


def fill_file(path: bytes, entry: Entry, data: Iterator[tuple[int, bytes]], content: Content) -> None:
    """Make one file; its holes stay holes."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        for offset, piece in data:
            content.feed(offset, piece)
            done = 0
            while done < len(piece):
                done += os.pwrite(descriptor, piece[done:], offset + done)
        os.ftruncate(descriptor, entry.size)
    finally:
        os.close(descriptor)


def finish(path: bytes, entry: Entry) -> None:
    """Owner, mode, attributes and time."""
    os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
    if entry.kind != "symlink":
        os.chmod(path, entry.mode)
    # after the mode, which would change an access list
    for name, value in entry.xattrs:
        os.setxattr(path, name, value, follow_symlinks=False)
    os.utime(path, ns=(entry.mtime, entry.mtime), follow_symlinks=False)


def digest() -> str:
    """The digest of the tree in the current folder, read anew."""
    total = Total()
    linked: dict[int, bytes] = {}
    for seen in walk():
        entry = described(seen, linked)
        if entry is None:
            continue
        content = Content()
        if entry.kind == "file":
            descriptor = os.open(seen.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                for offset, piece in pieces(descriptor, data_of(descriptor, entry.size)):
                    content.feed(offset, piece)
            finally:
                os.close(descriptor)
        total.add(entry, content.hexdigest())
    return total.hexdigest()
