"""What doctor concludes from what it saw: facts in, a verdict out. Pure; the looking is done elsewhere."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aibox import jsonview
from aibox.facts import PTRACE_FORBIDDEN
from aibox.jsonview import Json

OK, NOTE, WRONG = "ok", "note", "wrong"
MIB, GIB = 1 << 20, 1 << 30
SETUID = 0o4000
IDS_NEEDED = 65_536
LANDLOCK_NET_ABI, LANDLOCK_SCOPE_ABI = 4, 6
CONMON_MENDED = (2, 1, 11)  # from here on conmon no longer passes --tty to the runtime's exec
TTY_HANDLING = "--tty | --tty=*)"


class Look(NamedTuple):
    """A verdict: its level, what was seen, and the command (or action) that mends it.

    An empty `remedy` stands for the check's usual one. `control`: a security control is wrong, whatever the check's
    own severity says.
    """

    level: str
    evidence: str
    remedy: str = ""
    control: bool = False


def fine(evidence: str) -> Look:
    """All is well."""
    return Look(OK, evidence)


def note(evidence: str, remedy: str = "") -> Look:
    """Worth knowing; a box works and is safe all the same."""
    return Look(NOTE, evidence, remedy)


def wrong(evidence: str, remedy: str = "", *, control: bool = False) -> Look:
    """A box does not start, or would not be safe."""
    return Look(WRONG, evidence, remedy, control)


class Tool(NamedTuple):
    """newuidmap or newgidmap: where it is (empty: nowhere), its owner and mode, whether it has file capabilities."""

    name: str
    path: str
    uid: int
    mode: int
    capabilities: bool


def mapping_tools(tools: Sequence[Tool]) -> Look:
    """newuidmap(1) and newgidmap(1) have to be there and to be allowed to write id maps."""
    missing = [tool.name for tool in tools if not tool.path]
    if missing:
        return wrong(f"{', '.join(missing)} not installed (package uidmap)")
    for tool in tools:
        if not tool.capabilities and not (tool.mode & SETUID and tool.uid == 0):
            right = "cap_setuid" if tool.name == "newuidmap" else "cap_setgid"
            return wrong(
                f"{tool.path} is neither setuid root nor has it the file capability {right}",
                f"sudo chmod u+s {tool.path}",
            )
    return fine(", ".join(tool.path for tool in tools))


def id_ranges(name: str, uid: int, files: Mapping[str, bytes | None]) -> Look:
    """subuid(5) and subgid(5) have to give the user a range that holds a whole system's ids."""
    counts = {path: granted(content or b"", name, uid) for path, content in files.items()}
    lacking = [path for path, count in counts.items() if count < IDS_NEEDED]
    if not lacking:
        return fine(f"{min(counts.values())} ids for {name} in {' and '.join(counts)}")
    given = "no range" if not any(counts.values()) else f"fewer than {IDS_NEEDED} ids"
    return wrong(
        f"{' and '.join(lacking)}: {given} for {name}",
        f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name} && podman system migrate",
    )


def granted(content: bytes, name: str, uid: int) -> int:
    """How many ids a file in the format of subuid(5) gives to the user, by name or number."""
    rows = (line.split(":") for line in content.decode("utf-8", "replace").splitlines())
    return sum(int(row[2]) for row in rows if len(row) == 3 and row[0] in (name, str(uid)) and _is_number(row[2]))


def runtime_folder(given: str, uid: int, owner: int | None, mode: int) -> Look:
    """XDG_RUNTIME_DIR has to be there and to belong to the user alone (XDG Base Directory Specification)."""
    if not given:
        return wrong("XDG_RUNTIME_DIR is not set: the session was not opened by a login")
    if owner is None:
        return wrong(f"XDG_RUNTIME_DIR names {given}, which is not there")
    if owner != uid:
        return wrong(f"XDG_RUNTIME_DIR names {given}, which belongs to uid {owner}")
    if mode & 0o077:
        return wrong(f"{given} has mode {mode & 0o777:04o}: others can enter it", f"chmod 0700 {given}")
    return fine(given)


def user_namespaces(most: str, unprivileged: str, restricted: str, *, root: bool) -> Look:
    """gVisor and rootless Podman make user namespaces."""
    if most == "0":
        return wrong("user.max_user_namespaces is 0", "sudo sysctl -w user.max_user_namespaces=65536")
    if unprivileged == "0" and not root:
        return wrong("kernel.unprivileged_userns_clone is 0", "sudo sysctl -w kernel.unprivileged_userns_clone=1")
    held = "; AppArmor restricts those of programs without a profile" if restricted == "1" else ""
    return fine(f"{most or 'an unknown number'} allowed{held}")


def ptrace_scope(scope: str) -> Look:
    """Yama (Documentation/admin-guide/LSM/Yama.rst): systrap attaches to its own children with ptrace."""
    if scope == "3":
        return wrong(PTRACE_FORBIDDEN)
    if scope == "2":
        return note("kernel.yama.ptrace_scope is 2: gVisor works with directfs, which is its default, and not without")
    return fine(f"kernel.yama.ptrace_scope is {scope}" if scope else "this kernel has no Yama")


