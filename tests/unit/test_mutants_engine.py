"""What a real engine recorded of a box passes; the same with one control altered is refused by that control.

Two levels: the engine's own record (`inspect`), and the OCI configuration that it hands to the runtime.
"""

from collections.abc import Callable

import pytest
from samples import DOCKERS, EVERY, RECORDINGS, changed, plan_of, profile_of, recorded

from aibox import controls
from aibox.checks_engine import steering
from aibox.controls import CONTROLS
from aibox.jsonview import Json, dig, fields, items, text

Change = Callable[[Json], Json]


def to(*way: str | int, value: Json) -> Change:
    """Another value at one place."""
    return lambda document: changed(document, *way, to=value)


def more(*way: str | int, value: Json) -> Change:
    """One element more in a list."""
    return lambda document: changed(document, *way, to=value, add=True)


def gone(*way: str | int) -> Change:
    """A place removed."""
    return lambda document: changed(document, *way, remove=True)


def where(way: tuple[str, ...], key: str, name: str, change: Callable[[int], Change]) -> Change:
    """A change of the list's element whose `key` is `name`."""

    def act(document: Json) -> Json:
        at = next(at for at, one in enumerate(items(document, *way)) if text(one, key) == name)
        return change(at)(document)

    return act


def at_mount(target: str, key: str, value: Json) -> Change:
    return where(("mounts",), "destination", target, lambda at: to("mounts", at, key, value=value))


def options(target: str, *, without: str = "", extra: str = "") -> Change:
    """Other options of one mount."""

    def act(document: Json) -> Json:
        entry = next(one for one in items(document, "mounts") if text(one, "destination") == target)
        kept: list[Json] = [option for option in items(entry, "options") if option != without]
        # Docker does not say what is the default
        assert without in ("", "rw") or without in items(entry, "options")
        return at_mount(target, "options", [*kept, *([extra] if extra else [])])(document)

    return act


def annotation(name: str, value: str = "x") -> Change:
    """One annotation more, or the first."""
    return lambda document: changed(document, "annotations", to={**fields(document, "annotations"), name: value})


def no_mount(target: str) -> Change:
    return lambda document: changed(
        document, "mounts", to=[one for one in items(document, "mounts") if text(one, "destination") != target]
    )


def mount(target: str, source: str, kind: str = "bind", *flags: str) -> Change:
    return more("mounts", value={"destination": target, "source": source, "type": kind, "options": [*flags]})


def no_namespace(kind: str) -> Change:
    def act(document: Json) -> Json:
        kept: list[Json] = [one for one in items(document, "linux", "namespaces") if text(one, "type") != kind]
        return changed(document, "linux", "namespaces", to=kept)

    return act


def joined(kind: str) -> Change:
    way = ("linux", "namespaces")
    return where(way, "type", kind, lambda at: to(*way, at, "path", value="/proc/1/ns/x"))


def without(name: str, path: str) -> Change:
    """One path less among those that the engine hides."""

    def act(document: Json) -> Json:
        kept: list[Json] = [one for one in items(document, "linux", name) if one != path]
        return changed(document, "linux", name, to=kept)

    return act


MASKED = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware")
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
OWN_FILES = ("/etc/group", "/etc/hostname", "/etc/hosts", "/etc/passwd", "/etc/resolv.conf", "/run/.containerenv")
ALLOW_MOUNT: Json = {"names": ["mount"], "action": "SCMP_ACT_ALLOW"}
HOOK: Json = {"prestart": [{"path": "/bin/true"}]}
KVM: Json = {"path": "/dev/kvm", "type": "c", "major": 10, "minor": 232}
LOOSE_USER: Json = {"uid": 1000, "gid": 0}
SECCOMP = ("linux", "seccomp")
STEERING_NAMES = (
    "io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id", "io.kubernetes.cri-o.ContainerType",
    "io.kubernetes.cri-o.SandboxID", "run.oci.handler", "run.oci.hooks.stderr", "krun.cpus", "org.criu.config",
    "module.wasm.image/variant", "org.systemd.property.Delegate", "org.systemd.property.ExecStartPre",
)  # fmt: skip

