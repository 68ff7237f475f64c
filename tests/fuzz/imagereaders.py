"""What images say of themselves, and archives of images and of their files that engines wrote."""

import io
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

from material import as_bytes, damaged, lines
from rows import Reader, reading

from aibox import imagefiles, imagelayer, jsonview, sbom

STATUS = """Package: git
Status: install ok installed
Maintainer: A Person <a@example.org>
Architecture: amd64
Source: git-core (1:2)
Version: 1:2.47.3-0+deb13u1
Description: x
 more

Package: vim
Status: deinstall ok config-files
"""
SUMS = f"git amd64 1:2.47.3-0+deb13u1 {'0' * 64}\n"
COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
License: GPL-2+ or Expat, and BSD-3-clause
 text
"""
FILES = {imagefiles.STATUS: STATUS, imagefiles.SUMS: SUMS, f"{imagefiles.DOCS}/git/copyright": COPYRIGHT}


def _packages(content: bytes) -> str:
    """Each file in turn is what was made of it, the others are whole."""
    given, made = content.decode("utf-8", "replace"), ""
    for name in FILES:
        packages = imagefiles.packages({**FILES, name: given})
        subject = sbom.Subject(given[:20], "0" * 64, "1970-01-01T00:00:00Z", given[:9], given[-9:], "aibox")
        made = jsonview.dump(sbom.document(subject, packages))
    return made


def _copied() -> bytes:
    """As an engine copies files out of a container."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content.encode()))
        link = tarfile.TarInfo(f"{imagefiles.DOCS}/git-doc")
        link.type, link.linkname = tarfile.SYMTYPE, "git"
        tar.addfile(link)
    return made.getvalue()


def _saved() -> bytes:
    """As an engine saves an image."""
    with tempfile.TemporaryDirectory() as folder:
        tree, layer, archive = (f"{folder}/{name}" for name in ("tree", "layer", "archive"))
        Path(tree).write_bytes(COPIED)
        made = imagelayer.plain(tree, layer)
        config = imagelayer.with_layer(imagelayer.configuration("amd64", 0, {}), made, "x", 0)
        imagelayer.write(archive, "localhost/x:1", config, [made])
        return Path(archive).read_bytes()


def _archive(read: Callable[[str, str], object]) -> Callable[[bytes], object]:
    def act(content: bytes) -> object:
        with tempfile.TemporaryDirectory() as folder:
            Path(f"{folder}/archive").write_bytes(content)
            return read(f"{folder}/archive", folder)

    return act


def _damaged(whole: bytes) -> Callable[[Random], bytes]:
    return lambda rng: damaged(rng, whole)


COPIED = _copied()
SAVED = _saved()
READERS = (
    Reader("lists of packages in an image", ("sbom",),
           reading(as_bytes(lines(STATUS, SUMS, COPYRIGHT)), _packages), (), 4),
    Reader("files that an engine copied", ("imagefiles",),
           reading(_damaged(COPIED), _archive(lambda path, _: imagefiles.texts_of(path))), ("engine-garbage",), 2),
    Reader("images that an engine saved", ("imagelayer",),
           reading(_damaged(SAVED), _archive(imagelayer.opened)), ("engine-garbage",), 2),
)  # fmt: skip
