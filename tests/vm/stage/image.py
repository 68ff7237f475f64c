"""A small base image for the guest: aibox's own recipe without its tools, because the emulator takes minutes to load
the whole one. It is written as a Docker archive, which `podman load` reads, and kept in the cache."""

import fcntl
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from settings import CACHE, ROOT

PACKAGES = ("bash", "passwd", "perl-base", "procps", "python3", "util-linux")
NAME = "localhost/aibox/base:24.04"


def script() -> str:
    """aibox's set-up of the base image, without what needs a tool that is left out."""
    lines = (ROOT / "data" / "base-setup.sh").read_text().splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(("git ", "ln ")))


def archive() -> Path:
    """The image's archive, made if there is none for this recipe."""
    parts = (*PACKAGES, script(), Path(__file__).read_text())
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    (CACHE / "vm").mkdir(parents=True, exist_ok=True)
    target = CACHE / "vm" / f"image-{name}.tar"
    with open(CACHE / "vm" / "lock", "w") as lock:
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
