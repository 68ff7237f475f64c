"""What the engine made of a plan: its own record (`inspect`) and the OCI configuration it wrote. Pure.

The OCI runtime specification names the fields: https://github.com/opencontainers/runtime-spec/blob/main/config.md
"""

import re
from collections.abc import Iterable

from aibox.engines.dialect import RUNTIME_KEY, Dialect, dialect
from aibox.jsonview import Json, dig, fields, items, number, text, texts
from aibox.model import BOX_UID, LaunchPlan, Mount
from aibox.observe import Seen, equal, holds, same_set

CAPABILITY_SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")
NAMESPACES = ("ipc", "mount", "network", "pid", "uts")
KERNEL_MOUNTS = {
    "/dev": ("tmpfs",),
    "/dev/mqueue": ("mqueue",),
    "/dev/pts": ("devpts",),
    "/proc": ("proc",),
    "/sys": ("sysfs", "bind"),
    "/sys/fs/cgroup": ("cgroup", "cgroup2"),
}
READ_ONLY_KERNEL_MOUNTS = ("/sys", "/sys/fs/cgroup")
# where the kernel tells of the host, and where it can be told to change; engines hide these by default
MASKED = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware")
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
# annotations that steer a runtime past its flags and configuration: gVisor's flags and pod hints ("join that sandbox"),
# crun's other ways to run a container, CRIU's settings, properties of the container's systemd unit. data/launch.py has
# the same table. Sources: gVisor runsc/specutils, crun(1), runc features, containerd and CRI-O annotations
STEERING = (
    "dev.gvisor.",
    "io.kubernetes.cri.",
    "io.kubernetes.cri-o.ContainerType",
    "io.kubernetes.cri-o.SandboxID",
    "krun.",
    "module.wasm.image/",
    "org.criu.",
    "org.systemd.property.",
    "run.oci.",
)
# what Podman itself sets on every container, from how it shall be stopped
NOT_STEERING = ("org.systemd.property.KillSignal", "org.systemd.property.TimeoutStopUSec")
# what the engine itself adds to a process's environment
ENGINE_ENVIRONMENT = ("HOSTNAME", "TERM", "container")


def capabilities_inspect(plan: LaunchPlan, inspect: Json) -> list[Seen]:
    """S1 in the engine's record."""
    if plan.engine == "docker":
        return [
            equal("dropped capabilities", ["ALL"], texts(inspect, "HostConfig", "CapDrop")),
            equal("added capabilities", [], texts(inspect, "HostConfig", "CapAdd")),
            equal("privileged", expected=False, observed=dig(inspect, "HostConfig", "Privileged")),
        ]
    return [
        equal("effective capabilities", [], texts(inspect, "EffectiveCaps")),
        equal("bounding capabilities", [], texts(inspect, "BoundingCaps")),
        equal("privileged", expected=False, observed=dig(inspect, "HostConfig", "Privileged")),
    ]


def capabilities_oci(_plan: LaunchPlan, oci: Json) -> list[Seen]:
    """S1 in the OCI configuration: all five sets."""
    held = fields(oci, "process", "capabilities")
    return [equal(f"{name} set", [], texts(held, name)) for name in CAPABILITY_SETS]


def no_new_privileges_oci(_plan: LaunchPlan, oci: Json) -> list[Seen]:
    """S2 in the OCI configuration."""
    return [equal("noNewPrivileges", expected=True, observed=dig(oci, "process", "noNewPrivileges"))]


def read_only_inspect(_plan: LaunchPlan, inspect: Json) -> list[Seen]:
    """S3 in the engine's record."""
    return [equal("ReadonlyRootfs", expected=True, observed=dig(inspect, "HostConfig", "ReadonlyRootfs"))]


def read_only_oci(_plan: LaunchPlan, oci: Json) -> list[Seen]:
    """S3 in the OCI configuration."""
    return [equal("root.readonly", expected=True, observed=dig(oci, "root", "readonly"))]


def user_inspect(plan: LaunchPlan, inspect: Json) -> list[Seen]:
    """S4 in the engine's record."""
    return [equal("user", plan.user, text(inspect, "Config", "User"))]


def user_oci(plan: LaunchPlan, oci: Json) -> list[Seen]:
    """S4 in the OCI configuration: the user, and a user namespace that maps it as planned."""
    uid, gid = number(oci, "process", "user", "uid"), number(oci, "process", "user", "gid")
    seen = [equal("user", plan.user, f"{uid}:{gid}")]
    extra = [group for group in items(oci, "process", "user", "additionalGids") if group != BOX_UID]
    seen.append(equal("further groups", [], extra))
    kinds = [text(entry, "type") for entry in items(oci, "linux", "namespaces")]
    seen.append(holds("a user namespace", "user" if "user" in kinds else "none", ok="user" in kinds))
    if plan.id_map:
        wanted = f"0:{plan.id_map.base}:{plan.id_map.size}"
        names = ("uidMappings", "gidMappings")
        seen += [equal(name, [wanted], [_mapping(entry) for entry in items(oci, "linux", name)]) for name in names]
    return seen


