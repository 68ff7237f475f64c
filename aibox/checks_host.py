"""What the host itself shows of a running box. Pure: it judges a HostView.

Under gVisor the processes on the host are the Sentry (the kernel of the box) and the Gofer (its file server); nothing
that runs in the box can change what is read here.
"""

import os

from aibox import mountinfo
from aibox.engines.dialect import dialect
from aibox.hostview import GOFER, SENTRY, HostProcess, HostView
from aibox.model import COMPANION, LaunchPlan, Mount
from aibox.observe import Seen, equal, holds

# what runsc keeps in the box's own user namespace: chown, dac_override, dac_read_search, fowner, fsetid, sys_chroot,
# sys_ptrace (for systrap's stub processes)
SENTRY_MAY_HOLD = 0x1F | 1 << 18 | 1 << 19
DEMANDED_FLAGS = {"network": "none", "oci-seccomp": "true", "host-uds": "none"}
FORBIDDEN_FLAGS = (
    "allow-flag-override",
    "TESTONLY-unsafe-nonroot",
    "profile",
    "net-raw",
    "host-fifo",
    "fsgofer-host-uds",
)
# devices that the kernel puts into every network namespace where their modules are loaded (on WSL2 they are built in);
# they lead nowhere until somebody sets them up, which shows as a route
IDLE_TUNNELS = ("tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0")


def present(plan: LaunchPlan, view: HostView) -> list[Seen]:
    """S8: the Sentry and the Gofer are there, started with the wrapper's flags; never a version string or dmesg."""
    if plan.runtime.kind != "runsc":
        first = view.role("first process")
        return [holds(f"a process under {plan.runtime.kind}", first.argv[0] if first else "none", ok=first is not None)]
    sentry, gofer = view.role(SENTRY), view.role(GOFER)
    seen = [
        holds("the Sentry", f"pid {sentry.pid}" if sentry else "no Sentry", ok=sentry is not None),
        holds("the Gofer", f"pid {gofer.pid}" if gofer else "no Gofer", ok=gofer is not None),
    ]
    for process in (sentry, gofer):
        if process:
            seen += _flags(plan, process)
    return seen


def _flags(plan: LaunchPlan, process: HostProcess) -> list[Seen]:
    flags = process.flags()
    wanted = {**DEMANDED_FLAGS, "platform": plan.runtime.platform}
    wrong = sorted(f"{name}={flags.get(name, 'unset')}" for name, value in wanted.items() if flags.get(name) != value)
    unsafe = sorted(name for name in FORBIDDEN_FLAGS if flags.get(name, "false") not in ("false", "none"))
    seen = [equal(f"{process.role} flags that differ:", [], wrong + unsafe)]
    program = process.program.removesuffix(" (deleted)")
    # releases since September 2026 run the Sentry from a folder beside runsc
    beside = f"{os.path.dirname(plan.runtime.program)}/{COMPANION}/"
    right = program == plan.runtime.program or program.startswith(beside)
    seen.append(holds(f"{process.role} program {plan.runtime.program}", program or "not told", ok=right))
    return seen


def capabilities(plan: LaunchPlan, view: HostView) -> list[Seen]:
    """S1 on the host: Sentry and Gofer hold nothing beyond runsc's own few, and those only in a user namespace."""
    allowed = SENTRY_MAY_HOLD if plan.runtime.kind == "runsc" else 0
    return [
        holds(
            f"{process.role}: no capability beyond {allowed:#x}",
            f"{process.capabilities:#x}",
            ok=not process.capabilities & ~allowed,
        )
        for process in view.processes
    ]


def no_new_privileges(_plan: LaunchPlan, view: HostView) -> list[Seen]:
    """S2 on the host: set for each process, so for everything that it starts."""
    return [equal(f"{one.role} no_new_privs", expected=True, observed=one.no_new_privileges) for one in view.processes]


def user(plan: LaunchPlan, view: HostView) -> list[Seen]:
    """S4 on the host: a user namespace in which host root is not mapped, and a process that is not root."""
    seen = []
    for process in view.processes:
        if not _seen_from_inside(plan):
            seen.append(holds(f"{process.role}: not host root", f"uid {process.uid}", ok=process.uid > 0))
        own = bool(process.id_map) and process.id_map != ((0, 0, 4294967295),)
        seen.append(holds(f"{process.role}: a user namespace", _map(process), ok=own))
        outside = [row for row in process.id_map if row[1] <= 0 < row[1] + row[2]]
        seen.append(
            holds(f"{process.role}: host root not mapped", _map(process), ok=not outside or _seen_from_inside(plan))
        )
        if plan.id_map:
            wanted = ((0, plan.id_map.base, plan.id_map.size),)
            seen.append(equal(f"{process.role} id map", wanted, process.id_map))
    return seen


def _seen_from_inside(plan: LaunchPlan) -> bool:
    return plan.owner.uid == 0 and plan.rootless


