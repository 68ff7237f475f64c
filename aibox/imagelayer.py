"""Image archives that aibox writes itself (`docker save`'s format), so that the same files give the same image id.

A layer is what differs between two trees of files, both as tar archives; times do not count as a difference.
Sources: Docker's image specification 1.2 (archive, whiteouts), tar(5).
"""

import hashlib
import json
import os
import tarfile
import time
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, cast

from aibox import jsonview
from aibox.errors import AiboxError
from aibox.jsonview import Json
from aibox.state import sha256_file

PIECE = 1 << 20
# what engines put into every container, and what a kernel shows there
NOT_OURS = ("dev", "proc", "sys", "run", "tmp", ".dockerenv", "etc/hostname", "etc/hosts", "etc/resolv.conf",
            "etc/machine-id", "etc/mtab")  # fmt: skip
_XATTR = "SCHILY.xattr."


class Layer(NamedTuple):
    """A layer's tar archive and the SHA-256 of its bytes; `entries` counts its files, folders and links."""

    path: str
    digest: str
    entries: int


class _Seen(NamedTuple):
    """What tells one version of a file from another."""

    kind: bytes
    mode: int
    owner: tuple[int, int]
    target: str
    content: str
    xattrs: tuple[tuple[str, str], ...]


def plain(tree: str, output: str) -> Layer:
    """Write a whole tree as a layer, with an empty /dev: a box has its own, and without root nobody makes devices."""
    entries = 0
    with tarfile.open(tree) as tar, tarfile.open(output, "w", format=tarfile.PAX_FORMAT) as layer:
        members = _members(tar)
        written: dict[str, str] = {}
        for name in members:
            if name and not name.startswith("dev/"):
                _add(layer, tar, members, name, written)
                entries += 1
    return Layer(output, sha256_file(output), entries)


def difference(before: str, after: str, output: str) -> Layer:
    """Write the layer that makes the tree `after` of the tree `before`."""
    with tarfile.open(before) as old, tarfile.open(after) as new, open(output, "wb") as file:
        had, has = dict(_tree(old)), dict(_tree(new))
        members = _members(new)
        with tarfile.open(fileobj=cast("BinaryIO", file), mode="w", format=tarfile.PAX_FORMAT) as layer:
            entries = 0
            for name in _gone(had, has):
                folder, _, last = name.rpartition("/")
                layer.addfile(_mode_of_files(tarfile.TarInfo(f"{folder}/.wh.{last}" if folder else f".wh.{last}")))
                entries += 1
            written: dict[str, str] = {}
            for name in sorted(has):
                if had.get(name) != has[name]:
                    _add(layer, new, members, name, written)
                    entries += 1
    return Layer(output, sha256_file(output), entries)


def _gone(had: dict[str, _Seen], has: dict[str, _Seen]) -> Iterator[str]:
    """What is no more; of a folder that is gone with all in it, the folder alone."""
    for name in sorted(had.keys() - has.keys()):
        folder = name.rpartition("/")[0]
        if not folder or folder in has:
            yield name


def _members(tar: tarfile.TarFile) -> dict[str, tarfile.TarInfo]:
    return {_name(member.name): member for member in tar.getmembers()}


def _name(path: str) -> str:
    return path.removeprefix("./").strip("/")


def _tree(tar: tarfile.TarFile) -> Iterator[tuple[str, _Seen]]:
    members = _members(tar)
    for name, member in members.items():
        if not name or name == "." or name in NOT_OURS or name.partition("/")[0] in NOT_OURS:
            continue
        real = _real(members, member)
        content = _content_sum(tar, real) if real.isreg() else ""
        # a hard link is the file that it names: which of them comes first in an archive says nothing
        target = real.linkname if real.issym() else ""
        xattrs = tuple(sorted((key, value) for key, value in real.pax_headers.items() if key.startswith(_XATTR)))
        yield name, _Seen(real.type, real.mode, (real.uid, real.gid), target, content, xattrs)


def _real(members: dict[str, tarfile.TarInfo], member: tarfile.TarInfo) -> tarfile.TarInfo:
    return members[_name(member.linkname)] if member.islnk() else member


