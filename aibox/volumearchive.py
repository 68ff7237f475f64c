"""The backup of a volume as a tar file (POSIX pax): written in one way only, and read only if it was written so.

Members are `aibox-volume.json` (what it is a backup of), everything in the volume below `volume/` (a folder before what
is in it, names in byte order), and `aibox-manifest.json`: how many members and bytes there are, and the SHA-256 of all
bytes before it. Any tar program unpacks it. Owners are a box's ids. Source: pax(1); GNU tar's manual for sparse 1.0.
"""

import hashlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from aibox import jsonview
from aibox.errors import AiboxError
from aibox.jsonview import Json, dig, number, text

BLOCK = 512
FOLDER = b"volume/"
HEAD, TAIL = b"aibox-volume.json", b"aibox-manifest.json"
TAIL_SIZE = 4 * BLOCK  # header, text, and the two empty blocks at the end of every tar file
LARGEST_HEADER = 1 << 20
LARGEST_MAP = 1 << 26
MOST_MEMBERS = 2_000_000
FORMAT = 1
LARGEST_ID = 65_535
LONGEST_PATH = 4_095
PIECE = 1 << 20
ATTRIBUTES = (b"user.", b"system.posix_acl_access", b"system.posix_acl_default")
KINDS = {"file": b"0", "link": b"1", "symlink": b"2", "folder": b"5", "fifo": b"6"}
NAMES = {flag: kind for kind, flag in KINDS.items()}
Write = Callable[[bytes], object]


class Entry(NamedTuple):
    """One member: `path` below the volume's root (empty: the root), `mtime` in nanoseconds, `size` in bytes.

    `link` is a symlink's target, or the path of an earlier file for a hard link. `segments` are the places (offset and
    length) of a sparse file that hold data; None: all of it does.
    """

    path: bytes
    kind: str
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int = 0
    link: bytes = b""
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    segments: tuple[tuple[int, int], ...] | None = None

    @property
    def stored(self) -> int:
        """Bytes of the member's data, the map of a sparse file included."""
        if self.segments is None:
            return self.size
        return len(sparse_map(self.segments)) + sum(length for _, length in self.segments)


class Manifest(NamedTuple):
    """What stands at the end: members and bytes before it, their SHA-256, and how many sockets were left out."""

    members: int
    bytes: int
    sha256: str
    left_out: int


def padded(data: bytes) -> bytes:
    """Filled with zeros to whole blocks."""
    return data + b"\0" * (-len(data) % BLOCK)


def block(name: bytes, flag: bytes, size: int, *, mode: int = 0o600, ids: tuple[int, int] = (0, 0), mtime: int = 0,
          link: bytes = b"") -> bytes:  # fmt: skip
    """A ustar header."""
    head = b"".join(
        (
            name[:100].ljust(100, b"\0"),
            b"%07o\0%07o\0%07o\0" % (mode, *ids),
            b"%011o\0%011o\0" % (size if size < 1 << 33 else 0, min(max(mtime, 0), (1 << 33) - 1)),
        )
    )
    rest = flag + link[:100].ljust(100, b"\0") + b"ustar\x0000" + b"\0" * 64 + b"0000000\0" * 2 + b"\0" * 167
    checksum = b"%06o\0 " % (sum(head) + sum(rest) + 8 * 32)
    return head + checksum + rest


def record(key: bytes, value: bytes) -> bytes:
    """One record of a pax header; its length counts itself."""
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + 1
    while length != len(body) + len(str(length)):
        length = len(body) + len(str(length))
    return b"%d" % length + body


def decimal(nanoseconds: int) -> bytes:
    """Seconds with nine digits behind the point."""
    whole, part = divmod(abs(nanoseconds), 10**9)
    return b"%s%d.%09d" % (b"-" if nanoseconds < 0 else b"", whole, part)


def quoted(name: bytes) -> bytes:
    """An attribute's name as GNU tar writes it."""
    return name.replace(b"%", b"%25").replace(b"=", b"%3D")


