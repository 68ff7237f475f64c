"""What kind of host this is and which engine it has. Reads the host; decides nothing."""

import os
import sys
from collections.abc import Mapping
from typing import NamedTuple

from aibox import runner, state
from aibox.engines.dialect import dialect
from aibox.errors import AiboxError
from aibox.jsonview import items, text
from aibox.model import Developer, Engine
from aibox.state import Paths
from aibox.workspace import user_name

INTEROP = ("/proc/sys/fs/binfmt_misc/WSLInterop", "/proc/sys/fs/binfmt_misc/WSLInterop-late")
CONTAINER_MARKS = ("/run/.containerenv", "/.dockerenv")
WSL_INIT = "/run/WSL"
# Documentation/admin-guide/LSM/Yama.rst
PTRACE_SCOPE = "/proc/sys/kernel/yama/ptrace_scope"
PTRACE_FORBIDDEN = "kernel.yama.ptrace_scope is 3, which forbids the ptrace that systrap needs; it stays until a reboot"
PTRACE_REMEDY = "set kernel.yama.ptrace_scope to 1 in /etc/sysctl.d and reboot"


class HostFacts(NamedTuple):
    """The host: `kind` is as `host_kind` says; `distribution` and `release` are os-release's ID and VERSION_ID."""

    kind: str
    kernel: str
    machine: str
    distribution: str
    release: str
    confinement: str
    cgroup2: bool


def host() -> HostFacts:
    """Look at the host. Raises host-unsupported where no Linux kernel of its own runs."""
    name = os.uname()
    if sys.platform != "linux":
        raise AiboxError(
            "host-unsupported",
            f"aibox runs on Linux, and this is {name.sysname}",
            why="gVisor needs a Linux kernel",
            fix="use a Linux machine or virtual machine, or WSL2 on Windows",
        )
    kind = host_kind(
        name.release,
        any(os.path.exists(path) for path in INTEROP),
        container=any(os.path.exists(path) for path in CONTAINER_MARKS) and not os.path.isdir(WSL_INIT),
    )
    if kind == "wsl1":
        raise AiboxError(
            "host-unsupported",
            "this is WSL1, which has no Linux kernel",
            why="gVisor needs user namespaces and seccomp of a real kernel",
            fix="in Windows: wsl --set-version <distribution> 2",
        )
    release = os_release(state.read_bytes("/etc/os-release") or b"")
    return HostFacts(
        kind=kind,
        kernel=name.release,
        machine=name.machine,
        distribution=release.get("ID", "unknown"),
        release=release.get("VERSION_ID", ""),
        confinement=confinement(
            (state.read_bytes("/sys/kernel/security/lsm") or b"").decode(),
            policy=os.path.exists("/sys/fs/selinux/enforce"),
        ),
        cgroup2=os.path.exists("/sys/fs/cgroup/cgroup.controllers"),
    )


def host_kind(release: str, interop: bool = False, *, container: bool = False) -> str:  # noqa: FBT001 - two facts of one question
    """`linux`, `wsl1`, `wsl2`, or `wsl2-container`: a container whose host's kernel is WSL2's.

    `release` is uname's; WSL's interop entry tells for kernels that users built; `container` holds where a container
    engine's mark is there and the folder of WSL's own init is not.
    """
    lowered = release.lower()
    if "microsoft" not in lowered:
        return "wsl2" if interop and not container else "linux"
    # WSL1 calls itself 4.4.0-<build>-Microsoft
    if release.endswith("-Microsoft") and release.startswith("4.4."):
        return "wsl1"
    return "wsl2-container" if container else "wsl2"


def os_release(content: bytes) -> dict[str, str]:
    """The variables of os-release(5)."""
    lines = (line.partition("=") for line in content.decode("utf-8", "replace").splitlines())
    return {name.strip(): value.strip().strip("\"'") for name, equals, value in lines if equals}