BOTH_ENGINES: list[tuple[str, str, Change]] = [
    ("S1", "privileged", to("HostConfig", "Privileged", value=True)),
    ("S1", "privileged not said", gone("HostConfig", "Privileged")),
    ("S3", "a writable root", to("HostConfig", "ReadonlyRootfs", value=False)),
    ("S3", "not said", gone("HostConfig", "ReadonlyRootfs")),
    ("S4", "root", to("Config", "User", value="root")),
    ("S4", "no user", to("Config", "User", value="")),
    ("S7", "the host's network", to("HostConfig", "NetworkMode", value="host")),
    ("S7", "another container's network", to("HostConfig", "NetworkMode", value="container:x")),
    ("S7", "a published port", to("HostConfig", "PortBindings", value={"80/tcp": []})),
    ("S10", "another plan", to("Config", "Labels", "io.aibox.plan", value="0" * 64)),
    ("S10", "no labels", to("Config", "Labels", value=None)),
    ("S10", "another image", to("Image", value="0" * 64)),
    ("S10", "a host folder as the root", lambda inspect: {**fields(inspect), "Rootfs": "/"}),
]
INSPECT: list[tuple[str, str, Change]] = [
    ("S1", "an effective capability", to("EffectiveCaps", value=["CAP_NET_RAW"])),
    ("S1", "a bounding capability", to("BoundingCaps", value=["CAP_CHOWN"])),
    ("S8", "another runtime", to("OCIRuntime", value="/usr/bin/runc")),
    ("S8", "a runtime by name", to("OCIRuntime", value="runsc")),
    *BOTH_ENGINES,
]
DOCKER_INSPECT: list[tuple[str, str, Change]] = [
    ("S1", "no capability dropped", to("HostConfig", "CapDrop", value=None)),
    ("S1", "one capability dropped", to("HostConfig", "CapDrop", value=["CAP_NET_RAW"])),
    ("S1", "one capability added", to("HostConfig", "CapAdd", value=["CAP_NET_RAW"])),
    ("S8", "another runtime", to("HostConfig", "Runtime", value="runc")),
    ("S8", "no runtime", gone("HostConfig", "Runtime")),
    *BOTH_ENGINES,
]

