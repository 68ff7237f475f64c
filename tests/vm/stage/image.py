"""A small base image for the guest: aibox's own recipe without its tools, so that the emulator has less to copy.

It is written as a Docker archive and kept in the cache; outside, Podman makes a storage of it, which the guest's disk
brings along: loading the archive inside takes two minutes for each user.
"""

import fcntl
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import storecopy
from machines import STORE
from settings import CACHE, ROOT

PACKAGES = ("bash", "passwd", "perl-base", "procps", "python3", "util-linux")
NAME = "localhost/aibox/base:24.04"


def script() -> str:
    """aibox's set-up of the base image, without what needs a tool that is left out."""
    lines = (ROOT / "data" / "base-setup.sh").read_text().splitlines(keepends=True)
    return "".join(line for line in lines if not line.lstrip().startswith(("git ", "ln ")))


def digest() -> str:
    """Names the recipe."""
    parts = (*PACKAGES, script(), Path(__file__).read_text(), Path(storecopy.__file__).read_text())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def archive() -> Path:
    """The image's archive, made if there is none for this recipe."""
    (CACHE / "vm").mkdir(parents=True, exist_ok=True)
    target = CACHE / "vm" / f"image-{digest()}.tar"
    with open(CACHE / "vm" / "image.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=CACHE / "vm") as scratch:
                build(Path(scratch))
                shutil.move(Path(scratch) / "image.tar", target)
    return target


def build(scratch: Path) -> None:
    """mmdebstrap makes the one layer; the rest is what the archive format asks for."""
    (scratch / "setup.sh").write_text(script())
    layer = scratch / "layer.tar"
    command = [
        "mmdebstrap", "--variant=essential", "--components=main", f"--include={','.join(PACKAGES)}",
        "--keyring=/usr/share/keyrings/debian-archive-keyring.gpg",
        "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*", f"--customize-hook=copy-in {scratch}/setup.sh /tmp",
        '--customize-hook=chroot "$1" sh /tmp/setup.sh', '--customize-hook=rm "$1/tmp/setup.sh"',
        "trixie", str(layer), "http://deb.debian.org/debian",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-3000:]
    digest = hashlib.sha256(layer.read_bytes()).hexdigest()
    config = {
        "architecture": "amd64", "os": "linux", "created": "1970-01-01T00:00:00Z",
        "config": {"User": "1000:1000", "WorkingDir": "/workspace", "Env": ["LANG=C.UTF-8"], "Cmd": ["/bin/bash"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]}, "history": [{"created_by": "tests"}],
    }  # fmt: skip
    raw = json.dumps(config).encode()
    name = f"{hashlib.sha256(raw).hexdigest()}.json"
    manifest = json.dumps([{"Config": name, "RepoTags": [NAME], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(scratch / "image.tar", "w") as tar:
        for member, content_of in ((name, raw), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(member)
            entry.size = len(content_of)
            tar.addfile(entry, io.BytesIO(content_of))
        tar.add(layer, "layer.tar")


def storages(root: Path, users: dict[str, int]) -> None:
    """Put the image into the storages of a guest's root folder: root's, each user's, and one for the engine tests."""
    with tempfile.TemporaryDirectory(dir=CACHE / "vm") as scratch:
        made = Path(scratch) / "storage"
        podman = ["podman", "--root", str(made), "--runroot", f"{scratch}/run", "--storage-driver", "overlay"]
        load = [*podman, "load", "--quiet", "--input", str(archive())]
        subprocess.run(load, check=True, timeout=300, stdout=subprocess.DEVNULL)
        storecopy.copy(made, root / "var/lib/containers/storage")
        storecopy.copy(made, root / STORE.relative_to("/"))
        first = dict(line.split(":")[:2] for line in (root / "etc/subuid").read_text().splitlines())
        for user, uid in users.items():
            place = root / "home" / user
            for part in (".local", "share", "containers"):
                place /= part
                place.mkdir(exist_ok=True)
                os.chown(place, uid, uid)
            storecopy.copy(made, place / "storage", uid, int(first[user]))
