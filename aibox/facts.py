"""What kind of host this is and which engine it has. Reads the host; decides nothing."""

import os
import sys
from collections.abc import Mapping
from typing import NamedTuple

from aibox import runner, state
from aibox.engines import podman
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
        confinement=confinement((state.read_bytes("/sys/kernel/security/lsm") or b"").decode()),
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


def confinement(modules: str) -> str:
    """`apparmor`, `selinux` or `none` from the kernel's list of active security modules."""
    active = modules.strip().split(",")
    return next((name for name in ("apparmor", "selinux") if name in active), "none")


def caller() -> Developer:
    """Who runs aibox."""
    return Developer(os.getuid(), os.getgid(), user_name(os.getuid()))


def find_engine(wanted: str, path: str, paths: Paths, env: Mapping[str, str]) -> Engine:
    """The engine to use: Podman, or what was asked for. A Docker that is here does not stand in for it yet.

    The version is remembered by the program's identity, so that most commands need not ask for it.
    Raises engine-missing, engine-unsupported or engine-garbage.
    """
    kind = "podman" if wanted == "auto" else wanted
    program = path or runner.find_program(kind)
    if program:
        return _engine(kind, program, paths, env)
    why = f"looked in {runner.SYSTEM_PATH}"
    if kind == "podman" and runner.find_program("docker"):
        why = "Docker is here, but this version of aibox drives Podman only"
    raise AiboxError("engine-missing", f"{kind.capitalize()} was not found", why=why, fix="aibox setup")


def _engine(kind: str, program: str, paths: Paths, env: Mapping[str, str]) -> Engine:
    if kind == "docker":
        raise AiboxError(
            "engine-unsupported",
            "Docker was found, but this version of aibox drives Podman only",
            why="Docker support is not finished",
            fix="aibox setup --engine podman",
        )
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
        version = podman.parse_version(result.text())
        state.write_record(cache, {"identity": identity, "version": list(version)})
    if version[:2] < podman.OLDEST:
        oldest = ".".join(map(str, podman.OLDEST))
        raise AiboxError(
            "engine-unsupported",
            f"Podman {'.'.join(map(str, version))} is too old",
            why=f"aibox needs {oldest} or newer: it maps the developer's uid with --userns=keep-id:uid=",
            fix=f"install Podman {oldest} or newer",
        )
    return Engine(kind, program, version, os.getuid() != 0)