OCI: list[tuple[str, str, Change]] = [
    *(
        ("S1", f"a capability in {name}", to("process", "capabilities", value={name: ["CAP_SYS_ADMIN"]}))
        for name in ("bounding", "effective", "inheritable", "permitted", "ambient")
    ),
    ("S2", "removed", gone("process", "noNewPrivileges")),
    ("S2", "switched off", to("process", "noNewPrivileges", value=False)),
    ("S3", "removed", gone("root", "readonly")),
    ("S3", "writable", to("root", "readonly", value=False)),
    ("S4", "root", to("process", "user", "uid", value=0)),
    ("S4", "root's group", to("process", "user", "gid", value=0)),
    ("S4", "a further group", more("process", "user", "additionalGids", value=0)),
    ("S4", "no user at all", gone("process", "user")),
    ("S4", "no user namespace", no_namespace("user")),
    ("S5", "no filter", gone(*SECCOMP)),
    ("S5", "everything allowed", to(*SECCOMP, "defaultAction", value="SCMP_ACT_ALLOW")),
    ("S5", "everything only logged", to(*SECCOMP, "defaultAction", value="SCMP_ACT_LOG")),
    ("S5", "another error for what is not allowed", to(*SECCOMP, "defaultErrnoRet", value=38)),
    ("S5", "one call more", more(*SECCOMP, "syscalls", value=ALLOW_MOUNT)),
    ("S5", "one rule less", lambda oci: changed(oci, *SECCOMP, "syscalls", to=items(oci, *SECCOMP, "syscalls")[1:])),
    ("S5", "another action", to(*SECCOMP, "syscalls", 0, "action", value="SCMP_ACT_NOTIFY")),
    ("S5", "a listener", to(*SECCOMP, "listenerPath", value="/run/listener")),
    ("S5", "32-bit calls", more(*SECCOMP, "architectures", value="SCMP_ARCH_X86")),
    ("S5", "x32 calls", more(*SECCOMP, "architectures", value="SCMP_ARCH_X32")),
    ("S6", "a profile that was not planned", to("process", "apparmorProfile", value="containers-default-0.50.1")),
    ("S8", "an annotation for gVisor", annotation("dev.gvisor.flag.debug", "true")),
    ("S8", "an internal annotation", annotation("dev.gvisor.internal.seccomp")),
    *(("S8", f"the annotation {name}", annotation(name)) for name in STEERING_NAMES),
    ("S8", "a hook", to("hooks", value=HOOK)),
    ("S9", "a host folder", mount("/host", "/", "bind", "ro")),
    ("S9", "a further tmpfs", mount("/run", "tmpfs", "tmpfs", "rw")),
    ("S9", "a place mounted twice", mount("/workspace", "/run/aibox/workspaces/x", "bind", "nosuid", "nodev", "rw")),
    ("S9", "no /tmp", no_mount("/tmp")),
    ("S9", "no workspace", no_mount("/workspace")),
    ("S9", "set-uid programs in the workspace", options("/workspace", without="nosuid")),
    ("S9", "set-uid programs, said twice", options("/workspace", extra="suid")),
    ("S9", "devices in the home", options("/home/dev", without="nodev")),
    ("S9", "devices, said twice", options("/home/dev", extra="dev")),
    ("S9", "programs in /tmp", options("/tmp", without="noexec")),
    ("S9", "programs, said twice", options("/tmp", extra="exec")),
    ("S9", "mounts that travel to the host", options("/workspace", extra="rshared")),
    ("S9", "mounts that travel, the root", to("linux", "rootfsPropagation", value="shared")),
    ("S9", "a read-only workspace", options("/workspace", without="rw", extra="ro")),
    ("S9", "/tmp without bound", options("/tmp", without="size=2147483648")),
    ("S9", "/tmp with two sizes", options("/tmp", extra="size=1")),
    ("S9", "another folder as the workspace", at_mount("/workspace", "source", "/etc")),
    ("S9", "another volume as the home", at_mount("/home/dev", "source", "/x/volumes/other-home/_data")),
    ("S9", "a relative volume", at_mount("/home/dev", "source", "x/volumes/aibox-root-home/_data")),
    ("S9", "/tmp on disk", at_mount("/tmp", "type", "bind")),
    ("S9", "the home of another type", at_mount("/home/dev", "type", "overlay")),
    ("S9", "the workspace of another type", at_mount("/workspace", "type", "overlay")),
    ("S9", "a writable engine file", options("/etc/hostname", without="ro", extra="rw")),
    ("S9", "a host file in an engine file's place", at_mount("/etc/hostname", "source", "/etc/shadow")),
    ("S9", "the host's own /etc/passwd", mount("/etc/passwd", "/etc/passwd", "bind", "ro")),
    ("S9", "another type of kernel mount", at_mount("/dev/pts", "type", "bind")),
    ("S9", "a host folder as /sys", lambda oci: at_mount("/sys", "source", "/")(at_mount("/sys", "type", "bind")(oci))),
    ("S9", "a writable /sys", options("/sys", without="ro", extra="rw")),
    ("S9", "writable cgroups", options("/sys/fs/cgroup", without="ro", extra="rw")),
    ("S10", "a host variable", more("process", "env", value="SSH_AUTH_SOCK=/run/x")),
    ("S10", "a planned variable with another value", more("process", "env", value="PATH=/workspace/bin")),
    ("S10", "another first process", to("process", "args", value=["/bin/sh"])),
    ("S10", "a word more for the first process", more("process", "args", value="x")),
    *(("S10", f"the host's {kind} namespace", no_namespace(kind)) for kind in ("pid", "ipc", "uts", "mount")),
    *(("S10", f"another {kind} namespace", joined(kind)) for kind in ("pid", "ipc", "uts", "mount", "user")),
    ("S10", "a device", to("linux", "devices", value=[KVM])),
    ("S10", "nothing masked", to("linux", "maskedPaths", value=[])),
    *(("S10", f"{path} seen", without("maskedPaths", path)) for path in MASKED),
    *(("S10", f"{path} writable", without("readonlyPaths", path)) for path in READ_ONLY),
]
BOTH: list[tuple[set[str], str, Change]] = [
    ({"S7", "S10"}, "the host's network", no_namespace("network")),
    ({"S4", "S7", "S10"}, "all of the host's namespaces", to("linux", "namespaces", value=[])),
]
ROOTFUL_ONLY: list[tuple[str, str, Change]] = [
    ("S4", "host root in the box", to("linux", "uidMappings", 0, "hostID", value=0)),
    ("S4", "host groups in the box", to("linux", "gidMappings", 0, "hostID", value=0)),
    ("S4", "a larger range", to("linux", "uidMappings", 0, "size", value=1 << 31)),
    ("S4", "a further range", more("linux", "gidMappings", value={"containerID": 65536, "hostID": 0, "size": 1})),
    ("S4", "no mapping", gone("linux", "uidMappings")),
]


