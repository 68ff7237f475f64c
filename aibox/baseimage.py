"""The local base image: where it comes from when no registry has one. Pure recipes; `setupsteps` runs them.

A container build is used where a distribution's image can be pulled, a bootstrap of Debian packages (mmdebstrap(1))
otherwise. Both install the same packages and run the same script.
"""

import hashlib
from typing import NamedTuple

from aibox import assets, imagevariants
from aibox.model import Engine

LOCAL_IMAGE = imagevariants.LOCAL_IMAGE
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


def recipe(more: tuple[str, ...] = ()) -> str:
    """The SHA-256 of what decides how the image is built, in hex; the packages' own versions are no part of it.

    `more` names the packages of the layers above the base image.
    """
    files = (assets.read(name) for name in (PACKAGES, SETUP, BUILD_FILE))
    return hashlib.sha256(b"\0".join((*files, *(name.encode() for name in more)))).hexdigest()


class Archive(NamedTuple):
    """Where packages come from: another mirror than the distribution's own, and a file that pins versions, if any."""

    mirror: str = ""
    pins: str = ""


ARCHIVE = Archive()


def _steps(
    program: str, start: Origin, script: str, output: str, archive: Archive, *, root: bool, variant: str
) -> tuple[list[str], list[str]]:
    """What every mmdebstrap command begins and ends with; without root it works in a user namespace of its own."""
    pins = archive.pins
    first = [
        program,
        f"--mode={'root' if root else 'unshare'}",
        f"--variant={variant}",
        f"--components={start.components}",
        f"--keyring={start.keyring}",
        '--aptopt=APT::Install-Recommends "false"',
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    ]
    last = [
        f"--customize-hook=copy-in {script} /tmp",
        f'--customize-hook=chroot "$1" sh /tmp/{SETUP}{"" if variant == "minbase" else " layer"}',
        f'--customize-hook=rm "$1/tmp/{SETUP}"',
    ]
    if pins:
        name = f"/etc/apt/preferences.d/{pins.rpartition('/')[2]}"
        first.append(f"--setup-hook=copy-in {pins} /etc/apt/preferences.d")
        last.append(f'--customize-hook=rm "$1{name}"')
    return first, [*last, start.suite, output, *([archive.mirror] if archive.mirror else [])]


def bootstrap(
    program: str, start: Origin, script: str, output: str, archive: Archive = ARCHIVE, *, root: bool
) -> list[str]:
    """The mmdebstrap command that writes the image's files to the tar archive `output`.

    `script` is a copy of the set-up script on the host, like the file of pins.
    """
    first, last = _steps(program, start, script, output, archive, root=root, variant="minbase")
    return [*first, f"--include={','.join(packages())}", *last]


def extend(
    program: str, start: Origin, script: str, trees: tuple[str, str], archive: Archive = ARCHIVE,
    *, wanted: tuple[str, ...], root: bool,
) -> list[str]:  # fmt: skip
    """The mmdebstrap command that makes the second tree (a tar archive) of the first by installing packages."""
    first, last = _steps(program, start, script, trees[1], archive, root=root, variant="custom")
    install = ["apt-get", "--yes", "--quiet", '-oDPkg::Chroot-Directory="$1"', "-oDPkg::Options::=--force-unsafe-io"]
    return [
        *first,
        f"--setup-hook=tar-in {trees[0]} /",
        # Java's packages make links there, although manual pages are left out
        '--setup-hook=mkdir -p "$1/usr/share/man/man1"',
        f"--customize-hook=APT_CONFIG=$MMDEBSTRAP_APT_CONFIG {' '.join(install)} install {' '.join(wanted)}",
        *last,
    ]


def layers_file(layers: list[tuple[str, ...]]) -> str:
    """The container build file that adds layers of packages to an image of this recipe."""
    steps = [
        "RUN mkdir -p /usr/share/man/man1 && apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes"
        f" --no-install-recommends {' '.join(names)} && sh /tmp/{SETUP} layer"
        for names in layers
    ]
    lines = ["ARG BASE", "FROM ${BASE}", "USER 0:0", f"COPY {SETUP} /tmp/", *steps, f"RUN rm /tmp/{SETUP}"]
    return "\n".join([*lines, "USER 1000:1000", ""])


def build(engine: Engine, base: str, folder: str, name: str) -> list[str]:
    """The engine command that builds an image from the container build file in `folder`."""
    limits = ["--ulimit", "nofile=1024:1024"]
    pull = "never" if engine.kind == "podman" else "false"
    return [
        *engine.argv, "build", f"--pull={pull}", *limits, "--build-arg", f"BASE={base}",
        "--file", f"{folder}/{BUILD_FILE}", "--tag", name, folder,
    ]  # fmt: skip