def _mapping(entry: Json) -> str:
    return f"{number(entry, 'containerID')}:{number(entry, 'hostID')}:{number(entry, 'size')}"


def seccomp_oci(plan: LaunchPlan, oci: Json, profile: Json) -> list[Seen]:
    """S5 in the OCI configuration: the same default and rules as the installed profile, for no other architecture."""
    del plan
    made, wanted = fields(oci, "linux", "seccomp"), fields(profile)
    seen = [equal("default", _default(wanted), _default(made)), same_set("rules", _rules(wanted), _rules(made))]
    known = [text(entry, "architecture") for entry in items(wanted, "archMap")]
    seen.append(equal("other entry points:", [], [arch for arch in texts(made, "architectures") if arch not in known]))
    seen.append(equal("listener", "", text(made, "listenerPath")))
    return seen


def _default(profile: Json) -> str:
    # without a number it is EPERM
    return f"{text(profile, 'defaultAction')}/{number(profile, 'defaultErrnoRet') or 1}"


def _rules(profile: Json) -> set[str]:
    """One text for each rule and name, free of the order and grouping that engines choose."""
    rules: set[str] = set()
    for rule in items(profile, "syscalls"):
        arguments = sorted(_argument(argument) for argument in items(rule, "args"))
        action = f"{text(rule, 'action')}/{number(rule, 'errnoRet')}"
        rules.update(f"{name} {action} {' '.join(arguments)}".strip() for name in texts(rule, "names"))
    return rules


def _argument(test: Json) -> str:
    return f"{number(test, 'index')}{text(test, 'op')}{number(test, 'value')}/{number(test, 'valueTwo')}"


def confinement_oci(plan: LaunchPlan, oci: Json) -> list[Seen]:
    """S6 in the OCI configuration (for runc and crun; runsc ignores it, see checks_host)."""
    profile = text(oci, "process", "apparmorProfile")
    # the word `unconfined` is how newer engines write that there is none
    return [equal("apparmorProfile", plan.apparmor, "" if profile == "unconfined" else profile)]


def network_inspect(plan: LaunchPlan, inspect: Json) -> list[Seen]:
    """S7 in the engine's record."""
    ports = fields(inspect, "HostConfig", "PortBindings")
    return [
        equal("network", plan.network, text(inspect, "HostConfig", "NetworkMode")),
        equal("ports", [], sorted(ports)),
    ]


def network_oci(_plan: LaunchPlan, oci: Json) -> list[Seen]:
    """S7 in the OCI configuration: a network namespace of its own (the host check looks into it)."""
    kinds = [text(entry, "type") for entry in items(oci, "linux", "namespaces")]
    return [holds("own network namespace", "own" if "network" in kinds else "the host's", ok="network" in kinds)]


def runtime_inspect(plan: LaunchPlan, inspect: Json) -> list[Seen]:
    """S8 in the engine's record."""
    if plan.engine == "docker":
        # which wrapper the key leads to shows in the OCI configuration and on the host
        return [equal("OCI runtime", RUNTIME_KEY, text(inspect, "HostConfig", "Runtime"))]
    return [equal("OCI runtime", plan.runtime.path, text(inspect, "OCIRuntime"))]


def runtime_oci(_plan: LaunchPlan, oci: Json) -> list[Seen]:
    """S8: no annotation that steers the runtime (gVisor's flags, pod hints), and no hook that runs on the host."""
    return [
        equal("steering annotations", [], steering(fields(oci, "annotations"))),
        equal("hooks", [], sorted(fields(oci, "hooks"))),
    ]


def mounts_oci(plan: LaunchPlan, oci: Json) -> list[Seen]:
    """S9: exactly the planned mounts with at least the planned options; everything else read-only or the kernel's."""
    planned = {mount.target: mount for mount in plan.mounts}
    found: dict[str, Json] = {}
    seen: list[Seen] = []
    strange: list[str] = []
    for entry in items(oci, "mounts"):
        target, kind = text(entry, "destination"), text(entry, "type")
        if target in found:
            strange.append(f"{target} (twice)")
        found[target] = entry
        if target in planned:
            seen += _mount(planned[target], entry)
        else:
            strange += strange_mount(dialect(plan.engine), target, kind, text(entry, "source"), texts(entry, "options"))
    seen.append(equal("other mounts", [], strange))
    seen.append(same_set("planned mounts", planned, [target for target in found if target in planned]))
    propagation = text(oci, "linux", "rootfsPropagation")
    seen.append(holds("mounts stay in the box", propagation or "private", ok="shared" not in propagation))
    return seen