def refused_inspect(name: str, record: Json) -> set[str]:
    return {finding.control for finding in controls.inspect_findings(plan_of(name), record) if not finding.ok}


def refused_oci(name: str, oci: Json) -> set[str]:
    found = controls.oci_findings(plan_of(name), oci, profile_of(name))
    return {finding.control for finding in found if not finding.ok}


@pytest.mark.parametrize("name", EVERY)
def test_recordings_pass(name: str) -> None:
    record = controls.inspect_findings(plan_of(name), dig(recorded(name, "inspect"), 0))
    oci = controls.oci_findings(plan_of(name), recorded(name, "config"), profile_of(name))
    assert [finding for finding in (*record, *oci) if not finding.ok] == []
    assert (len(record), len(oci)) > (8, 80)


@pytest.mark.parametrize("name", RECORDINGS)
@pytest.mark.parametrize(("control", "title", "change"), INSPECT)
def test_the_engines_record(name: str, control: str, title: str, change: Change) -> None:
    assert refused_inspect(name, change(dig(recorded(name, "inspect"), 0))) == {control}, title


@pytest.mark.parametrize("name", DOCKERS)
@pytest.mark.parametrize(("control", "title", "change"), DOCKER_INSPECT)
def test_dockers_record(name: str, control: str, title: str, change: Change) -> None:
    assert refused_inspect(name, change(dig(recorded(name, "inspect"), 0))) == {control}, title


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(("wanted", "title", "change"), [*(({c}, t, m) for c, t, m in OCI), *BOTH])
def test_the_oci_configuration(name: str, wanted: set[str], title: str, change: Change) -> None:
    assert refused_oci(name, change(recorded(name, "config"))) == wanted, title


@pytest.mark.parametrize("name", ["podman-4.3.1-rootful", *DOCKERS])
@pytest.mark.parametrize(("control", "title", "change"), ROOTFUL_ONLY)
def test_the_id_map_of_a_rootful_engine(name: str, control: str, title: str, change: Change) -> None:
    assert refused_oci(name, change(recorded(name, "config"))) == {control}, title


@pytest.mark.parametrize("document", [None, [], {}, "x", 3, {"process": [], "mounts": {}, "linux": 3, "Config": []}])
def test_garbage_is_refused_by_every_control_that_looks(document: Json) -> None:
    """A document of another shape is a failed check, never a traceback, and never passes for lack of evidence."""
    assert refused_inspect("podman-4.3.1-rootful", document) >= {"S1", "S3", "S4", "S7", "S8", "S10"}
    assert refused_oci("podman-4.3.1-rootful", document) >= {"S2", "S3", "S4", "S5", "S7", "S9", "S10"}


def bare_of(target: str) -> Json:
    """The recorded configuration without a mount there, if it has one."""
    oci = recorded("podman-4.3.1-rootful", "config")
    kept: list[Json] = [one for one in items(oci, "mounts") if text(one, "destination") != target]
    return {**fields(oci), "mounts": kept}