def _map(process: HostProcess) -> str:
    return " ".join(f"{inside}:{outside}:{count}" for inside, outside, count in process.id_map) or "none"


def seccomp(plan: LaunchPlan, view: HostView) -> list[Seen]:
    """S5 on the host, for a running box: each process is under a filter of its own."""
    seen = [equal(f"{process.role} seccomp mode", 2, process.seccomp) for process in view.processes]
    # under gVisor the filters of its processes are S6
    return seen if plan.runtime.kind == "runsc" else [*seen, *_stacked(view, 1)]


def _stacked(view: HostView, wanted: int) -> list[Seen]:
    """Filters of each process's own: what the engine's monitor is under itself, such as systemd's, does not count."""
    told = {1: "a filter", 2: "two filters"}[wanted]
    return [
        holds(
            f"{process.role}: {told} of its own",
            f"{process.role}: {process.filters}, of which {_inherited(view)}",
            ok=view.inherited >= 0 and process.filters - view.inherited >= wanted,
        )
        for process in view.processes
    ]


def _inherited(view: HostView) -> str:
    return f"{view.inherited} inherited" if view.inherited >= 0 else "nobody knows how many are inherited"


def confined(plan: LaunchPlan, view: HostView) -> list[Seen]:
    """S6: the wrapper's filter lies on both processes, and where the host has AppArmor they carry runsc's profile."""
    if plan.runtime.kind != "runsc":
        return []
    seen = _stacked(view, 1)
    if plan.runtime.apparmor:
        seen += [_label(view, process, plan.runtime.apparmor) for process in view.processes]
    return seen


def _label(view: HostView, process: HostProcess, profile: str) -> Seen:
    """The profile, in force. Under runc and crun the engine may stack another on it: aibox-sandbox//&crun (mixed)."""
    names, _, mode = process.label.rpartition(" ")
    stack = names.split("//&")
    # of a mixed stack the label does not say which profile only complains; the kernel's list does
    enforced = view.enforced is None or profile in view.enforced
    right = profile in stack and (mode == "(enforce)" or (mode == "(mixed)" and len(stack) > 1 and enforced))
    return holds(f"{process.role}: {profile} (enforce)", f"{process.role}: {process.label or 'unconfined'}", ok=right)


def filters(plan: LaunchPlan, view: HostView) -> list[Seen]:
    """S6, once the box runs: the outer filter and runsc's own, one upon the other; under runc and crun the profile."""
    if plan.runtime.kind != "runsc":
        return [_label(view, process, plan.apparmor) for process in view.processes]
    return _stacked(view, 2)


def network(_plan: LaunchPlan, view: HostView) -> list[Seen]:
    """S7 on the host: its network namespace has nothing but the loopback device, and no route that leads elsewhere."""
    seen = []
    for process in view.processes:
        alone = "lo" in process.interfaces and set(process.interfaces) <= {"lo", *IDLE_TUNNELS}
        seen.append(holds(f"{process.role}: lo alone", " ".join(process.interfaces) or "unknown", ok=alone))
        seen.append(equal(f"{process.role}: routes to", (), process.routes))
    return seen


def mounts(plan: LaunchPlan, view: HostView) -> list[Seen]:
    """S9 on the host: the files that the Gofer serves are the planned ones, compared by device and place on it.

    A folder swapped for a symlink between the check and the mount shows here as another place.
    """
    holder = view.role(GOFER) if plan.runtime.kind == "runsc" else view.role("first process")
    if holder is None or not holder.mounts:
        return [holds("a mount table", "none", ok=False)]
    by_target = {entry.target: entry for entry in holder.mounts}
    seen = [_served(mount, by_target, view) for mount in plan.mounts if mount.kind != "tmpfs"]
    root = by_target.get("/")
    seen.append(
        holds("/ read-only", ",".join(root.options) if root else "none", ok=root is not None and "ro" in root.options)
    )
    if plan.runtime.kind == "runsc":
        planned = {mount.target for mount in plan.mounts}
        strange = sorted(
            target
            for target in by_target
            if target not in planned and target not in (*dialect(plan.engine).files, "/", "/proc")
        )
        seen.append(equal("other mounts of the Gofer:", [], strange))
    return seen


def _served(mount: Mount, by_target: dict[str, mountinfo.MountEntry], view: HostView) -> Seen:
    entry = by_target.get(mount.target)
    if entry is None:
        return holds(f"{mount.target} mounted", "not mounted", ok=False)
    if mount.kind == "volume":
        right = entry.root.endswith(f"/volumes/{mount.source}/_data")
        return holds(f"{mount.target} from volume {mount.source}", entry.root, ok=right)
    wanted = mountinfo.location(list(view.own_mounts), mount.source)
    shown = f"{wanted[0]} {wanted[1]}" if wanted else mount.source
    return holds(f"{mount.target} is {shown}", f"{entry.device} {entry.root}", ok=wanted == (entry.device, entry.root))
