"""Bundles, backups and the Windows shim's word: written as aibox writes them, then damaged and sealed again."""

import base64
import hashlib
import io
import json
import tempfile
from random import Random

from material import changed, damaged, sample

from aibox import bundleformat, bundleread, jsonview, volumearchive
from aibox.bundleformat import Manifest, Member
from aibox.jsonview import Json
from aibox.volumearchive import Entry

FILES = {"aibox": b"#!program\n", "runsc/runsc": b"r" * 700, "image.tar": b"i" * 40}
MEMBERS = tuple(
    Member(name, len(content), hashlib.sha256(content).hexdigest(), 0o755 if "runsc" in name else 0o644)
    for name, content in FILES.items()
)
MANIFEST = Manifest("0.1.0", "2026-11-28T00:00:00Z", "x86_64", "localhost/x:1", "a" * 64, MEMBERS)
RECORD = sample(jsonview.parse(bundleformat.encode(MANIFEST)))
ABOUT: dict[str, Json] = {"format": volumearchive.FORMAT, "purpose": "home", "name": "aibox-dev1-home"}
FOLDER = Entry(b"", "folder", 0o755, 1000, 1000, 1)
ENTRIES = (
    (FOLDER, b""),
    (Entry(b"a", "folder", 0o755, 1000, 1000, 10**18), b""),
    (Entry(b"a/f", "file", 0o644, 1000, 1000, 5, 4, xattrs=((b"user.x", b"y=\n"),)), b"data"),
    (Entry(b"b", "link", 0o644, 1000, 1000, 5, link=b"a/f"), b""),
    (Entry(b"c", "symlink", 0o777, 1000, 1000, -5, link=b"../x"), b""),
    (Entry(b"d", "file", 0o600, 1000, 1000, 5, 9000, segments=((0, 3), (8000, 4))), b"abc4567"),
    (Entry(b"e", "fifo", 0o600, 1000, 1000, 5), b""),
)
ODD_NAMES = (b"", b"..", b"a/../x", b"/etc", b"a//b", b"a\0b", b"\xff", b"a/f", b"x" * 5000, b"a\nb", b"z=%25")


def manifest(rng: Random) -> bytes:
    """A manifest with something changed, mostly written as aibox writes it."""
    if rng.random() < 0.4:
        return damaged(rng, bundleformat.encode(MANIFEST))
    return (json.dumps(changed(rng, [RECORD]), indent=1) + "\n").encode("ascii")


def read_manifest(content: bytes) -> None:
    """What is accepted comes back byte for byte."""
    found = bundleformat.decode(content)
    assert bundleformat.encode(found) == content
    assert all(".." not in member.name.split("/") and member.name[:1] != "/" for member in found.members)


def _bundled(head: bytes, members: tuple[Member, ...]) -> bytes:
    sums = bundleformat.sums(head, members, None)
    parts = [(bundleformat.MANIFEST, head, 0o644), (bundleformat.SUMS, sums, 0o644)]
    parts += [(member.name, FILES.get(member.name, b""), member.mode) for member in members]
    blocks = [bundleformat.header(name, len(content), mode) + content + bundleformat.padding(len(content))
              for name, content, mode in parts]  # fmt: skip
    return b"".join(blocks) + bundleformat.END


WHOLE = _bundled(bundleformat.encode(MANIFEST), MEMBERS)


def bundle(rng: Random) -> bytes:
    """A whole bundle with something changed, or one with a changed manifest."""
    if rng.random() < 0.7:
        return damaged(rng, WHOLE)
    return _bundled(manifest(rng), MEMBERS)


def read_bundle(content: bytes) -> None:
    """Only the one bundle that is whole is accepted."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        with bundleread.opened(file.name, None) as opened:
            bundleread.check(opened, lambda _count: None)
            # another manifest is another bundle; the files are these
            assert {member.name for member in opened.manifest.members} == set(FILES)


def _entry(rng: Random, entry: Entry) -> Entry:
    """An entry with one odd value."""
    number = rng.choice((0, 1, -1, 65_535, 65_536, 2**31, 2**63))
    changes: tuple[dict[str, object], ...] = (
        {"path": rng.choice(ODD_NAMES)}, {"link": rng.choice(ODD_NAMES)}, {"mode": abs(number)}, {"uid": abs(number)},
        {"mtime": number}, {"kind": rng.choice([*volumearchive.KINDS])}, {"xattrs": ((b"trusted.x", b"1"),)},
    )  # fmt: skip
    return entry._replace(**rng.choice(changes))  # type: ignore[arg-type]


def backup(rng: Random) -> bytes:
    """A backup: of odd members, or with damage, and mostly with the right sums at its end."""
    entries = [(_entry(rng, entry) if rng.random() < 0.1 else entry, data) for entry, data in ENTRIES]
    if rng.random() < 0.2:
        rng.shuffle(entries)
    body = volumearchive.head_member(ABOUT)
    for entry, data in entries:
        mapped = volumearchive.sparse_map(entry.segments) if entry.segments is not None else b""
        body += volumearchive.header(entry) + mapped + volumearchive.padded(data)
    if rng.random() < 0.5:
        body = volumearchive.padded(damaged(rng, body))
    found = volumearchive.Manifest(len(entries), len(body), hashlib.sha256(body).hexdigest(), 0)
    whole = body + volumearchive.tail_member(found)
    return damaged(rng, whole) if rng.random() < 0.3 else whole


def read_backup(content: bytes) -> None:
    """Nothing that is accepted leads out of the volume."""
    reader = volumearchive.Reader(io.BytesIO(content), len(content))
    for entry, data in reader.entries():
        assert b".." not in entry.path.split(b"/")
        assert entry.path[:1] != b"/"
        for _ in data:
            pass


def shim_word(rng: Random) -> str:
    """The one word that the Windows shim passes."""
    fields = ["1", "C:\\x", "C:\\Users\\d", "1", "AIBOX_ENGINE=podman", "start", "--json"]
    for _ in range(rng.randint(0, 3)):
        fields[rng.randrange(len(fields))] = rng.choice(("", "0", "-1", "99", "²", "9" * 5000, "=", "PATH=/x", "1_0"))
    content = "\0".join(fields).encode("utf-8", "replace")
    word = base64.b64encode(damaged(rng, content) if rng.random() < 0.5 else content)
    return (damaged(rng, word) if rng.random() < 0.3 else word).decode("utf-8", "replace")
