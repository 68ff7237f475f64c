"""The mandatory controls S1-S10 as one table.

The engine adapters, `start`, `verify`, the documentation and the tests all read it: what each control is, which engine
flags ask for it, and how to see it in the plan, in the engine's record, in the OCI configuration, and on the host.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from aibox import checks_engine, checks_host, checks_plan
from aibox.engines.dialect import RUNTIME_KEY
from aibox.hostview import HostView
from aibox.jsonview import Json
from aibox.model import BOX_HOME, BOX_UID, Finding, LaunchPlan
from aibox.observe import Seen

PlanCheck = Callable[[LaunchPlan], list[Seen]]
JsonCheck = Callable[[LaunchPlan, Json], list[Seen]]
HostCheck = Callable[[LaunchPlan, HostView], list[Seen]]
Flags = Callable[[LaunchPlan], tuple[str, ...]]


class Control(NamedTuple):
    """One control. `flags` are Podman's, `docker` Docker's where they differ; each check returns what it saw."""

    id: str
    title: str
    flags: Flags
    plan: PlanCheck
    inspect: JsonCheck | None
    oci: JsonCheck | None
    host: HostCheck | None
    running: HostCheck | None = None
    docker: Flags | None = None


def docker_flags(control: Control, plan: LaunchPlan) -> tuple[str, ...]:
    """The flags that ask Docker for a control; what it has no flag for is the wrapper's work (data/dockerbox.py)."""
    return (control.docker or control.flags)(plan)


def _user_flags(plan: LaunchPlan) -> tuple[str, ...]:
    if plan.id_map is None:
        uid, _, gid = plan.user.partition(":")
        return ("--user", plan.user, "--userns", f"keep-id:uid={uid},gid={gid}")
    mapping = f"0:{plan.id_map.base}:{plan.id_map.size}"
    return ("--user", plan.user, "--uidmap", mapping, "--gidmap", mapping)


def _confinement_flags(plan: LaunchPlan) -> tuple[str, ...]:
    # runsc treats an SELinux label as an error and ignores AppArmor; the wrapper confines runsc itself
    if plan.runtime.kind == "runsc":
        # a rootful engine would name a profile of its own in the OCI configuration
        own = () if plan.rootless else ("--security-opt", "apparmor=unconfined")
        return ("--security-opt", "label=disable", *own)
    # a rootless engine refuses the option; the wrapper names the profile to runc and crun itself
    return ("--security-opt", f"apparmor={plan.apparmor}") if plan.apparmor and not plan.rootless else ()


def _mount_flags(plan: LaunchPlan) -> tuple[str, ...]:
    flags: list[str] = []
    for mount in plan.mounts:
        options = ",".join(mount.options)
        if mount.kind == "tmpfs":
            flags += ["--tmpfs", f"{mount.target}:{options},size={mount.size}"]
        else:
            source = _csv_field(f"source={mount.source}")
            flags += [
                "--mount",
                f"type={mount.kind},{source},destination={mount.target},{','.join(_long(mount.options))}",
            ]
    return ("--image-volume", "ignore", *flags)


def _docker_mount_flags(plan: LaunchPlan) -> tuple[str, ...]:
    flags: list[str] = []
    for mount in plan.mounts:
        if mount.kind == "tmpfs":
            flags += ["--tmpfs", f"{mount.target}:{','.join(mount.options)},size={mount.size}"]
        else:
            source = _csv_field(f"source={mount.source}")
            private = ",bind-propagation=rprivate" if mount.kind == "bind" else ""
            flags += ["--mount", f"type={mount.kind},{source},destination={mount.target}{private}"]
    return tuple(flags)


def _docker_nothing_else_flags(plan: LaunchPlan) -> tuple[str, ...]:
    variables = [part for name, value in plan.environment for part in ("--env", f"{name}={value}")]
    return ("--ipc", "private", "--cgroupns", "private", *variables)


def _long(options: Iterable[str]) -> list[str]:
    return ["rw=true" if option == "rw" else option for option in options]


def _csv_field(field: str) -> str:
    """`--mount` is one CSV record (Go's encoding/csv): a field with a comma or quote is quoted, quotes are doubled."""
    return '"' + field.replace('"', '""') + '"' if any(mark in field for mark in ',"\n') else field


def _nothing_else_flags(plan: LaunchPlan) -> tuple[str, ...]:
    # without these the engine hands in the host's proxy settings, its hosts file and the caller's account
    variables = [part for name, value in plan.environment for part in ("--env", f"{name}={value}")]
    separate = ("--ipc", "private", "--pid", "private", "--uts", "private", "--cgroupns", "private")
    account = ("--passwd-entry", f"dev:*:{BOX_UID}:{BOX_UID}:developer:{BOX_HOME}:/bin/sh")
    return ("--http-proxy=false", "--no-hosts", *account, *separate, *variables)


def _of_gvisor(check: HostCheck) -> HostCheck:
    """Sentry and Gofer are what they will be as soon as the box is set up."""
    return lambda plan, view: check(plan, view) if plan.runtime.kind == "runsc" else []


