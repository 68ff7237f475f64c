"""Backups: what goes in comes out, every changed byte is noticed, and what could leave a volume is refused."""

import hashlib
import io
import os
import random
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibox import volumearchive, volumetree
from aibox.errors import AiboxError
from aibox.jsonview import Json
from aibox.volumearchive import BLOCK, FORMAT, Entry, Manifest, Reader, head_member, header, padded, tail_member

ABOUT: dict[str, Json] = {"format": FORMAT, "volume": "aibox-dev-home", "purpose": "home", "created": "now"}
ROOT = Entry(b"", "folder", 0o755, 1000, 1000, 0)
FILE = Entry(b"f", "file", 0o644, 1000, 1000, 1_500_000_000_123_456_789, 3)


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one of everything, as the current one."""
    place = tmp_path / "volume"
    (place / "a" / "b").mkdir(parents=True)
    (place / "a" / "file").write_bytes(random.Random(1).randbytes(300_000))
    os.link(place / "a" / "file", place / "z")
    (place / "link").symlink_to("../../etc/passwd")
    os.mkfifo(place / "pipe")
    with open(place / "sparse", "wb") as file:
        file.write(b"begin")
        file.seek(3 << 20)
        file.write(b"x" * 5000)
        file.truncate(40 << 20)
    with open(place / "hole", "wb") as file:
        file.truncate(1 << 40)
    (place / "empty").touch()
    (place / os.fsdecode(b"not \xff utf-8\n")).write_bytes(b"x")
    deep = place / "/".join(["d" * 60] * 8)
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"deep")
    os.setxattr(place / "a" / "file", "user.key=%", b"value\0\n")
    os.setxattr(place / "a", "user.folder", b"")
    os.chmod(place / "z", 0o4711)
    os.chmod(place / "a" / "b", 0o1700)
    os.utime(place / "empty", ns=(1, -1_500_000_000))
    os.utime(place / "a" / "b", ns=(1, 1_000_000_007))
    os.utime(place / "link", ns=(1, 2_000_000_009), follow_symlinks=False)
    monkeypatch.chdir(place)
    return place


def packed() -> bytes:
    """The backup of the current folder."""
    out = io.BytesIO()
    made = volumetree.pack(out.write, dict(ABOUT))
    return out.getvalue() + tail_member(made)


def sealed(members: list[bytes], count: int | None = None) -> bytes:
    """A backup of any members, with the right end."""
    body = head_member(dict(ABOUT)) + b"".join(members)
    number = len(members) if count is None else count
    return body + tail_member(Manifest(number, len(body), hashlib.sha256(body).hexdigest(), 0))


def member(entry: Entry, data: bytes = b"") -> bytes:
    return header(entry) + padded(data)


def read(backup: bytes) -> list[tuple[Entry, bytes]]:
    reader = Reader(io.BytesIO(backup), len(backup))
    return [(entry, b"".join(piece for _, piece in data)) for entry, data in reader.entries()]


def why(backup: bytes) -> str:
    """The reason for which a backup is refused."""
    with pytest.raises(AiboxError) as caught:
        read(backup)
    assert caught.value.code == "volume-archive"
    return caught.value.why


def facts(place: Path) -> dict[str, tuple[object, ...]]:
    """A tree as the test itself sees it, without aibox's own walk."""
    found: dict[str, tuple[object, ...]] = {}
    for path in (place, *place.rglob("*")):
        status = path.lstat()
        plain = stat.S_ISREG(status.st_mode)
        content = hashlib.sha256(path.read_bytes()).hexdigest() if plain and status.st_size < 1 << 30 else ""
        names = os.listxattr(path, follow_symlinks=False)
        found[str(path.relative_to(place))] = (
            status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_size * plain,
            status.st_nlink * plain, content, os.readlink(path) if path.is_symlink() else "",
            sorted((name, os.getxattr(path, name, follow_symlinks=False)) for name in names),
        )  # fmt: skip
    return found


