"""The local base image: where it comes from when no registry has one. Pure recipes; `setupsteps` runs them.

A container build is used where a distribution's image can be pulled, a bootstrap of Debian packages (mmdebstrap(1))
otherwise. Both install the same packages and run the same script.
"""

import hashlib
from typing import NamedTuple

from aibox import assets
from aibox.model import Engine

LOCAL_IMAGE = "localhost/aibox/base:24.04"
PACKAGES = "base-packages.txt"
SETUP = "base-setup.sh"
BUILD_FILE = "Containerfile"
PULL_SECONDS = 25.0
BUILD_SECONDS = 900.0


class Origin(NamedTuple):
    """What to build from on one distribution: a registry's image, and a suite with its keyring for the bootstrap."""

    base: str
    suite: str
    components: str
    keyring: str


ORIGINS = {
    "debian": Origin(
        "docker.io/library/debian:trixie-slim", "trixie", "main", "/usr/share/keyrings/debian-archive-keyring.gpg"
    ),
    "ubuntu": Origin(
        "docker.io/library/ubuntu:24.04", "noble", "main,universe", "/usr/share/keyrings/ubuntu-archive-keyring.gpg"
    ),
}
ELSEWHERE = Origin("docker.io/library/debian:trixie-slim", "", "", "")


def origin(distribution: str) -> Origin:
    """The origin for a host's distribution (os-release's ID); without a suite it cannot be bootstrapped there."""
    return ORIGINS.get(distribution, ELSEWHERE)


def packages() -> list[str]:
    """The packages of the base image."""
    return [line for line in assets.text(PACKAGES).split("\n") if line and not line.startswith("#")]


def recipe() -> str:
    """The SHA-256 of what decides how the image is built, in hex; the packages' own versions are no part of it."""
    return hashlib.sha256(b"\0".join(assets.read(name) for name in (PACKAGES, SETUP, BUILD_FILE))).hexdigest()


def bootstrap(program: str, start: Origin, script: str, output: str, *, root: bool) -> list[str]:
    """The mmdebstrap command that writes the image's files to the tar archive `output`.

    `script` is a copy of the set-up script on the host. Without root it works in a user namespace of its own.
    """
    return [
        program,
        f"--mode={'root' if root else 'unshare'}",
        "--variant=minbase",
        f"--components={start.components}",
        f"--keyring={start.keyring}",
        f"--include={','.join(packages())}",
        '--aptopt=APT::Install-Recommends "false"',
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        f"--customize-hook=copy-in {script} /tmp",
        f'--customize-hook=chroot "$1" sh /tmp/{SETUP}',
        f'--customize-hook=rm "$1/tmp/{SETUP}"',
        start.suite,
        output,
    ]


def import_archive(engine: Engine, archive: str) -> list[str]:
    """The engine command that makes an image of the archive."""
    changes = ("USER 1000:1000", "WORKDIR /workspace", "ENV LANG=C.UTF-8", 'CMD ["/bin/bash"]')
    flags = [part for change in changes for part in ("--change", change)]
    quiet = ["--quiet"] if engine.kind == "podman" else []
    return [*engine.argv, "import", *quiet, *flags, "--message", "aibox base image", archive, LOCAL_IMAGE]


def build(engine: Engine, start: Origin, folder: str) -> list[str]:
    """The engine command that builds the image from the container build file in `folder`."""
    limits = ["--ulimit", "nofile=1024:1024"]
    pull = "never" if engine.kind == "podman" else "false"
    return [
        *engine.argv, "build", f"--pull={pull}", *limits, "--build-arg", f"BASE={start.base}",
        "--file", f"{folder}/{BUILD_FILE}", "--tag", LOCAL_IMAGE, folder,
    ]  # fmt: skip