def header(entry: Entry) -> bytes:
    """All blocks before the data of a member."""
    name = FOLDER + entry.path + (b"/" if entry.kind == "folder" and entry.path else b"")
    records = [record(b"mtime", decimal(entry.mtime))]
    if entry.segments is None:
        records.append(record(b"path", name))
    else:
        records += [record(b"GNU.sparse.major", b"1"), record(b"GNU.sparse.minor", b"0"),
                    record(b"GNU.sparse.name", name), record(b"GNU.sparse.realsize", b"%d" % entry.size)]  # fmt: skip
    target = FOLDER + entry.link if entry.kind == "link" else entry.link
    records += [record(b"linkpath", target)] if entry.kind in ("link", "symlink") else []
    records += [record(b"size", b"%d" % entry.stored)] if entry.stored >= 1 << 33 else []
    records += [record(b"SCHILY.xattr." + quoted(key), value) for key, value in entry.xattrs]
    extended = b"".join(records)
    shown = b"GNUSparseFile.0/" + name if entry.segments is not None else name
    own = block(shown, KINDS[entry.kind], entry.stored, mode=entry.mode, ids=(entry.uid, entry.gid),
                mtime=entry.mtime // 10**9, link=target)  # fmt: skip
    return block(b"pax", b"x", len(extended)) + padded(extended) + own


def sparse_map(segments: tuple[tuple[int, int], ...]) -> bytes:
    """The text in front of a sparse file's data."""
    lines = [len(segments), *(value for segment in segments for value in segment)]
    return padded("".join(f"{line}\n" for line in lines).encode())


def head_member(about: dict[str, Json]) -> bytes:
    """The first member."""
    content = jsonview.dump(about).encode()
    return block(HEAD, b"0", len(content)) + padded(content)


def tail_member(manifest: Manifest) -> bytes:
    """The last member and the end of the file."""
    content = jsonview.dump(dict(manifest._asdict())).encode().ljust(BLOCK, b" ")
    return block(TAIL, b"0", BLOCK) + content + b"\0" * (2 * BLOCK)


def refused(what: str) -> AiboxError:
    """Why a file is not taken."""
    return AiboxError("volume-archive", "this backup cannot be used", why=what, fix="use another backup")


class Reader:
    """A backup that is being read; everything is checked before it is handed out. Raises volume-archive."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._sha, self._at = file, hashlib.sha256(), 0
        self._seen = b""
        self.manifest = self._read_manifest(size)
        file.seek(0)
        self.about = self._read_head()

    def _read_manifest(self, size: int) -> Manifest:
        if size < TAIL_SIZE or size % BLOCK:
            raise refused("it is too short, or cut off")
        self._file.seek(size - TAIL_SIZE)
        tail = self._file.read(TAIL_SIZE)
        try:
            kept = jsonview.parse(tail[BLOCK : 2 * BLOCK])
        except ValueError:
            raise refused("its end is not that of a backup made by aibox; perhaps it is cut off") from None
        found = Manifest(number(kept, "members"), number(kept, "bytes"), text(kept, "sha256"), number(kept, "left_out"))
        if tail_member(found) != tail or found.bytes != size - TAIL_SIZE:
            raise refused("its end is not that of a backup made by aibox, or was changed")
        return found

    def _take(self, count: int) -> bytes:
        if self._at + count > self.manifest.bytes:
            raise refused("a member reaches beyond the end")
        data = self._file.read(count)
        if len(data) != count:
            raise refused("it is shorter than its manifest says")
        self._at += count
        self._sha.update(data)
        return data

    def _read_head(self) -> Json:
        first = self._take(BLOCK)
        size = _octal(first[124:135])
        if size > LARGEST_HEADER:
            raise refused("its first member is too large")
        content = self._take(size + -size % BLOCK)[:size]
        try:
            about = jsonview.fields(jsonview.parse(content))
        except ValueError:
            raise refused("its first member does not say what it is a backup of") from None
        if head_member(about) != first + padded(content) or dig(about, "format") != FORMAT:
            raise refused("its first member is not that of a backup made by this version of aibox")
        return about

    def entries(self) -> Iterator[tuple[Entry, Iterator[tuple[int, bytes]]]]:
        """Every member with its data as pieces (offset, bytes); data that is not taken is read over."""
        judge = Judge()
        count = 0
        while self._at < self.manifest.bytes:
            entry = self._entry()
            judge.judge(entry)
            count += 1
            data = self._data(entry)
            yield entry, data
            for _ in data:
                pass
        if count != self.manifest.members:
            raise refused(f"it has {count} members, and its manifest says {self.manifest.members}")
        if self._sha.hexdigest() != self.manifest.sha256:
            raise refused("its SHA-256 is not that of its manifest: it was changed, or is damaged")

    def _entry(self) -> Entry:
        first = self._take(BLOCK)
        size = _octal(first[124:135])
        if first[156:157] != b"x" or size > LARGEST_HEADER:
            raise refused("a member has no header as aibox writes it")
        extended = self._take(size + -size % BLOCK)
        own = self._take(BLOCK)
        records = _records(extended[:size])
        entry = _entry_of(records, own)
        if b"GNU.sparse.realsize" in records:
            entry = entry._replace(segments=self._segments(entry.size))
            if self._seen != sparse_map(entry.segments or ()):
                raise refused("the map of a sparse file is not as aibox writes it")
            entry = entry._replace(size=_number(records[b"GNU.sparse.realsize"]))
        if header(entry) != first + extended + own:
            raise refused("a member's header is not as aibox writes it")
        return entry

    def _segments(self, stored: int) -> tuple[tuple[int, int], ...]:
        """The map of a sparse file; what was read for it stands in `_seen` afterwards."""
        self._seen = self._take(BLOCK)
        first, newline, _ = self._seen.partition(b"\n")
        wanted = 2 * _number(first) + 1
        while newline and self._seen.count(b"\n") < wanted:
            if len(self._seen) > min(LARGEST_MAP, stored):
                raise refused("the map of a sparse file is too large")
            self._seen += self._take(BLOCK)
        values = [_number(line) for line in self._seen.split(b"\n")[1:wanted]]
        return tuple(zip(values[::2], values[1::2], strict=True))

    def _data(self, entry: Entry) -> Iterator[tuple[int, bytes]]:
        if entry.kind != "file":
            return
        total = 0
        for offset, length in entry.segments if entry.segments is not None else ((0, entry.size),):
            total += length
            for at in range(offset, offset + length, PIECE):
                yield at, self._take(min(offset + length - at, PIECE))
        if any(self._take(-total % BLOCK)):
            raise refused("there is something between two members")


class Judge:
    """What a volume cannot hold, or what could leave it, is refused member by member."""

    def __init__(self) -> None:
        self._last: list[bytes] | None = None
        self._open: list[bytes] = []
        self._files: set[bytes] = set()
        self._count = 0

    def judge(self, entry: Entry) -> None:
        """Raises volume-archive."""
        shown = entry.path.decode("utf-8", "backslashreplace")
        self._count += 1
        if self._count > MOST_MEMBERS:
            raise refused(f"it has more than {MOST_MEMBERS} members")
        parts = entry.path.split(b"/") if entry.path else []
        if any(part in (b"", b".", b"..") for part in parts) or b"\0" in entry.path or len(entry.path) > LONGEST_PATH:
            raise refused(f"a name that could lead out of the volume: {shown}")
        if self._last is None and (parts or entry.kind != "folder"):
            raise refused("its first member is not the volume's own folder")
        if self._last is not None and parts <= self._last:
            raise refused(f"{shown} comes twice or out of order")
        # below anything but a folder of this backup, a name could lead elsewhere
        if parts and parts[:-1] != self._open[: len(parts) - 1]:
            raise refused(f"{shown} lies in no folder of the backup")
        self._open = parts if entry.kind == "folder" else parts[:-1]
        self._last = parts
        self._judge_values(entry, shown)
        if entry.kind == "file":
            self._files.add(entry.path)

    def _judge_values(self, entry: Entry, shown: str) -> None:
        if entry.kind != "file" and entry.size:
            raise refused(f"{shown} has data and is no file")
        if entry.kind == "link" and entry.link not in self._files:
            raise refused(f"{shown} is a hard link to what is no file of the backup")
        if entry.kind == "symlink" and (not entry.link or b"\0" in entry.link or len(entry.link) > LONGEST_PATH):
            raise refused(f"{shown} is a link to nothing")
        if max(entry.uid, entry.gid) > LARGEST_ID or entry.mode > 0o7777:
            raise refused(f"{shown} has an owner or a mode that no box has")
        if any(not name.startswith(ATTRIBUTES) for name, _ in entry.xattrs):
            raise refused(f"{shown} has an attribute that a box cannot set")
        end = 0
        for offset, length in entry.segments or ():
            if offset < end or offset + length > entry.size:
                raise refused(f"the map of {shown} is wrong")
            end = offset + length


def _octal(digits: bytes) -> int:
    if not digits or not set(digits) <= set(b"01234567"):
        raise refused("a header holds a number that is none")
    return int(digits, 8)


def _number(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > 19:
        raise refused("a header holds a number that is none")
    return int(digits)


def _records(data: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    while data:
        length = _number(data.partition(b" ")[0])
        key, equals, value = data[:length].partition(b" ")[2].partition(b"=")
        if not 0 < length <= len(data) or not equals or key in found:
            raise refused("a header is not as aibox writes it")
        found[key] = value[:-1]
        data = data[length:]
    return found


def _entry_of(records: dict[bytes, bytes], own: bytes) -> Entry:
    """An entry from its header's records and block; `size` is that of the stored data."""
    kind = NAMES.get(own[156:157], "")
    name = records.get(b"path", records.get(b"GNU.sparse.name", b""))
    target = records.get(b"linkpath", b"")
    sign, _, seconds = records.get(b"mtime", b"").rpartition(b"-")
    whole, _, part = seconds.partition(b".")
    if not kind or not name.startswith(FOLDER) or len(part) != 9 or sign:
        raise refused("a member that is no file, folder, link or pipe of a volume")
    moment = _number(whole) * 10**9 + _number(part)
    prefix = b"SCHILY.xattr."
    return Entry(
        path=name.removeprefix(FOLDER).removesuffix(b"/" if kind == "folder" else b""),
        kind=kind,
        mode=_octal(own[100:107]),
        uid=_octal(own[108:115]),
        gid=_octal(own[116:123]),
        mtime=-moment if records.get(b"mtime", b"")[:1] == b"-" else moment,
        size=_number(records[b"size"]) if b"size" in records else _octal(own[124:135]),
        link=target.removeprefix(FOLDER) if kind == "link" else target,
        xattrs=tuple(
            (key.removeprefix(prefix).replace(b"%3D", b"=").replace(b"%25", b"%"), value)
            for key, value in records.items()
            if key.startswith(prefix)
        ),
    )