@pytest.mark.parametrize("target", OWN_FILES)
def test_the_engines_own_files(target: str) -> None:
    """Read-only, and out of the engine's folder for this container; else they would be files of the host."""
    bare = bare_of(target)
    name = target.rpartition("/")[2]
    for source, flag, wanted in (
        (f"/run/x/userdata/{name}", "ro", set()),
        (f"/run/x/userdata/{name}", "rw", {"S9"}),
        (f"/run/x/{name}", "ro", {"S9"}),
        ("/run/x/userdata/other", "ro", {"S9"}),
        (target, "ro", {"S9"}),
    ):
        assert refused_oci("podman-4.3.1-rootful", mount(target, source, "bind", flag)(bare)) == wanted


@pytest.mark.parametrize(
    ("target", "kind", "source", "flag"),
    [
        ("/dev", "tmpfs", "tmpfs", "rw"), ("/dev/mqueue", "mqueue", "mqueue", "rw"),
        ("/dev/pts", "devpts", "devpts", "rw"), ("/proc", "proc", "proc", "rw"),
        ("/sys", "sysfs", "sysfs", "ro"), ("/sys", "bind", "/sys", "ro"),
        ("/sys/fs/cgroup", "cgroup", "cgroup", "ro"), ("/sys/fs/cgroup", "cgroup2", "cgroup", "ro"),
    ],
)  # fmt: skip
def test_the_kernels_own_mounts(target: str, kind: str, source: str, flag: str) -> None:
    bare = bare_of(target)
    assert refused_oci("podman-4.3.1-rootful", bare) == set()
    assert refused_oci("podman-4.3.1-rootful", mount(target, source, kind, flag)(bare)) == set()
    assert refused_oci("podman-4.3.1-rootful", mount(target, source, "nfs", flag)(bare)) == {"S9"}


def test_every_control_has_mutants_at_each_level() -> None:
    assert {control for control, _, _ in INSPECT} == {row.id for row in CONTROLS if row.inspect}
    seen_in_oci = {row.id for row in CONTROLS if row.oci} | {"S5"}
    assert {control for control, _, _ in OCI} | {"S7"} == seen_in_oci
    assert {row.id for row in CONTROLS} - seen_in_oci == set(), "every control can be seen in the OCI configuration"


@pytest.mark.parametrize(
    ("name", "mutants"), [("podman-4.3.1-rootful", INSPECT), *((name, DOCKER_INSPECT) for name in DOCKERS)]
)
def test_every_observation_is_broken_by_a_mutant(name: str, mutants: list[tuple[str, str, Change]]) -> None:
    """No check could be left out without a test that notices."""
    plan, record, oci = plan_of(name), dig(recorded(name, "inspect"), 0), recorded(name, "config")
    profile = profile_of(name)
    every = {finding.expected for finding in controls.inspect_findings(plan, record)}
    broken = {
        finding.expected
        for _, _, change in mutants
        for finding in controls.inspect_findings(plan, change(record))
        if not finding.ok
    }
    assert every - broken == set()
    caches = {mount.target for mount in plan.mounts if mount.source.endswith("-cache")}
    judged = controls.oci_findings(plan, oci, profile)
    every = {finding.expected for finding in judged if not finding.expected.startswith(tuple(caches))}
    changes = [change for _, _, change in [*OCI, *BOTH, *ROOTFUL_ONLY]]
    broken = {
        finding.expected
        for change in changes
        for finding in controls.oci_findings(plan, change(oci), profile)
        if not finding.ok
    }
    left = {one for one in every - broken if not one.startswith(("/opt/toolpacks", "/var/tmp", "/dev/shm"))}
    assert left == set()


def test_annotations_that_podman_itself_sets_steer_nothing() -> None:
    own = {name for one in RECORDINGS for name in fields(recorded(one, "config"), "annotations")}
    assert own >= {"io.kubernetes.cri-o.TTY", "org.systemd.property.KillSignal", "org.systemd.property.TimeoutStopUSec"}
    assert steering(own) == []


def test_the_order_of_rules_and_names_does_not_matter() -> None:
    oci = recorded("podman-4.3.1-rootful", "config")
    rules: list[Json] = [
        {**fields(rule), "names": list(reversed(items(rule, "names")))} for rule in items(oci, *SECCOMP, "syscalls")
    ]
    assert refused_oci("podman-4.3.1-rootful", changed(oci, *SECCOMP, "syscalls", to=rules[::-1])) == set()
