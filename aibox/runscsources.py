"""Where runsc can come from, in the order in which `aibox setup` tries: each source yields candidates or says why not.

A candidate counts only after it started a box (see probe.py); nothing is concluded from a version.
Sources: https://gvisor.dev/docs/user_guide/install/, apt-get(8), sources.list(5).
"""

import hashlib
import os
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from aibox import download, runner, state
from aibox.download import CONNECT_SECONDS
from aibox.errors import AiboxError
from aibox.facts import HostFacts
from aibox.model import COMPANION
from aibox.runtimefiles import program_digest, program_files
from aibox.state import Paths

RELEASES = "https://storage.googleapis.com/gvisor/releases/release/latest"
ARCHIVE = "gvisor.tar.bz2"  # releases since September 2026; earlier ones have a bare `runsc`
DOWNLOAD_SECONDS = 300.0
APT_SECONDS = 180.0
LARGEST = 1 << 30
FIX = "aibox setup --runsc FILE"
PROGRAM_MODE = 0o755
NEWER_SUITE = {"12": "trixie"}  # Debian releases whose own runsc has no systrap, and the suite whose package runs there
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SYSTRAP_SINCE = 20230800  # packages name a date; older ones have no systrap platform, so fetching them is pointless


class Source(NamedTuple):
    """One source: what it is called, and a function that returns the paths of candidates.

    The function raises AiboxError where the source is out of reach or does not apply here.
    """

    name: str
    title: str
    find: Callable[[], list[str]]


class Where(NamedTuple):
    """What the sources need to know."""

    host: HostFacts
    paths: Paths
    env: Mapping[str, str]
    configured: str
    given: str
    root: bool
    said: Callable[[str], None] = lambda _text: None


def sources(where: Where) -> list[Source]:
    """The sources for this host. A program that was named on the command line or configured is the only one."""
    if where.given:
        return [Source("given", f"the program {where.given}", lambda: _named(where.given, "--runsc"))]
    if where.configured:
        return [Source("configured", f"the program {where.configured}", lambda: _named(where.configured, "runsc_path"))]
    return [
        Source("present", "a runsc that is already there", lambda: present(where)),
        Source("package", "the distribution's package", lambda: distribution_package(where)),
        Source("release", "gVisor's own release", lambda: release(where)),
        Source("newer-package", "the package of the next Debian release", lambda: newer_package(where)),
    ]


def _named(path: str, how: str) -> list[str]:
    real = os.path.realpath(path)
    if not os.path.isfile(real) or not os.access(real, os.X_OK):
        raise AiboxError(
            "runtime-missing",
            f"{path}, named by {how}, is not a program",
            why="it is missing or not executable",
            fix=f"chmod +x {path}, or name another one",
        )
    return [real]


def present(where: Where) -> list[str]:
    """Programs in the system's folders and in aibox's own."""
    found = [program] if (program := runner.find_program("runsc")) else []
    for folder in dict.fromkeys((f"{where.paths.data}/runsc", "/var/lib/aibox/runsc")):
        try:
            kept = sorted(os.listdir(folder), key=lambda name: -os.stat(f"{folder}/{name}").st_mtime)
        except OSError:
            continue
        found += [path for name in kept if os.access(path := f"{folder}/{name}/runsc", os.X_OK)]
    if not found:
        raise _out_of_reach(f"no runsc in {runner.SYSTEM_PATH}")
    return found


def distribution_package(where: Where) -> list[str]:
    """The package `runsc` of Debian or Ubuntu, fetched and verified by apt, unpacked into aibox's own folder."""
    apt = _apt(where)
    result = runner.run(["/usr/bin/apt-cache", "policy", "runsc"], timeout=30, env=where.env)
    version = next((line.split()[-1] for line in result.text().splitlines() if "Candidate:" in line), "(none)")
    if version == "(none)":
        raise _out_of_reach(f"{where.host.distribution} {where.host.release} has no package runsc")
    if _date(version) < SYSTRAP_SINCE:
        raise _out_of_reach(f"runsc {version} is older than the systrap platform")
    return [_unpack_package(where, [apt])]


def newer_package(where: Where) -> list[str]:
    """Debian 13's package on Debian 12: apt verifies it with the host's own keyring, in folders of its own."""
    apt = _apt(where)
    suite = NEWER_SUITE.get(where.host.release) if where.host.distribution == "debian" else None
    if suite is None:
        raise _out_of_reach(f"not needed on {where.host.distribution} {where.host.release}")
    with tempfile.TemporaryDirectory(prefix="aibox-apt-") as folder:
        for name in ("lists/partial", "cache/archives/partial"):
            os.makedirs(f"{folder}/{name}")
        sources_list = f"{folder}/sources.list"
        line = f"deb [signed-by={KEYRING}] http://deb.debian.org/debian {suite} main\n"
        state.write_atomically(sources_list, line.encode(), 0o644)
        options = [
            f"Dir::Etc::SourceList={sources_list}",
            "Dir::Etc::SourceParts=/dev/null",
            f"Dir::State::Lists={folder}/lists",
            f"Dir::Cache={folder}/cache",
            f"Acquire::http::Timeout={CONNECT_SECONDS:.0f}",
            "APT::Sandbox::User=root",
        ]
        command = [apt, *(part for option in options for part in ("-o", option))]
        runner.checked(runner.run([*command, "update", "-qq"], timeout=APT_SECONDS, env=where.env))
        return [_unpack_package(where, command)]


