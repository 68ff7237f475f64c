"""What the host's /proc says about a box: the Sentry and the Gofer under gVisor, the first process under runc.

Reads only what any user may read of another's process (proc(5)); nothing in the box can change it.
"""

import os
from collections.abc import Iterable
from typing import NamedTuple

from aibox import mountinfo
from aibox.mountinfo import MountEntry

SENTRY = "runsc-sandbox"
GOFER = "runsc-gofer"


class HostProcess(NamedTuple):
    """One process as the host sees it.

    `capabilities` is the effective set as a number; `seccomp` the mode (2: filter); `filters` how many filters are
    stacked; `label` the AppArmor or SELinux label, empty without either; `interfaces` the network devices of its
    namespace, `routes` those but lo that a route leads to; `id_map` its uid_map as (inside, outside, count).
    """

    pid: int
    role: str
    argv: tuple[str, ...]
    program: str
    uid: int
    capabilities: int
    no_new_privileges: bool
    seccomp: int
    filters: int
    label: str
    id_map: tuple[tuple[int, int, int], ...]
    interfaces: tuple[str, ...]
    routes: tuple[str, ...]
    mounts: tuple[MountEntry, ...]

    def flags(self) -> dict[str, str]:
        """The runsc flags before its subcommand, which come in random order; a bare flag has the value `true`."""
        found = {}
        for argument in self.argv[1:]:
            if not argument.startswith("-"):
                break
            name, equals, value = argument.lstrip("-").partition("=")
            found[name] = value if equals else "true"
        return found


class HostView(NamedTuple):
    """A box from outside: its processes, and the mount table of the caller to compare with.

    `inherited` is how many seccomp filters the engine's monitor is under itself, which the box's processes inherit (-1:
    unknown); `enforced` the AppArmor profiles that the kernel has in enforce mode, None where it does not matter or
    this user may not know.
    """

    processes: tuple[HostProcess, ...]
    own_mounts: tuple[MountEntry, ...]
    inherited: int = 0
    enforced: frozenset[str] | None = None

    def role(self, role: str) -> HostProcess | None:
        """The process with that role, or None."""
        return next((process for process in self.processes if process.role == role), None)


def look(pid: int, container: str) -> HostView:
    """Gather the view of the box whose main process on the host is `pid` (0: nothing runs)."""
    processes = []
    if pid > 0:
        for candidate in (pid, *_siblings(pid)):
            process = read_process(candidate)
            # the Gofer names its box in the path of its bundle
            if process and (candidate == pid or (process.role == GOFER and container in " ".join(process.argv))):
                processes.append(process)
    own = tuple(mountinfo.parse(_read("/proc/self/mountinfo")))
    return HostView(tuple(processes), own, _inherited(pid) if processes else 0, _enforced(processes))


def _inherited(pid: int) -> int:
    """How many seccomp filters the parent of `pid` is under; -1 if nobody says."""
    return _integer(_status(_status(pid).get("PPid", "0")).get("Seccomp_filters", "-1"))


def _enforced(processes: Iterable[HostProcess]) -> frozenset[str] | None:
    """The profiles in force, asked for only where a label does not say. Root may know, so for root none is none."""
    if not any(process.label.endswith("(mixed)") for process in processes):
        return None
    from aibox import apparmor

    names = apparmor.loaded_names()
    return frozenset() if names is None and os.geteuid() == 0 else names


def _siblings(pid: int) -> list[int]:
    """Other children of the parent of `pid`: the engine's monitor starts the Sentry and the Gofer side by side."""
    return [child for child in children(_status(pid).get("PPid", "0")) if child != pid]


def children(pid: int | str) -> list[int]:
    """The processes whose parent `pid` is; none if it is gone."""
    return [int(child) for child in _read(f"/proc/{pid}/task/{pid}/children").split()]


def argv(pid: int) -> tuple[str, ...]:
    """The command line of a process; one empty word if it is gone or has none."""
    return tuple(_read(f"/proc/{pid}/cmdline").rstrip("\0").split("\0"))


def read_process(pid: int) -> HostProcess | None:
    """Everything of one process, or None if it is gone."""
    status = _status(pid)
    words = argv(pid)
    if not status or words == ("",):
        return None
    first = os.path.basename(words[0])
    role = first if first in (SENTRY, GOFER) else "first process"
    program = _program(pid)
    return HostProcess(
        pid=pid,
        role=role,
        argv=words,
        program=program,
        uid=_integer(status.get("Uid", "-1").split()[0]),
        capabilities=_integer(status.get("CapEff", "-1"), 16),
        no_new_privileges=status.get("NoNewPrivs") == "1",
        seccomp=_integer(status.get("Seccomp", "-1")),
        filters=_integer(status.get("Seccomp_filters", "-1")),
        label=_read(f"/proc/{pid}/attr/apparmor/current").strip() or _read(f"/proc/{pid}/attr/current").strip(" \0\n"),
        id_map=_id_map(_read(f"/proc/{pid}/uid_map")),
        interfaces=_interfaces(_read(f"/proc/{pid}/net/dev")),
        routes=_routes(_read(f"/proc/{pid}/net/route"), _read(f"/proc/{pid}/net/ipv6_route")),
        mounts=tuple(mountinfo.parse(_read(f"/proc/{pid}/mountinfo"))),
    )


def _program(pid: int) -> str:
    """The path of a process's program; empty if it is not told.

    In a mount namespace that left the host's folders behind, the kernel names it from the top of its mount alone; then
    it is looked for below each mount of this host, and is where the very same file is.
    """
    link = f"/proc/{pid}/exe"
    try:
        told, there = os.readlink(link), os.stat(link)
    except OSError:
        return ""
    if _is_file(told, there):
        return told
    device = f"{os.major(there.st_dev)}:{os.minor(there.st_dev)}"
    # Btrfs has another device for files than for mounts; no other filesystem is asked, because one may hang
    tops = {
        entry.target.rstrip("/")
        for entry in mountinfo.parse(_read("/proc/self/mountinfo"))
        if entry.device == device or entry.filesystem == "btrfs"
    }
    return next((f"{top}{told}" for top in sorted(tops) if _is_file(f"{top}{told}", there)), told)


def _is_file(path: str, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), status)
    except OSError:
        return False


def start_time(pid: int) -> int:
    """When the process started, in clock ticks after boot (field 22 of proc_pid_stat(5)); 0 if it is gone."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[19]) if len(fields) > 19 else 0


def _status(pid: int | str) -> dict[str, str]:
    lines = (line.partition(":") for line in _read(f"/proc/{pid}/status").split("\n"))
    return {name: value.strip() for name, _, value in lines}


def _id_map(text: str) -> tuple[tuple[int, int, int], ...]:
    rows = (line.split() for line in text.splitlines())
    return tuple((int(row[0]), int(row[1]), int(row[2])) for row in rows if len(row) == 3)


def _interfaces(text: str) -> tuple[str, ...]:
    return tuple(line.split(":")[0].strip() for line in text.splitlines() if ":" in line)


def _routes(ipv4: str, ipv6: str) -> tuple[str, ...]:
    names = [line.split()[0] for line in ipv4.splitlines()[1:] if line.strip()]
    names += [line.split()[-1] for line in ipv6.splitlines() if line.strip()]
    return tuple(sorted({name for name in names if name != "lo"}))


def _integer(text: str, base: int = 10) -> int:
    try:
        return int(text, base)
    except ValueError:
        return -1


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            return file.read()
    except OSError:
        return ""