def confinement(modules: str, *, policy: bool) -> str:
    """`apparmor`, `selinux` or `none` from the kernel's list of active security modules.

    `policy`: whether SELinux's filesystem is mounted, which is_selinux_enabled(3) asks, too. Without it SELinux has no
    policy and confines nothing; so it is on the stock kernel of WSL2.
    """
    active = modules.strip().split(",")
    if "apparmor" in active:
        return "apparmor"
    return "selinux" if "selinux" in active and policy else "none"


def caller() -> Developer:
    """Who runs aibox."""
    return Developer(os.getuid(), os.getgid(), user_name(os.getuid()))


def engine_kind(wanted: str) -> str:
    """`podman` or `docker`: what was asked for; by itself Podman, or Docker where its daemon is and Podman is not.

    Docker's client alone, as images for continuous integration have it, is no engine.
    """
    if wanted != "auto":
        return wanted
    if runner.find_program("podman") or not runner.find_program("docker"):
        return "podman"
    from aibox.engines import docker

    return "docker" if os.path.exists(docker.SOCKET) or runner.find_program("dockerd") else "podman"


def find_engine(wanted: str, path: str, paths: Paths, env: Mapping[str, str]) -> Engine:
    """The engine to use.

    The version is remembered by the program's identity, so that most commands need not ask for it.
    Raises engine-missing, engine-unsupported or engine-garbage.
    """
    kind = engine_kind(wanted)
    program = path or runner.find_program(kind)
    if not program:
        title = dialect(kind).title
        raise AiboxError(
            "engine-missing", f"{title} was not found", why=f"looked in {runner.SYSTEM_PATH}", fix="aibox setup"
        )
    if kind == "docker":
        require_root(os.getuid())
    try:
        status = os.stat(program)
    except OSError as error:
        raise AiboxError(
            "engine-missing", f"{program} is not there", why=error.strerror or "", fix="aibox setup"
        ) from error
    identity = f"{os.path.realpath(program)} {status.st_size} {status.st_mtime_ns}"
    cache = f"{paths.data}/engine.json"
    known = state.read_record(cache)
    version = tuple(part for part in items(known, "version") if isinstance(part, int))
    if text(known, "identity") != identity or not version:
        result = runner.checked(runner.run([program, "--version"], timeout=20, env=env, cwd="/"), "engine-failed")
        version = version_of(kind, program, result.text())
        state.write_record(cache, {"identity": identity, "version": list(version)})
    words = dialect(kind)
    if version[:2] < words.oldest:
        oldest = ".".join(map(str, words.oldest))
        raise AiboxError(
            "engine-unsupported",
            f"{words.title} {'.'.join(map(str, version))} is too old",
            why=f"aibox needs {oldest} or newer: {words.because}",
            fix=f"install {words.title} {oldest} or newer",
        )
    options: tuple[str, ...] = ()
    if kind == "docker":
        from aibox.engines import docker

        options = docker.options(f"{paths.data}/client")
    return Engine(kind, program, version, os.getuid() != 0, options)


def version_of(kind: str, program: str, output: str) -> tuple[int, ...]:
    """The version that a program prints, which has to be the engine that it is called. Raises engine-unsupported."""
    first = (output.split() or [""])[0].lower()
    if kind == "docker" and first == "podman":
        raise AiboxError(
            "engine-unsupported",
            f"{program} is Podman under Docker's name (podman-docker)",
            why="aibox speaks to Podman by its own name",
            fix="aibox start --engine podman",
        )
    if kind == "docker":
        from aibox.engines import docker

        return docker.parse_version(output)
    from aibox.engines import podman

    return podman.parse_version(output)


def require_root(uid: int) -> None:
    """Refuse Docker to anybody but root. Raises engine-unsupported."""
    if uid != 0:
        raise AiboxError(
            "engine-unsupported",
            "with Docker aibox has to be root",
            why="Docker's own daemon is root's; a rootless one lies in a mount namespace of its own, where a workspace "
            "cannot be given to a box with its ids mapped, nor a box be checked before its first process",
            fix="use rootless Podman: aibox setup --engine podman",
        )
