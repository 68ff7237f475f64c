"""What policy demands of a plan before any engine sees it, control by control. Pure."""

from aibox.model import BOX_HOME, BOX_USER, BOX_WORKSPACE, GIB, NATIVE_KINDS, SANDBOX_PROFILE, LaunchPlan, Mount
from aibox.observe import Seen, equal, holds, same_set
from aibox.plan import CACHES, ID_MAPPED, PERSISTENT, SCRATCH, volume_name

TARGETS = (BOX_WORKSPACE, BOX_HOME, "/opt/toolpacks", "/tmp", "/var/tmp", "/dev/shm")
# places in memory with the most bytes that they may hold, 0: as configured
MEMORY = {"/tmp": 2 * GIB, "/var/tmp": GIB, "/dev/shm": 0}
# places on volumes with the purpose in the volume's name
VOLUMES = {BOX_HOME: "home", "/opt/toolpacks": "toolpacks", **{cache.target: f"{cache.name}-cache" for cache in CACHES}}
MAY_RUN_UNDER = ("runsc", *NATIVE_KINDS)
FORBIDDEN_ENVIRONMENT = ("LD_PRELOAD", "LD_AUDIT", "PERL5OPT", "PERL5LIB", "PERLLIB", "PERL5DB")


def capabilities(plan: LaunchPlan) -> list[Seen]:
    """S1."""
    return [equal("capabilities", (), plan.capabilities)]


def no_new_privileges(plan: LaunchPlan) -> list[Seen]:
    """S2."""
    return [equal("no-new-privileges", expected=True, observed=plan.no_new_privileges)]


def read_only(plan: LaunchPlan) -> list[Seen]:
    """S3."""
    return [equal("read-only root", expected=True, observed=plan.read_only)]


def user(plan: LaunchPlan) -> list[Seen]:
    """S4: the fixed user, and on a rootful engine a user namespace that holds no host id but the workspace's."""
    seen = [equal("user", BOX_USER, plan.user)]
    if not plan.rootless:
        observed = f"host ids from {plan.id_map.base}" if plan.id_map else "none"
        seen.append(holds("a user namespace", observed, ok=plan.id_map is not None and plan.id_map.base >= 1 << 20))
    return seen


def seccomp(plan: LaunchPlan) -> list[Seen]:
    """S5."""
    named = plan.seccomp_path.startswith("/") and len(plan.seccomp_digest) == 64
    return [holds("a profile by path and SHA-256", plan.seccomp_path or "none", ok=named)]


def confinement(plan: LaunchPlan) -> list[Seen]:
    """S6: under gVisor the wrapper carries it, so a plan needs nothing; without gVisor it must name a profile."""
    if plan.runtime.kind == "runsc":
        return [equal("profile for processes in the box", "", plan.apparmor)]
    return [equal("profile for processes in the box", SANDBOX_PROFILE, plan.apparmor)]


def network(plan: LaunchPlan) -> list[Seen]:
    """S7."""
    return [equal("network", "none", plan.network)]


def runtime(plan: LaunchPlan) -> list[Seen]:
    """S8."""
    known = plan.runtime.kind in MAY_RUN_UNDER and plan.runtime.path.startswith("/")
    wrapped = len(plan.runtime.digest) == 64
    return [
        holds("a runtime behind aibox's wrapper", f"{plan.runtime.kind} at {plan.runtime.path}", ok=known and wrapped)
    ]


def mounts(plan: LaunchPlan) -> list[Seen]:
    """S9: each place of the table once, with its options, and nothing else."""
    targets = [mount.target for mount in plan.mounts]
    caches = {cache.target for cache in CACHES}
    seen = [same_set("fixed mounts", TARGETS, [target for target in targets if target not in caches])]
    seen.append(
        holds(
            "no mount twice",
            "none" if len(set(targets)) == len(targets) else "twice",
            ok=len(set(targets)) == len(targets),
        )
    )
    for mount in plan.mounts:
        seen += _place(mount)
    return seen


def _place(mount: Mount) -> list[Seen]:
    """One mount: of the kind, with the options and within the size that its place asks for."""
    kind = "bind" if mount.target == BOX_WORKSPACE else "tmpfs" if mount.target in MEMORY else "volume"
    wanted = SCRATCH if kind == "tmpfs" else PERSISTENT
    seen = [
        equal(f"{mount.target}: kind", kind, mount.kind),
        equal(f"{mount.target}: options", wanted, mount.options),
    ]
    if kind == "tmpfs":
        bounded = 0 < mount.size <= (MEMORY[mount.target] or mount.size)
        seen.append(holds(f"{mount.target}: a size", f"{mount.target}: {mount.size or 'no'} bytes", ok=bounded))
    return seen


def nothing_else(plan: LaunchPlan) -> list[Seen]:
    """S10: one host path, the workspace; volumes by aibox's own names; no variable that could steer the launcher."""
    sources = [mount.source for mount in plan.mounts if mount.kind == "bind"]
    # a rootful engine finds the workspace with its ids mapped, in aibox's own folder
    own = plan.workspace.path if plan.rootless else f"/workspaces/{plan.name}/{ID_MAPPED}"
    one = len(sources) == 1 and (sources[0] == own if plan.rootless else sources[0].endswith(own))
    foreign = [m.source for m in plan.mounts if m.kind == "volume" and m.source != _volume(plan, m)]
    steering = [name for name, _ in plan.environment if name in FORBIDDEN_ENVIRONMENT or name.startswith("AIBOX_")]
    return [
        holds("one host path, the workspace", " ".join(sources) or "none", ok=one),
        equal("volumes that are not the developer's for this place:", [], foreign),
        equal("variables that steer the launcher:", [], steering),
    ]


def _volume(plan: LaunchPlan, mount: Mount) -> str:
    return volume_name(plan.owner, VOLUMES[mount.target]) if mount.target in VOLUMES else ""