def release(where: Where) -> list[str]:
    """gVisor's newest release: the archive with its companion folder, or the bare program of earlier ones."""
    base = f"{RELEASES}/{where.host.machine}"
    deadline = time.monotonic() + DOWNLOAD_SECONDS
    with tempfile.TemporaryDirectory(prefix="aibox-runsc-") as folder:
        try:
            archive = _download_verified(f"{base}/{ARCHIVE}", folder, deadline, where.said)
            unpack_release(archive, folder)
        except FileNotFoundError:
            try:
                os.chmod(_download_verified(f"{base}/runsc", folder, deadline, where.said), PROGRAM_MODE)
            except FileNotFoundError:
                raise _out_of_reach(f"{base} holds neither {ARCHIVE} nor runsc") from None
        return [keep(where.paths, f"{folder}/runsc")]


def _download_verified(url: str, folder: str, deadline: float, said: Callable[[str], None]) -> str:
    """Download `url` and compare it with its published SHA-512. Raises FileNotFoundError if it is not there."""
    expected = _fetch(f"{url}.sha512", f"{folder}/sum", deadline, said)
    with open(expected, encoding="ascii", errors="replace") as file:
        wanted = file.read(4096).split()[:1]
    path = _fetch(url, f"{folder}/{os.path.basename(url)}", deadline, said)
    digest = hashlib.sha512()
    with open(path, "rb") as data:
        while piece := data.read(1 << 20):
            digest.update(piece)
    if wanted != [digest.hexdigest()]:
        raise AiboxError(
            "runtime-tampered",
            f"{url} does not have its published SHA-512",
            why="the download was damaged or exchanged",
            fix="try again, or name a program you trust: aibox setup --runsc FILE",
        )
    return path


def _fetch(url: str, path: str, deadline: float, said: Callable[[str], None]) -> str:
    limits = download.Limits(deadline, LARGEST, CONNECT_SECONDS)
    return download.fetch(url, path, limits, said, code="runtime-missing", fix=FIX)


def unpack_release(archive: str, folder: str) -> None:
    """Take `runsc` and the companion folder's programs out of a release archive, by name and never by its paths.

    Raises runtime-missing for a file that is no such archive.
    """
    try:
        _unpack(archive, folder)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise _out_of_reach(f"{archive} cannot be unpacked: {str(error).partition(chr(10))[0]}") from error
    if not os.path.exists(f"{folder}/runsc"):
        raise _out_of_reach(f"{archive} holds no runsc")


def _unpack(archive: str, folder: str) -> None:
    with tarfile.open(archive) as tar:
        for member in tar:
            parts = [part for part in member.name.split("/") if part not in ("", ".")]
            wanted = parts[-1:] == ["runsc"] or parts[-2:-1] == [COMPANION]
            content = tar.extractfile(member) if wanted and member.isreg() and ".." not in parts else None
            if content is None:
                continue
            path = f"{folder}/runsc" if parts[-1] == "runsc" else f"{folder}/{COMPANION}/{parts[-1]}"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                while piece := content.read(1 << 20):
                    file.write(piece)
            os.chmod(path, PROGRAM_MODE)


def _apt(where: Where) -> str:
    apt = runner.find_program("apt-get")
    if where.host.distribution not in ("debian", "ubuntu") or not apt:
        raise _out_of_reach(f"{where.host.distribution} packages no runsc")
    return apt


def _unpack_package(where: Where, apt: list[str]) -> str:
    with tempfile.TemporaryDirectory(prefix="aibox-deb-") as folder:
        fetched = runner.run([*apt, "download", "runsc"], timeout=APT_SECONDS, env=where.env, cwd=folder)
        runner.checked(fetched)
        packages = [name for name in os.listdir(folder) if name.endswith(".deb")]
        if len(packages) != 1:
            raise _out_of_reach("apt-get download runsc brought no package")
        unpacked = f"{folder}/unpacked"
        command = ["/usr/bin/dpkg-deb", "--extract", f"{folder}/{packages[0]}", unpacked]
        runner.checked(runner.run(command, timeout=60, env=where.env))
        return keep(where.paths, f"{unpacked}/usr/bin/runsc")


def keep(paths: Paths, program: str) -> str:
    """Copy runsc (and what it needs beside it) into aibox's own folder, named by its SHA-256. Returns the new path."""
    if not os.path.isfile(program):
        raise _out_of_reach("it holds no runsc")
    target = f"{paths.data}/runsc/{program_digest(program)[:16]}"
    beside = os.path.dirname(program)
    for file in reversed(program_files(program)):  # runsc itself last: with it the copy is whole
        with open(file, "rb") as content:
            state.write_atomically(f"{target}{file.removeprefix(beside)}", content.read(), PROGRAM_MODE)
    return f"{target}/runsc"


def _date(version: str) -> int:
    digits = version.partition("~")[2] or version
    found = "".join(c if c.isdecimal() else " " for c in digits).split()
    return next((int(part) for part in found if len(part) == 8), 0)


def _out_of_reach(why: str) -> AiboxError:
    return AiboxError("runtime-missing", why, fix=FIX)