def _of_first_process(check: HostCheck) -> HostCheck:
    """Under runc and crun the runtime's own process stands in the box until it starts."""
    return lambda plan, view: check(plan, view) if plan.runtime.kind != "runsc" else []


CONTROLS: tuple[Control, ...] = (
    Control(
        "S1",
        "no capability in any set",
        lambda plan: () if plan.capabilities else ("--cap-drop", "ALL"),
        checks_plan.capabilities,
        checks_engine.capabilities_inspect,
        checks_engine.capabilities_oci,
        _of_gvisor(checks_host.capabilities),
        _of_first_process(checks_host.capabilities),
    ),
    Control(
        "S2",
        "no-new-privileges",
        lambda plan: ("--security-opt", "no-new-privileges") if plan.no_new_privileges else (),
        checks_plan.no_new_privileges,
        None,
        checks_engine.no_new_privileges_oci,
        _of_gvisor(checks_host.no_new_privileges),
        _of_first_process(checks_host.no_new_privileges),
    ),
    Control(
        "S3",
        "read-only root",
        lambda plan: ("--read-only", "--read-only-tmpfs=false") if plan.read_only else (),
        checks_plan.read_only,
        checks_engine.read_only_inspect,
        checks_engine.read_only_oci,
        None,
        docker=lambda plan: ("--read-only",) if plan.read_only else (),
    ),
    Control(
        "S4",
        "user 1000:1000 in a user namespace",
        _user_flags,
        checks_plan.user,
        checks_engine.user_inspect,
        checks_engine.user_oci,
        checks_host.user,
        # a daemon's own mapping for all containers would stand in the way of the box's
        docker=lambda plan: ("--user", plan.user, "--userns", "host"),
    ),
    Control(
        "S5",
        "seccomp allowlist",
        lambda plan: ("--security-opt", f"seccomp={plan.seccomp_path}"),
        checks_plan.seccomp,
        None,
        None,  # judged by `oci_findings`, which also has the installed profile
        None,
        checks_host.seccomp,
    ),
    Control(
        "S6",
        "runtime confined on the host",
        _confinement_flags,
        checks_plan.confinement,
        None,
        checks_engine.confinement_oci,
        checks_host.confined,
        checks_host.filters,
    ),
    Control(
        "S7",
        "no network",
        lambda plan: ("--network", plan.network),
        checks_plan.network,
        checks_engine.network_inspect,
        checks_engine.network_oci,
        checks_host.network,
    ),
    Control(
        "S8",
        "gVisor as the runtime, or the fallback that policy allows",
        lambda _plan: (),  # --runtime is a global flag; see engines/podman.py
        checks_plan.runtime,
        checks_engine.runtime_inspect,
        checks_engine.runtime_oci,
        checks_host.present,
        docker=lambda _plan: ("--runtime", RUNTIME_KEY),
    ),
    Control(
        "S9",
        "mounts exactly as listed",
        _mount_flags,
        checks_plan.mounts,
        None,
        checks_engine.mounts_oci,
        checks_host.mounts,
        docker=_docker_mount_flags,
    ),
    Control(
        "S10",
        "nothing else from the host",
        _nothing_else_flags,
        checks_plan.nothing_else,
        checks_engine.labels_inspect,
        checks_engine.nothing_else_oci,
        None,
        docker=_docker_nothing_else_flags,
    ),
)


def plan_findings(plan: LaunchPlan) -> list[Finding]:
    """Judge a plan."""
    return [finding for row in CONTROLS for finding in _named(row, "plan", row.plan(plan))]


def inspect_findings(plan: LaunchPlan, inspect: Json) -> list[Finding]:
    """Judge the engine's own record of a box."""
    return [f for row in CONTROLS if row.inspect for f in _named(row, "engine inspect", row.inspect(plan, inspect))]


def oci_findings(plan: LaunchPlan, oci: Json, profile: Json) -> list[Finding]:
    """Judge the OCI configuration that the engine wrote; `profile` is the seccomp profile that was asked for."""
    found = [f for row in CONTROLS if row.oci for f in _named(row, "OCI config.json", row.oci(plan, oci))]
    filtered = _named(CONTROLS[4], "OCI config.json", checks_engine.seccomp_oci(plan, oci, profile))
    return [*found, *filtered]


def host_findings(plan: LaunchPlan, view: HostView, *, running: bool) -> list[Finding]:
    """Judge what the host's /proc shows; `running` adds what is only there once the first process runs."""
    found = [f for row in CONTROLS if row.host for f in _named(row, "host /proc", row.host(plan, view))]
    return [*found, *(running_findings(plan, view) if running else [])]


def running_findings(plan: LaunchPlan, view: HostView) -> list[Finding]:
    """Judge what the host's /proc shows only once the first process runs."""
    return [f for row in CONTROLS if row.running for f in _named(row, "host /proc", row.running(plan, view))]


def _named(row: Control, how: str, seen: list[Seen]) -> list[Finding]:
    return [Finding(row.id, row.title, one.expected, one.observed, how, one.ok) for one in seen]
