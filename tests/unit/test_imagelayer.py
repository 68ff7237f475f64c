"""Layers as the difference of two trees, and images that aibox writes itself."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from aibox import imagelayer
from aibox.errors import AiboxError
from aibox.imagelayer import Layer


class Entry:
    """A file, folder or link of a tree."""

    def __init__(self, kind: bytes = tarfile.REGTYPE, content: str = "", mode: int = 0o644, uid: int = 0) -> None:
        self.kind, self.content, self.mode, self.uid = kind, content, mode, uid


def folder() -> Entry:
    return Entry(tarfile.DIRTYPE, mode=0o755)


def link(target: str) -> Entry:
    return Entry(tarfile.SYMTYPE, target)


def hard(target: str) -> Entry:
    return Entry(tarfile.LNKTYPE, target)


def write(path: Path, tree: dict[str, Entry], *, time: int = 1) -> str:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, entry in tree.items():
            info = tarfile.TarInfo(f"./{name}")
            info.type, info.mode, info.uid, info.mtime = entry.kind, entry.mode, entry.uid, time
            if entry.kind == tarfile.REGTYPE:
                info.size = len(entry.content)
                tar.addfile(info, io.BytesIO(entry.content.encode()))
            else:
                info.linkname = f"./{entry.content}" if entry.kind == tarfile.LNKTYPE else entry.content
                tar.addfile(info)
    return str(path)


def state(*archives: str) -> dict[str, tuple[bytes, str, int, int]]:
    """What a tree holds after its layers were laid over one another, as an engine lays them."""
    found: dict[str, tuple[bytes, str, int, int]] = {}
    for archive in archives:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                above, _, last = name.rpartition("/")
                if last.startswith(".wh."):
                    gone = f"{above}/{last[4:]}" if above else last[4:]
                    found = {
                        key: value for key, value in found.items() if key != gone and key[: len(gone) + 1] != f"{gone}/"
                    }
                    continue
                if member.islnk():
                    found[name] = found[member.linkname.removeprefix("./")]
                    continue
                content = tar.extractfile(member) if member.isreg() else None
                text = content.read().decode() if content else member.linkname
                found[name] = (member.type, text, member.mode, member.uid)
    return found


OLD = {
    "usr": folder(), "usr/a": Entry(content="same"), "usr/b": Entry(content="old"), "usr/gone": folder(),
    "usr/gone/deep": Entry(content="x"), "usr/link": link("a"), "usr/mode": Entry(content="m"),
    "usr/owner": Entry(content="o"), "usr/pair1": Entry(content="p"), "usr/pair2": hard("usr/pair1"), "etc": folder(),
    "etc/hosts": Entry(content="engine's"),
}  # fmt: skip
NEW = {
    "etc": folder(), "etc/hosts": Entry(content="other"), "dev": folder(), "dev/null": Entry(tarfile.CHRTYPE),
    "usr": folder(), "usr/a": Entry(content="same"), "usr/b": Entry(content="new"), "usr/link": link("b"),
    "usr/mode": Entry(content="m", mode=0o755), "usr/owner": Entry(content="o", uid=7), "usr/pair2": Entry(content="p"),
    "usr/pair1": hard("usr/pair2"), "usr/third": hard("usr/pair2"), "usr/x": folder(), "usr/x/z": Entry(content="z"),
    "usr/x/y": hard("usr/x/z"),
}  # fmt: skip


def test_the_layer_makes_the_new_tree_of_the_old(tmp_path: Path) -> None:
    before, after = write(tmp_path / "before", OLD), write(tmp_path / "after", NEW, time=9)
    layer = imagelayer.difference(before, after, str(tmp_path / "layer"))
    ours = {name for name in NEW if name.partition("/")[0] != "dev" and name != "etc/hosts"}
    assert {name: value for name, value in state(before, layer.path).items() if name != "etc/hosts"} == {
        name: value for name, value in state(after).items() if name in ours
    }
    with tarfile.open(layer.path) as tar:
        assert tar.getnames() == [
            "usr/.wh.gone", "usr/b", "usr/link", "usr/mode", "usr/owner", "usr/third", "usr/x", "usr/x/y", "usr/x/z"
        ]  # fmt: skip
        assert tar.getmember("usr/third").isreg(), "a link cannot reach into the layer below"
        assert tar.getmember("usr/x/z").islnk(), "two names of one file stay so within a layer"
    assert layer.digest == hashlib.sha256((tmp_path / "layer").read_bytes()).hexdigest()
    assert layer.entries == 9


def test_the_same_trees_give_the_same_bytes(tmp_path: Path) -> None:
    before, after = write(tmp_path / "before", OLD), write(tmp_path / "after", NEW)
    other = write(
        tmp_path / "other",
        dict(reversed(OLD.items())) | {"usr/pair2": OLD["usr/pair1"], "usr/pair1": hard("usr/pair2")},
    )
    first = imagelayer.difference(before, after, str(tmp_path / "1"))
    assert imagelayer.difference(other, after, str(tmp_path / "2")).digest == first.digest
    assert imagelayer.difference(after, after, str(tmp_path / "3")).entries == 0


def test_a_whole_tree_without_device_files(tmp_path: Path) -> None:
    tree = write(tmp_path / "tree", NEW)
    layer = imagelayer.plain(tree, str(tmp_path / "layer"))
    assert state(layer.path) == {name: value for name, value in state(tree).items() if name != "dev/null"}


def test_an_archive_and_back(tmp_path: Path) -> None:
    layers = [
        imagelayer.plain(write(tmp_path / "1", OLD), str(tmp_path / "l1")),
        imagelayer.plain(write(tmp_path / "2", NEW), str(tmp_path / "l2")),
    ]
    config = imagelayer.configuration("amd64", 86400, {"User": "1000:1000"})
    for layer in layers:
        config = imagelayer.with_layer(config, layer, "a layer", 86400)
    first = imagelayer.write(str(tmp_path / "image"), "localhost/x:1", config, layers)
    assert imagelayer.write(str(tmp_path / "again"), "localhost/x:1", config, layers) == first
    assert (tmp_path / "image").read_bytes() == (tmp_path / "again").read_bytes()
    found, there = imagelayer.opened(str(tmp_path / "image"), str(tmp_path))
    assert (found, [one.digest for one in there]) == (config, [one.digest for one in layers])
    assert hashlib.sha256(json.dumps(config, sort_keys=True, separators=(",", ":")).encode()).hexdigest() == first
    assert found["created"] == "1970-01-02T00:00:00Z"


def test_layers_that_are_not_those_of_the_configuration(tmp_path: Path) -> None:
    layer = imagelayer.plain(write(tmp_path / "1", OLD), str(tmp_path / "l1"))
    config = imagelayer.with_layer(imagelayer.configuration("amd64", 0, {}), layer._replace(digest="0" * 64), "x", 0)
    imagelayer.write(str(tmp_path / "image"), "localhost/x:1", config, [layer])
    with pytest.raises(AiboxError) as caught:
        imagelayer.opened(str(tmp_path / "image"), str(tmp_path))
    assert caught.value.code == "engine-garbage"
    (tmp_path / "none").write_bytes(b"no archive")
    with pytest.raises(AiboxError):
        imagelayer.opened(str(tmp_path / "none"), str(tmp_path))
    assert Layer("", "", 0).entries == 0
