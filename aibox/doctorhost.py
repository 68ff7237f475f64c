"""Doctor's looks at the host: files of the kernel and of the system. Each ends in a verdict of doctorjudge."""

import os

from aibox import doctorjudge as judge
from aibox import jsonview, packages, runner, state, workspace, wsl
from aibox.context import confinement_line, current_folder
from aibox.doctor import Examination
from aibox.doctorjudge import Look, Space, Tool, fine, note
from aibox.enginecalls import redirecting
from aibox.errors import AiboxError
from aibox.facts import PTRACE_SCOPE
from aibox.notes import LOCK_SECONDS
from aibox.setupsteps import step

MIB, GIB = 1 << 20, 1 << 30
CGROUPS = "/sys/fs/cgroup"


def configuration(examination: Examination) -> Look:
    if examination.context.config_problem:
        raise examination.context.config_problem
    return fine(f"{len(examination.context.config.origins)} settings; `aibox config` shows where each comes from")


def policy(examination: Examination) -> Look:
    if examination.context.policy_problem:
        raise examination.context.policy_problem
    return fine("trusted, or there is none")


def environment(examination: Examination) -> Look:
    return judge.redirected(redirecting(examination.context.environ))


def windows(examination: Examination) -> Look:
    if examination.host.kind != "wsl2":
        return judge.windows([])
    found = wsl.findings(wsl.look(examination.context.environ))
    return judge.windows([(one.title, one.severity, one.evidence, one.remedy) for one in found])


def user_namespaces(examination: Examination) -> Look:
    return judge.user_namespaces(
        _line("/proc/sys/user/max_user_namespaces"),
        _line("/proc/sys/kernel/unprivileged_userns_clone"),
        _line("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        root=examination.root,
    )


def kernel_seccomp(_examination: Examination) -> Look:
    return judge.kernel_seccomp(_line("/proc/sys/kernel/seccomp/actions_avail"))


def ptrace_scope(_examination: Examination) -> Look:
    return judge.ptrace_scope(_line(PTRACE_SCOPE))


def confinement(examination: Examination) -> Look:
    profile = jsonview.text(examination.kept("runtime"), "apparmor")
    confined = examination.host.confinement
    line = confinement_line(examination.context, confined, profile)
    return judge.confinement(confined, profile, step("apparmor").missing(examination.setup), line)


def runtime_folder(examination: Examination) -> Look:
    if examination.root:
        return fine("root needs none")
    given = examination.context.environ.get("XDG_RUNTIME_DIR", "")
    owner, mode = _owner_and_mode(given)
    look = judge.runtime_folder(given, examination.context.caller.uid, owner, mode)
    return look._replace(remedy=look.remedy or _login(examination)) if look.level == judge.WRONG else look


def _login(examination: Examination) -> str:
    name = examination.context.caller.name
    if not _systemd():
        uid = examination.context.caller.uid
        return f"sudo install -d -m 0700 -o {uid} /run/user/{uid} && export XDG_RUNTIME_DIR=/run/user/{uid}"
    return f"loginctl enable-linger {name}, then log in anew (with ssh or machinectl shell, not with su)"


def mapping_tools(examination: Examination) -> Look:
    if examination.root:
        return fine("root needs none")
    look = judge.mapping_tools([_tool(name) for name in ("newuidmap", "newgidmap")])
    if look.level == judge.WRONG and not look.remedy:
        commands = [runner.printable(argv) for argv in packages.engine_commands(examination.host.distribution)]
        return look._replace(remedy=f"have an administrator run: {' && '.join(commands)}")
    return look


def _tool(name: str) -> Tool:
    path = runner.find_program(name)
    if path is None:
        return Tool(name, "", 0, 0, capabilities=False)
    status = os.stat(path)
    try:
        held = bool(os.getxattr(path, "security.capability"))
    except OSError:
        held = False
    return Tool(name, path, status.st_uid, status.st_mode, held)


def id_ranges(examination: Examination) -> Look:
    if examination.root:
        return fine("root needs none")
    caller = examination.context.caller
    files = {path: state.read_bytes(path) for path in ("/etc/subuid", "/etc/subgid")}
    return judge.id_ranges(caller.name, caller.uid, files)


def cgroups(examination: Examination) -> Look:
    uid = examination.context.caller.uid
    handed = state.read_bytes(f"{CGROUPS}/user.slice/user-{uid}.slice/user@{uid}.service/cgroup.controllers")
    return judge.cgroups(cgroup_version(), handed.decode() if handed is not None else None, root=examination.root)


def cgroup_version(place: str = CGROUPS) -> str:
    """`v2`, `hybrid` (v1 with an empty v2 tree beside it), `v1` or `none`."""
    if os.path.exists(f"{place}/cgroup.controllers"):
        return "v2"
    if os.path.exists(f"{place}/unified/cgroup.controllers"):
        return "hybrid v1"
    return "v1" if os.path.exists(f"{place}/memory") else "none"


def linger(examination: Examination) -> Look:
    name = examination.context.caller.name
    enabled = os.path.exists(f"/var/lib/systemd/linger/{name}")
    return judge.linger(root=examination.root, systemd=_systemd(), enabled=enabled, name=name)


def memory(examination: Examination) -> Look:
    lines = (line.split() for line in _text("/proc/meminfo").splitlines())
    known = {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) > 1 and words[1].isdecimal()}
    total = known.get("MemTotal", 0)
    return judge.memory(total, known.get("MemAvailable", total), examination.context.config.memory)