def test_what_goes_in_comes_out(volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backup = packed()
    assert len(backup) < 400_000, "holes take no space"
    assert backup == packed(), "the same tree gives the same bytes"
    new = tmp_path / "new"
    new.mkdir()
    monkeypatch.chdir(new)
    wanted = volumetree.fill(Reader(io.BytesIO(backup), len(backup)))
    assert facts(new) == facts(volume)
    assert (new / "hole").stat().st_blocks == 0
    assert (new / "sparse").stat().st_blocks * 512 < 1 << 20
    assert (new / "z").samefile(new / "a" / "file")
    assert volumetree.digest() == wanted
    monkeypatch.chdir(volume)
    assert volumetree.digest() == wanted


@pytest.mark.parametrize(
    "change",
    ["echo x >> a/file", "chmod 600 empty", "touch -d 2001-01-01 empty", "ln -sf /x link", "rm z", "mkdir n",
     "mv empty other", "rm pipe; touch pipe", "rm z; cp a/file z", "truncate -s 2T hole",
     "t=$(stat -c %y sparse); printf y | dd of=sparse bs=1 seek=20000000 conv=notrunc status=none; touch -d $t sparse"],
)  # fmt: skip
def test_the_digest_notices_every_change(volume: Path, change: str) -> None:
    before, moment = volumetree.digest(), volume.stat().st_mtime_ns
    subprocess.run(["sh", "-c", change], check=True, cwd=volume)
    # the folder's own time would give away most of them
    os.utime(volume, ns=(1, moment))
    assert volumetree.digest() != before


def test_the_digest_is_that_of_the_same_tree(volume: Path) -> None:
    before, moment = volumetree.digest(), volume.stat().st_mtime_ns
    subprocess.run(["sh", "-c", "touch x; rm x; cat a/file"], check=True, cwd=volume, stdout=subprocess.DEVNULL)
    os.utime(volume, ns=(1, moment))
    assert volumetree.digest() == before


def test_a_plain_tar_unpacks_it(volume: Path, tmp_path: Path) -> None:
    """GNU tar and Python's reader agree with aibox on what a backup holds."""
    backup = packed()
    new = tmp_path / "gnu"
    new.mkdir()
    tar = ["tar", "--extract", "--preserve-permissions", "--xattrs", "--xattrs-include=user.*"]
    done = subprocess.run(tar, check=True, cwd=new, input=backup, capture_output=True)
    assert done.returncode == 0
    (new / "volume").touch()
    os.utime(new / "volume", ns=(1, volume.stat().st_mtime_ns))
    assert facts(new / "volume") == facts(volume)
    with tarfile.open(fileobj=io.BytesIO(backup)) as archive:
        names = archive.getnames()
    assert (names[0], names[1], names[-1]) == ("aibox-volume.json", "volume", "aibox-manifest.json")


@pytest.mark.usefixtures("volume")
def test_sockets_are_left_out_and_counted() -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
    out = io.BytesIO()
    assert volumetree.pack(out.write, dict(ABOUT)).left_out == 1
    assert b"volume/socket" not in out.getvalue()


def test_every_flipped_byte_is_refused(volume: Path) -> None:
    """All places of headers and ends, and many of the rest."""
    for name in ("hole", "sparse", "z", "d" * 60):
        subprocess.run(["rm", "-r", name], check=True, cwd=volume)
    (volume / "a" / "file").write_bytes(b"some text\n" * 60)
    backup = packed()
    assert len(read(backup)) == 8
    chosen = random.Random(7)
    for at in range(len(backup)):
        changed = bytearray(backup)
        changed[at] ^= 1 << chosen.randrange(8)
        assert why(bytes(changed)), at


@pytest.mark.usefixtures("volume")
def test_cut_or_longer_files_are_refused() -> None:
    backup = packed()
    for size in (0, 1, 511, 512, 2048, len(backup) - 512, len(backup) - 1, len(backup) // 2):
        assert why(backup[:size])
    assert why(backup + b"\0")
    assert why(backup + b"\0" * BLOCK)
    assert why(b"\0" * 10240)


def folder(path: bytes) -> Entry:
    return Entry(path, "folder", 0o755, 0, 0, 0)


def holed(*segments: tuple[int, int], size: int) -> bytes:
    entry = FILE._replace(size=size, segments=segments)
    return header(entry) + volumearchive.sparse_map(segments) + padded(b"abc")


HOSTILE: list[tuple[str, list[bytes], str]] = [
    ("an absolute name", [member(ROOT), member(FILE._replace(path=b"/etc/x"), b"abc")], "lead out"),
    ("a name with ..", [member(ROOT), member(FILE._replace(path=b"../x"), b"abc")], "lead out"),
    ("a name with .. inside", [member(ROOT), member(folder(b"a")), member(FILE._replace(path=b"a/../../x"), b"abc")],
     "lead out"),
    ("a file below a link", [member(ROOT), member(Entry(b"a", "symlink", 0o777, 0, 0, 0, link=b"/etc")),
     member(FILE._replace(path=b"a/x"), b"abc")], "in no folder"),
    ("a file below a file", [member(ROOT), member(FILE, b"abc"), member(FILE._replace(path=b"f/x"), b"abc")],
     "in no folder"),
    ("a folder that was not there", [member(ROOT), member(FILE._replace(path=b"a/x"), b"abc")], "in no folder"),
    ("a hard link out", [member(ROOT), member(Entry(b"l", "link", 0o644, 0, 0, 0, link=b"/etc/passwd"))], "hard link"),
    ("a hard link up", [member(ROOT), member(Entry(b"l", "link", 0o644, 0, 0, 0, link=b"../x"))], "hard link"),
    ("a hard link to a link", [member(ROOT), member(Entry(b"a", "symlink", 0o777, 0, 0, 0, link=b"/etc/passwd")),
     member(Entry(b"b", "link", 0o644, 0, 0, 0, link=b"a"))], "hard link"),
    ("a name twice", [member(ROOT), member(FILE, b"abc"), member(FILE, b"abd")], "twice"),
    ("the root twice", [member(ROOT), member(ROOT)], "twice"),
    ("no root", [member(FILE, b"abc")], "own folder"),
    ("a link instead of the root", [member(Entry(b"", "symlink", 0o777, 0, 0, 0, link=b"/etc"))], "own folder"),
    ("an owner beyond a box", [member(ROOT), member(FILE._replace(uid=70_000), b"abc")], "owner"),
    ("an attribute of the system", [member(ROOT), member(FILE._replace(xattrs=((b"security.capability", b"x"),)),
     b"abc")], "attribute"),
    ("an empty link", [member(ROOT), member(Entry(b"l", "symlink", 0o777, 0, 0, 0))], "link to nothing"),
    ("a folder with data", [member(ROOT), header(folder(b"a")._replace(size=512)) + b"x" * 512], "data"),
    ("a map beyond the end", [member(ROOT), holed((3, 3), size=5)], "map"),
    ("a map that goes back", [member(ROOT), holed((6, 1), (3, 2), size=9)], "map"),
]  # fmt: skip


@pytest.mark.parametrize(("members", "reason"), [pytest.param(*row[1:], id=row[0]) for row in HOSTILE])
def test_what_could_leave_the_volume_is_refused(members: list[bytes], reason: str) -> None:
    assert reason in why(sealed(members))


def device(name: bytes, flag: bytes) -> bytes:
    """A member that aibox itself cannot write."""
    whole = header(FILE._replace(path=name, size=0))
    own = bytearray(whole[-BLOCK:])
    own[156:157] = flag
    own[148:156] = b" " * 8
    own[148:156] = b"%06o\0 " % sum(own)
    return whole[:-BLOCK] + bytes(own)


@pytest.mark.parametrize("flag", [b"3", b"4", b"7", b"S", b"L", b"g"])
def test_devices_and_other_kinds_are_refused(flag: bytes) -> None:
    assert (
        why(sealed([member(ROOT), device(b"x", flag)])) == "a member that is no file, folder, link or pipe of a volume"
    )


def test_a_count_that_is_not_true_is_refused() -> None:
    assert "2 members, and its manifest says 3" in why(sealed([member(ROOT), member(FILE, b"abc")], 3))


def test_too_many_members_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [member(FILE._replace(path=b"%03d" % at), b"abc") for at in range(20)]
    assert len(read(sealed([member(ROOT), *files]))) == 21
    monkeypatch.setattr(volumearchive, "MOST_MEMBERS", 20)
    assert "more than 20" in why(sealed([member(ROOT), *files]))


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "outside"
    place.mkdir()
    yield place
    shutil.rmtree(place)


def test_control_a_plain_tar_would_have_unpacked_it_elsewhere(tmp_path: Path, outside: Path) -> None:
    """The hostile archives are real: without the check, the file lands outside of the folder."""
    link = member(Entry(b"a", "symlink", 0o777, 0, 0, 0, link=os.fsencode(outside)))
    backup = sealed([member(ROOT), link, member(FILE._replace(path=b"a/evil"), b"bad")])
    up = sealed([member(ROOT), member(FILE._replace(path=b"../../outside/up", size=3), b"bad")])
    for number, content in enumerate((backup, up)):
        place = tmp_path / str(number)
        place.mkdir()
        subprocess.run(["tar", "-xPf", "-"], check=False, cwd=place, input=content, capture_output=True)
        assert why(content)
    assert sorted(path.name for path in outside.iterdir()) == ["evil", "up"]


@given(st.binary(max_size=3000))
def test_garbage_is_refused(content: bytes) -> None:
    why(content)


@given(
    st.lists(st.tuples(st.integers(0, 5 << 20), st.binary(min_size=1, max_size=3000)), max_size=6),
    st.integers(1, 1 << 16),
)
def test_a_contents_digest_knows_no_holes(places: list[tuple[int, bytes]], cut: int) -> None:
    """The same bytes in other pieces, with zeros written or left out, have the same digest."""
    whole = bytearray(6 << 20)
    for at, data in places:
        whole[at : at + len(data)] = data
    one, other = volumetree.Content(), volumetree.Content()
    one.feed(0, bytes(whole))
    for at in range(0, len(whole), cut * 16):
        piece = bytes(whole[at : at + cut * 16])
        if piece.strip(b"\0"):
            other.feed(at, piece)
    assert one.hexdigest() == other.hexdigest()
    assert (one.hexdigest() == hashlib.sha256().hexdigest()) == (not any(whole))