def kernel_seccomp(actions: str) -> Look:
    """seccomp(2) with filters that answer by an error number."""
    if not actions:
        return wrong("this kernel offers no seccomp filters (/proc/sys/kernel/seccomp is missing)")
    lacking = sorted({"errno", "allow"} - set(actions.split()))
    return wrong(f"seccomp cannot {', '.join(lacking)}") if lacking else fine(f"actions {actions}")


def cgroups(version: str, controllers: str | None, *, root: bool) -> Look:
    """What holds resource limits. `version` is v2, hybrid, v1 or none; `controllers` those of the user's systemd."""
    if version != "v2":
        held = "limits go through the old controllers" if root else "limits of a rootless box are not enforced"
        return note(f"cgroups are {version}: {held}")
    if root:
        return fine("cgroups v2")
    if controllers is None:
        return note("cgroups v2, but this user has no systemd session: limits of a rootless box are not enforced")
    lacking = [name for name in ("cpu", "memory", "pids") if name not in controllers.split()]
    if lacking:
        return note(f"systemd does not hand {', '.join(lacking)} to users: these limits are not enforced")
    return fine(f"cgroups v2, {controllers.strip()} handed to this user")


def linger(*, root: bool, systemd: bool, enabled: bool, name: str) -> Look:
    """Without lingering, systemd ends a user's boxes with their last session (loginctl(1))."""
    if root or not systemd:
        return fine("root needs none" if root else "no systemd here that would end boxes at logout")
    if enabled:
        return fine(f"enabled for {name}")
    return note(f"boxes of {name} end when the last session ends", f"loginctl enable-linger {name}")


def confinement(kind: str, profile: str, missing: str, line: str) -> Look:
    """The host's mandatory access control around runsc: `profile` is the one that the wrapper enters, or empty.

    `missing` says which of aibox's AppArmor profiles are not loaded; `line` is how `status` puts it.
    """
    if profile and missing:
        return wrong(
            f"the wrapper enters the AppArmor profile {profile}, but: {missing}", "sudo aibox setup", control=True
        )
    if profile:
        return fine(line)
    return note(line, "sudo aibox setup, then as yourself: aibox setup" if kind == "apparmor" else "")


def landlock(abi: int) -> Look:
    """landlock(7): TCP from ABI 4 on, abstract sockets and signals from ABI 6 on."""
    lacking = []
    if abi < LANDLOCK_NET_ABI:
        lacking.append("TCP")
    if abi < LANDLOCK_SCOPE_ABI:
        lacking.append("abstract sockets and signals")
    if not lacking:
        return fine(f"ABI {abi}")
    seen = f"ABI {abi}" if abi else "this kernel has no Landlock"
    return note(f"{seen}: the outer layer does not refuse {' nor '.join(lacking)}; the seccomp filter still holds")


def memory(total: int, available: int, limit: int) -> Look:
    """Memory of the host, in bytes, against the limit of a box."""
    seen = f"{total // MIB} MiB, {available // MIB} MiB free; a box may use {limit // MIB} MiB"
    if available < 512 * MIB:
        return note(f"{seen}: little is free")
    if limit > total:
        return note(f"{seen}, more than there is", f"aibox start --memory {max(1, total // GIB)}G, or limits.memory")
    return fine(seen)


class Space(NamedTuple):
    """Free bytes and inodes of a folder's filesystem (inodes -1: it has no such limit)."""

    path: str
    free: int
    inodes: int


def space(seen: Space, least: int, advised: int) -> Look:
    """Whether a folder has room. `least` bytes are needed, `advised` are comfortable."""
    if seen.free < least or 0 <= seen.inodes < 100:
        what = f"{seen.free // MIB} MiB" if seen.free < least else f"{seen.inodes} files"
        return wrong(f"{seen.path} has room for {what} only, {least // MIB} MiB are needed")
    if seen.free < advised:
        return note(f"{seen.path} has {seen.free // MIB} MiB free; {advised // MIB} MiB are advised")
    return fine(f"{seen.path} has {seen.free // MIB} MiB free")


def folder(path: str, uid: int, owner: int | None, mode: int, *, noexec: bool) -> Look:
    """aibox's own folder: nobody else may write it, and programs in it have to run."""
    if owner is None:
        return fine(f"{path} is not made yet")
    if owner not in (0, uid):
        return wrong(f"{path} belongs to uid {owner}", f"chown {uid} {path}", control=True)
    if mode & 0o022:
        return wrong(f"{path} has mode {mode & 0o7777:04o}: others can write it", f"chmod go-w {path}", control=True)
    if noexec:
        return wrong(
            f"{path} is on a filesystem that is mounted noexec: the engine cannot run aibox's wrapper",
            "mount it with exec, or set XDG_DATA_HOME to a folder where programs run",
        )
    return fine(path)