def strange_mount(words: Dialect, target: str, kind: str, source: str, options: list[str]) -> list[str]:
    """What is wrong with a mount that the plan does not name, if anything."""
    if target in words.files:
        # the engine keeps them in its folder for the container; anything else is a file of the host
        place = words.place.replace("{name}", re.escape(target.rpartition("/")[2]))
        own = re.fullmatch(f"/.*{place}", source) is not None
        return [f"{target} from {source}"] if not own else [] if "ro" in options else [f"{target} (writable)"]
    if kind not in KERNEL_MOUNTS.get(target, ()) or (kind == "bind" and source != target):
        return [f"{target} ({kind} of {source})"]
    return [f"{target} (writable)"] if target in READ_ONLY_KERNEL_MOUNTS and "ro" not in options else []


def _mount(mount: Mount, entry: Json) -> list[Seen]:
    options = set(texts(entry, "options"))
    source, kind = text(entry, "source"), text(entry, "type")
    lacking = sorted(
        option for option in mount.options if option not in options and not (option == "rw" and "ro" not in options)
    )
    loose = sorted(options & {"suid", "dev", "shared", "rshared", *(("exec",) if "noexec" in mount.options else ())})
    seen = [
        holds(
            f"{mount.target} {','.join(mount.options)}",
            f"{mount.target} {','.join(sorted(options))}",
            ok=not lacking and not loose,
        )
    ]
    seen.append(equal(f"{mount.target} type", "tmpfs" if mount.kind == "tmpfs" else "bind", kind))
    if mount.kind == "tmpfs":
        sizes = [option for option in options if option.startswith("size=")]
        seen.append(equal(f"{mount.target}", [f"size={mount.size}"], sizes))
    elif mount.kind == "bind":
        seen.append(equal(f"{mount.target} from", mount.source, source))
    else:
        right = source.startswith("/") and source.endswith(f"/volumes/{mount.source}/_data")
        seen.append(holds(f"{mount.target} from volume {mount.source}", source, ok=right))
    return seen


def nothing_else_oci(plan: LaunchPlan, oci: Json) -> list[Seen]:
    """S10: the planned environment and command, own namespaces, no device, nothing unmasked in the kernel's files."""
    environment = dict(entry.partition("=")[::2] for entry in texts(oci, "process", "env"))
    wanted = dict(plan.environment)
    foreign = [
        name for name, value in environment.items() if name not in ENGINE_ENVIRONMENT and wanted.get(name) != value
    ]
    namespaces = {text(entry, "type"): text(entry, "path") for entry in items(oci, "linux", "namespaces")}
    shared = [name for name in NAMESPACES if name not in namespaces]
    joined = [name for name, path in namespaces.items() if path and name != "network"]
    devices = [text(device, "path") for device in items(oci, "linux", "devices")]
    masked, fixed = texts(oci, "linux", "maskedPaths"), texts(oci, "linux", "readonlyPaths")
    return [
        equal("variables beyond the plan:", [], sorted(foreign)),
        equal("first process", list(plan.command), texts(oci, "process", "args")),
        equal("namespaces shared with the host:", [], shared),
        equal("namespaces joined:", [], joined),
        equal("devices", [], devices),
        equal("not masked:", [], [path for path in MASKED if path not in masked]),
        equal("not read-only:", [], [path for path in READ_ONLY if path not in fixed]),
    ]


def labels_inspect(plan: LaunchPlan, inspect: Json) -> list[Seen]:
    """The labels and the image that tie a box to its plan, and no folder of the host as its root."""
    held = fields(inspect, "Config", "Labels")
    wrong = [name for name, value in plan.labels if held.get(name) != value]
    return [
        equal("wrong labels", [], wrong),
        equal("image", plan.image_id, text(inspect, "Image").removeprefix("sha256:")),
        equal("root folder", "", text(inspect, "Rootfs")),
    ]


def annotations_of(image: Json) -> list[str]:
    """Annotations of an image that could steer the runtime."""
    return steering([*fields(image, "Annotations"), *fields(image, "Labels")])


def steering(names: Iterable[str]) -> list[str]:
    """The annotations among `names` that could steer the runtime."""
    return sorted({name for name in names if name.startswith(STEERING) and name not in NOT_STEERING})