def own_folder(examination: Examination) -> Look:
    path = examination.context.paths.data
    owner, mode = _owner_and_mode(path)
    noexec = owner is not None and bool(os.statvfs(path).f_flag & os.ST_NOEXEC)
    return judge.folder(path, examination.context.caller.uid, owner, mode, noexec=noexec)


def close_own_folder(examination: Examination) -> None:
    """Take the others' right to write from aibox's own folder."""
    path = examination.context.paths.data
    os.chmod(path, os.stat(path).st_mode & 0o7755)


def data_space(examination: Examination) -> Look:
    return judge.space(space(examination.context.paths.data), 16 * MIB, 256 * MIB)


def storage_space(examination: Examination) -> Look:
    return judge.space(space(examination.graph_root()), 512 * MIB, 4 * GIB)


def space(path: str) -> Space:
    """The room in the filesystem of `path`, or of its nearest parent that exists."""
    while path and not os.path.exists(path):
        path = os.path.dirname(path)
    seen = os.statvfs(path or "/")
    return Space(path or "/", seen.f_bavail * seen.f_frsize, seen.f_favail if seen.f_files else -1)


def here(examination: Examination) -> Look:
    """Whether the current folder could be a workspace; that it may not be one is no fault of the host."""
    folder = current_folder()
    try:
        place = examination.context.workspace(folder)
    except AiboxError as error:
        if error.code == "workspace-filesystem":
            return note(error.what, error.fix)
        return fine(f"the current folder is no workspace: {error.why or error.what}")
    notice = workspace.filesystem_notice(place)
    return (
        note(notice, "keep workspaces on ext4, xfs or btrfs") if notice else fine(f"{folder} is on {place.filesystem}")
    )


def locks(examination: Examination) -> Look:
    """Locks that a command holds for longer than any should; the kernel drops those of dead processes."""
    folder = f"{examination.context.paths.run}/locks"
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    held = [name for name in names if not _free(f"{folder}/{name}")]
    if not held:
        return fine("nothing is locked")
    return note(
        f"{', '.join(held)} held by another aibox command",
        f"wait for it (at most {LOCK_SECONDS:g} s); `fuser {folder}/{held[0]}` names the process",
    )


def _free(path: str) -> bool:
    try:
        with state.locked(path, timeout=0.0):
            return True
    except AiboxError as error:
        return error.code != "lock-timeout"


def _systemd() -> bool:
    """Whether systemd runs this host (sd_booted(3))."""
    return os.path.isdir("/run/systemd/system")


def _owner_and_mode(path: str) -> tuple[int | None, int]:
    try:
        status = os.stat(path)
    except OSError:
        return None, 0
    return status.st_uid, status.st_mode


def _line(path: str) -> str:
    return _text(path).strip()


def _text(path: str) -> str:
    return (state.read_bytes(path) or b"").decode("utf-8", "replace")