def redirected(names: Sequence[str]) -> Look:
    """Variables that would point an engine elsewhere."""
    if not names:
        return fine("no variable redirects the engine")
    listed = " ".join(names)
    return note(f"{', '.join(names)} set: aibox ignores it, your own podman commands follow it", f"unset {listed}")


def windows(findings: Sequence[tuple[str, str, str, str]]) -> Look:
    """WSL2's own findings (title, severity, evidence, remedy) as one verdict; none on other hosts."""
    if not findings:
        return fine("not WSL")
    odd = [row for row in findings if row[1] != "ok"]
    if not odd:
        return fine("; ".join(f"{title}: {evidence}" for title, _, evidence, _ in findings))
    told = "; ".join(f"{title}: {evidence}" for title, _, evidence, _ in odd)
    remedies = "; ".join(remedy for _, _, _, remedy in odd)
    return wrong(told, remedies) if any(row[1] == "error" for row in odd) else note(told, remedies)


def storage(info: Json) -> Look:
    """The engine's storage driver (containers-storage.conf(5), docker-info(1))."""
    driver = jsonview.text(info, "store", "graphDriverName") or jsonview.text(info, "Driver")
    root = jsonview.text(info, "store", "graphRoot") or jsonview.text(info, "DockerRootDir")
    if driver == "vfs":
        return note(f"{root} uses the driver vfs, which copies the whole image for each box")
    return fine(f"{driver or 'an unknown driver'} in {root}")


def monitor(version: str, wrapper: str) -> Look:
    """conmon, which before 2.1.11 passes a flag to `exec` that runsc does not know."""
    found = numbers(version)
    if not found:
        return wrong("the engine names no version of conmon, its monitor", "install the package conmon")
    shown = ".".join(map(str, found))
    if found >= CONMON_MENDED:
        return fine(f"conmon {shown}")
    if TTY_HANDLING not in wrapper:
        return wrong(f"conmon {shown} passes --tty to runsc, which refuses it, and the wrapper does not drop it")
    return fine(f"conmon {shown} passes --tty to runsc, which refuses it; the wrapper drops it")


def numbers(text: str) -> tuple[int, ...]:
    """The first dotted number in a text."""
    for word in text.replace(",", " ").split():
        parts = word.split(".")
        if len(parts) > 1 and all(map(_is_number, parts)):
            return tuple(int(part) for part in parts)
    return ()


def _is_number(text: str) -> bool:
    """Whether int() takes it, and it is one that a person or a program would write."""
    return text.isascii() and text.isdigit() and len(text) <= 20


def trust(path: str, content: bytes | None, problem: str) -> Look:
    """containers-policy.json(5), without which Podman neither pulls nor loads an image."""
    if content is None:
        return wrong(
            f"{path} is missing: Podman refuses every image", "reinstall the package golang-github-containers-common "
            "(Debian, Ubuntu) or containers-common (Fedora)",
        )  # fmt: skip
    if problem:
        return wrong(f"{path} is not JSON: {problem}", f"correct {path}")
    kinds = [jsonview.text(rule, "type") for rule in jsonview.items(jsonview.parse(content), "default")]
    if kinds == ["reject"]:
        return note(f"{path} rejects what it does not name: an image from elsewhere is refused, also `podman load`")
    return fine(f"{path}: {', '.join(kinds) or 'no default'}")


def hooks(files: Mapping[str, bytes]) -> Look:
    """oci-hooks(5): programs that the engine would run in every container, which the controls refuse."""
    always = []
    for path, content in files.items():
        try:
            if jsonview.dig(jsonview.parse(content), "when", "always") is True:
                always.append(path)
        except ValueError:
            always.append(path)
    if always:
        return wrong(f"{', '.join(always)}: the engine adds this hook to every container", f"rm {' '.join(always)}")
    if files:
        return note(f"{', '.join(files)}: hooks that the engine may add to a container, which then does not start")
    return fine("no hooks")


def added_mounts(files: Mapping[str, Sequence[str]]) -> Look:
    """containers-mounts.conf(5): folders that the engine would add to every container, which the controls refuse."""
    adding = {path: places for path, places in files.items() if places}
    if adding:
        told = "; ".join(f"{path} adds {', '.join(places)}" for path, places in adding.items())
        return wrong(f"{told} to every container", f"sudo sh -c ': > /etc/containers/mounts.conf' # was: {told}")
    return fine("the engine adds no folder")


def signature(reference: str, checked: str, *, local: bool, required: bool) -> Look:
    """Whether anybody checked the image's signature; never says more than what is known."""
    if checked:
        return fine(f"{reference}: {checked}")
    if local:
        seen = f"{reference} was built on this host: there is no signature to check"
    else:
        seen = f"{reference}: unknown; aibox did not check a signature"
    if required:
        return wrong(f"{seen}, and the host's policy requires one", control=True)
    return fine(seen) if local else note(seen)