def _content_sum(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    content = tar.extractfile(member)
    digest = hashlib.sha256()
    while content and (piece := content.read(PIECE)):
        digest.update(piece)
    return digest.hexdigest()


def _add(
    layer: tarfile.TarFile,
    tar: tarfile.TarFile,
    members: dict[str, tarfile.TarInfo],
    name: str,
    written: dict[str, str],
) -> None:
    """Add one entry; `written` names, for each file with content, the first of its names in this layer."""
    real = _real(members, members[name])
    info = tarfile.TarInfo(name)
    info.mode, info.uid, info.gid, info.mtime = real.mode, real.uid, real.gid, int(real.mtime)
    info.type, info.linkname, info.devmajor, info.devminor = real.type, real.linkname, real.devmajor, real.devminor
    info.pax_headers = {key: value for key, value in real.pax_headers.items() if key.startswith(_XATTR)}
    if not real.isreg():
        layer.addfile(info)
        return
    # a link cannot reach a file in a layer below: each layer holds the content itself, under the first of its names
    first = written.setdefault(real.name, name)
    if first != name:
        info.type, info.linkname = tarfile.LNKTYPE, first
        layer.addfile(info)
        return
    info.size = real.size
    layer.addfile(info, tar.extractfile(real))


def _mode_of_files(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.mode = 0o644
    return info


# The archive


def configuration(machine: str, epoch: int, changes: dict[str, Json]) -> dict[str, Json]:
    """An image's configuration without layers; `changes` is what its containers get."""
    return {
        "architecture": machine,
        "config": changes,
        "created": _time(epoch),
        "history": [],
        "os": "linux",
        "rootfs": {"diff_ids": [], "type": "layers"},
    }


def with_layer(config: dict[str, Json], layer: Layer, comment: str, epoch: int) -> dict[str, Json]:
    """The configuration with one more layer."""
    line: Json = {"comment": comment, "created": _time(epoch), "created_by": "aibox image build"}
    diffs = [*jsonview.items(config, "rootfs", "diff_ids"), f"sha256:{layer.digest}"]
    history = [*jsonview.items(config, "history"), line]
    return {**config, "created": _time(epoch), "history": history, "rootfs": {"diff_ids": diffs, "type": "layers"}}


def _time(epoch: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))


def opened(archive: str, folder: str) -> tuple[dict[str, Json], list[Layer]]:
    """The configuration and the layers of an archive that an engine wrote; the layers go to `folder`.

    Raises engine-garbage.
    """
    try:
        with tarfile.open(archive) as tar:
            listed = jsonview.dig(jsonview.parse(_file(tar, "manifest.json").read(PIECE)), 0)
            config = jsonview.fields(jsonview.parse(_file(tar, jsonview.text(listed, "Config")).read(PIECE)))
            layers = []
            for number, name in enumerate(jsonview.texts(listed, "Layers")):
                path = f"{folder}/below-{number}.tar"
                digest = hashlib.sha256()
                content = _file(tar, name)
                with open(path, "wb") as file:
                    while piece := content.read(PIECE):
                        digest.update(piece)
                        file.write(piece)
                layers.append(Layer(path, digest.hexdigest(), 0))
    except (tarfile.TarError, ValueError, KeyError) as error:
        raise AiboxError("engine-garbage", "the engine saved no image that aibox can read", why=str(error)) from error
    wanted = jsonview.texts(config, "rootfs", "diff_ids")
    if [f"sha256:{layer.digest}" for layer in layers] != wanted or not wanted:
        raise AiboxError("engine-garbage", "the engine saved an image whose layers are not those it names")
    return config, layers


def _file(tar: tarfile.TarFile, name: str) -> BinaryIO:
    member = tar.getmember(name)
    found = tar.extractfile(member)  # follows the links that Podman writes
    if found is None:
        raise KeyError(name)
    return cast("BinaryIO", found)


def write(output: str, reference: str, config: dict[str, Json], layers: list[Layer]) -> str:
    """Write the archive for `load`; returns the image's id."""
    content = json.dumps(config, sort_keys=True, separators=(",", ":")).encode()
    identifier = hashlib.sha256(content).hexdigest()
    names: list[Json] = [f"{layer.digest}.tar" for layer in layers]
    listed: Json = [{"Config": f"{identifier}.json", "Layers": names, "RepoTags": [reference]}]
    with tarfile.open(output, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in (("manifest.json", json.dumps(listed).encode()), (f"{identifier}.json", content)):
            _put(tar, name, data)
        for layer in {one.digest: one for one in layers}.values():
            info = _mode_of_files(tarfile.TarInfo(f"{layer.digest}.tar"))
            info.size = os.path.getsize(layer.path)
            with open(layer.path, "rb") as file:
                tar.addfile(info, file)
    return identifier


def _put(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    import io

    info = _mode_of_files(tarfile.TarInfo(name))
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))
