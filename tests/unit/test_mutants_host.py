"""What the host's /proc showed of a real box passes; the same with one control altered is refused by that control."""

from collections.abc import Callable

import pytest
from samples import DOCKERS, EVERY, host_view, plan_of

from aibox import controls
from aibox.controls import CONTROLS
from aibox.hostview import GOFER, SENTRY, HostProcess, HostView
from aibox.model import LaunchPlan
from aibox.mountinfo import MountEntry

ROOTFUL, ROOTLESS = "podman-4.3.1-rootful", "podman-4.3.1-rootless"
Change = Callable[[HostView], HostView]
Each = Callable[[HostProcess], HostProcess]


def on(role: str, act: Each) -> Change:
    """A change of the Sentry or the Gofer."""
    return lambda view: view._replace(processes=tuple(act(one) if one.role == role else one for one in view.processes))


def fields(role: str, **values: object) -> Change:
    def act(process: HostProcess) -> HostProcess:
        made = HostProcess._make({**process._asdict(), **values}.values())
        assert made != process, "the mutant changes nothing"
        return made

    return on(role, act)


def flag(role: str, name: str, value: str) -> Change:
    """Another value of a runsc flag; empty: the flag is not there."""

    def act(process: HostProcess) -> HostProcess:
        kept = [word for word in process.argv[1:] if not word.startswith(f"--{name}=")]
        return process._replace(argv=(process.argv[0], *([f"--{name}={value}"] if value else []), *kept))

    return on(role, act)


def served(target: str, **values: object) -> Change:
    """Another mount of the Gofer."""

    def act(process: HostProcess) -> HostProcess:
        found = {entry.target: entry for entry in process.mounts}
        found[target] = MountEntry._make({**found[target]._asdict(), **values}.values())
        return process._replace(mounts=tuple(found.values()))

    return on(GOFER, act)


def also(target: str) -> Change:
    entry = MountEntry("254:0", "/etc", target, ("rw",), "ext4", "/dev/vda", ())
    return on(GOFER, lambda process: process._replace(mounts=(*process.mounts, entry)))


def not_served(target: str) -> Change:
    return on(GOFER, lambda process: process._replace(mounts=tuple(m for m in process.mounts if m.target != target)))


def missing(role: str) -> Change:
    return lambda view: view._replace(processes=tuple(one for one in view.processes if one.role != role))


def under(filters: int) -> Change:
    """The engine's monitor is under so many filters itself."""
    return lambda view: view._replace(inherited=filters)


WIDE = ((0, 0, 4294967295),)
LOOSENING = ("allow-flag-override", "TESTONLY-unsafe-nonroot", "profile", "net-raw", "host-fifo", "fsgofer-host-uds")
TUNNELS = ("tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0")
BOTH_PROCESSES: list[tuple[str, str, Callable[[str], Change]]] = [
    ("S1", "a capability for raw packets", lambda role: fields(role, capabilities=1 << 13)),
    ("S1", "a capability over the system", lambda role: fields(role, capabilities=0x1F | 1 << 21)),
    ("S2", "privileges may grow", lambda role: fields(role, no_new_privileges=False)),
    ("S4", "host root", lambda role: fields(role, uid=0)),
    ("S4", "uid unknown", lambda role: fields(role, uid=-1)),
    ("S4", "the host's user namespace", lambda role: fields(role, id_map=WIDE)),
    ("S4", "no map at all", lambda role: fields(role, id_map=())),
    ("S4", "host root mapped", lambda role: fields(role, id_map=((0, 1900000000, 65536), (70000, 0, 1)))),
    ("S4", "another range of ids", lambda role: fields(role, id_map=((0, 1800000000, 65536),))),
    ("S5", "no filter", lambda role: fields(role, seccomp=0)),
    ("S5", "strict mode, not a filter", lambda role: fields(role, seccomp=1)),
    ("S6", "one filter alone", lambda role: fields(role, filters=1)),
    ("S6", "no filter at all", lambda role: fields(role, filters=0)),
    ("S7", "a network device", lambda role: fields(role, interfaces=("lo", "eth0"))),
    ("S7", "no device seen", lambda role: fields(role, interfaces=())),
    ("S7", "a tunnel that leads somewhere", lambda role: fields(role, interfaces=("lo", "sit0"), routes=("sit0",))),
    ("S8", "the network of the host", lambda role: flag(role, "network", "host")),
    ("S8", "network not said", lambda role: flag(role, "network", "")),
    ("S8", "seccomp of the box ignored", lambda role: flag(role, "oci-seccomp", "false")),
    ("S8", "sockets of the host", lambda role: flag(role, "host-uds", "all")),
    ("S8", "another platform", lambda role: flag(role, "platform", "ptrace")),
    ("S8", "a program that is not told", lambda role: fields(role, program="")),
    ("S8", "another program", lambda role: fields(role, program="/workspace/runsc")),
    ("S8", "a program of an alike name", lambda role: fields(role, program="/opt/runsc/runsc-2024.old")),
    *(("S8", f"the flag {name}", lambda role, name=name: flag(role, name, "true")) for name in LOOSENING),
]
MUTANTS: list[tuple[str, str, Change]] = [
    *(
        (control, f"{role}: {title}", change(role))
        for control, title, change in BOTH_PROCESSES
        for role in (SENTRY, GOFER)
    ),
    ("S6", "one of the two filters is the caller's", under(1)),
    ("S6", "both filters are the caller's", under(2)),
    ("S6", "nobody knows whose the filters are", under(-1)),
    ("S8", "no Sentry", missing(SENTRY)),
    ("S9", "another folder of the same disk", served("/workspace", root="/etc")),
    ("S9", "the same folder of another disk", served("/workspace", device="8:1")),
    ("S9", "no workspace", not_served("/workspace")),
    ("S9", "no home", not_served("/home/dev")),
    ("S9", "another volume", served("/home/dev", root="/var/lib/containers/storage/volumes/other/_data")),
    ("S9", "a folder of the host as a cache", served("/home/dev/.m2", root="/root/.ssh")),
    ("S9", "a writable root", served("/", options=("rw", "relatime"))),
    ("S9", "no root", not_served("/")),
    ("S9", "a further folder", also("/mnt")),
    ("S9", "a folder over /etc", also("/etc")),
    ("S9", "another mount over the workspace", also("/workspace")),
    ("S9", "a mount table that cannot be read", fields(GOFER, mounts=())),
]


def refused(view: HostView, plan: LaunchPlan | None = None) -> set[str]:
    findings = controls.host_findings(plan or plan_of(ROOTFUL), view, running=True)
    return {finding.control for finding in findings if not finding.ok}


@pytest.mark.parametrize("name", EVERY)
def test_recordings_pass(name: str) -> None:
    view = host_view(name)
    assert {one.role for one in view.processes} == {SENTRY, GOFER}
    findings = controls.host_findings(plan_of(name), view, running=True)
    assert [finding for finding in findings if not finding.ok] == []
    assert len(findings) > 30


@pytest.mark.parametrize("name", [ROOTFUL, *DOCKERS])
@pytest.mark.parametrize(("control", "title", "change"), MUTANTS, ids=[title for _, title, _ in MUTANTS])
def test_every_mutant_is_refused_by_its_control(name: str, control: str, title: str, change: Change) -> None:
    view = host_view(name)
    assert change(view) != view
    assert refused(change(view), plan_of(name)) == {control}, title


@pytest.mark.parametrize("view", [HostView((), ()), missing(GOFER)(host_view(ROOTFUL))])
def test_a_box_without_its_processes_is_none(view: HostView) -> None:
    assert refused(view) == {"S8", "S9"}


def test_rootless_maps() -> None:
    plan, view = plan_of(ROOTLESS), host_view(ROOTLESS)
    for role in (SENTRY, GOFER):
        assert refused(fields(role, id_map=((0, 0, 1),))(view), plan) == {"S4"}
        assert refused(fields(role, id_map=())(view), plan) == {"S4"}
        assert refused(fields(role, uid=0)(view), plan) == {"S4"}
        assert refused(fields(role, id_map=WIDE)(view), plan) == {"S4"}


def test_root_in_its_own_namespace_is_no_free_pass() -> None:
    """Where root itself runs a rootless engine, its ids are seen from inside; the host's own namespace is refused."""
    plan = plan_of(ROOTLESS)
    plan = plan._replace(owner=plan.owner._replace(uid=0))
    view = fields(GOFER, id_map=((0, 0, 1), (1, 100000, 65536)), uid=0)(host_view(ROOTLESS))
    assert refused(view, plan) == set()
    assert refused(fields(GOFER, id_map=WIDE)(view), plan) == {"S4"}
    assert refused(fields(GOFER, id_map=())(view), plan) == {"S4"}


def test_idle_tunnels_are_no_network() -> None:
    """Every network namespace has them where the kernel's tunnel modules are loaded, as on WSL2."""
    view = fields(SENTRY, interfaces=("sit0", "lo"))(host_view(ROOTFUL))
    view = fields(GOFER, interfaces=("lo", *TUNNELS))(view)
    assert refused(view) == set()


def test_a_companion_folder_may_hold_the_sentry() -> None:
    view = host_view(ROOTFUL)
    assert refused(fields(SENTRY, program="/opt/runsc/gvisor-bin/sentry")(view)) == set()
    assert refused(fields(SENTRY, program="/opt/runsc/runsc-2024 (deleted)")(view)) == set()
    assert refused(fields(SENTRY, program="/opt/gvisor-bin/sentry")(view)) == {"S8"}


APPARMOR = [
    ("aibox-runsc (enforce)", set()),
    ("aibox-runsc (complain)", {"S6"}),
    ("aibox-runsc-other (enforce)", {"S6"}),
    ("aibox-runsc (mixed)", {"S6"}),
    ("aibox-runsc", {"S6"}),
    ("aibox-runsc//&other (enforce)", set()),
    ("aibox-runsc//&other (mixed)", set()),
    ("other//&aibox-runsc (complain)", {"S6"}),
    ("other//&another (mixed)", {"S6"}),
    ("unconfined", {"S6"}),
    ("", {"S6"}),
]


@pytest.mark.parametrize(("label", "wanted"), APPARMOR)
def test_the_apparmor_profile_of_runsc(label: str, wanted: set[str]) -> None:
    plan = plan_of(ROOTFUL)
    plan = plan._replace(runtime=plan.runtime._replace(apparmor="aibox-runsc"))
    right = fields(GOFER, label="aibox-runsc (enforce)")(host_view(ROOTFUL))
    assert refused(fields(SENTRY, label=label or "(none)")(right), plan) == wanted


def test_a_stacked_label_alone_does_not_say_that_the_profile_is_in_force() -> None:
    """`mixed` may be the other one in force and ours complaining."""
    plan, view = runc()
    for enforced, wanted in (
        (None, set()),
        (frozenset({"aibox-sandbox", "x"}), set()),
        (frozenset({"crun"}), {"S6"}),
        (frozenset(), {"S6"}),
    ):
        assert refused(view._replace(enforced=enforced), plan) == wanted
        alone = fields("first process", label="aibox-sandbox (enforce)")(view)
        assert refused(alone._replace(enforced=enforced), plan) == set(), "the label says it"


def test_filters_of_the_caller_do_not_count() -> None:
    """As in a CI container or under systemd's SystemCallFilter, where whatever runs is under some filter."""
    view = fields(GOFER, filters=5)(fields(SENTRY, filters=5)(under(3)(host_view(ROOTFUL))))
    assert refused(view) == set()
    assert refused(under(4)(view)) == {"S6"}
    plan, native = runc()
    for inherited, wanted in ((0, set()), (1, {"S5"}), (-1, {"S5"})):
        assert refused(under(inherited)(native), plan) == wanted


# Without gVisor: the box's own first process is what the host shows.


def runc() -> tuple[LaunchPlan, HostView]:
    plan, view = plan_of(ROOTFUL), host_view(ROOTFUL)
    gofer = view.role(GOFER)
    assert gofer
    first = gofer._replace(
        role="first process", argv=("/usr/bin/perl",), capabilities=0, filters=1, label="aibox-sandbox//&crun (mixed)"
    )
    made = plan._replace(runtime=plan.runtime._replace(kind="runc"), apparmor="aibox-sandbox")
    return made, view._replace(processes=(first,))


RUNC: list[tuple[str, Change]] = [
    ("S1", fields("first process", capabilities=1)),
    ("S2", fields("first process", no_new_privileges=False)),
    ("S4", fields("first process", id_map=WIDE)),
    ("S5", fields("first process", seccomp=0)),
    ("S6", fields("first process", label="crun (enforce)")),
    ("S6", fields("first process", label="")),
    ("S7", fields("first process", interfaces=("lo", "eth0"))),
]


def test_under_runc_the_same_controls_hold() -> None:
    plan, view = runc()
    assert refused(view, plan) == set()
    for control, change in RUNC:
        assert refused(change(view), plan) == {control}
    assert refused(view._replace(processes=()), plan) == {"S8", "S9"}


# Meta


def test_every_control_has_mutants() -> None:
    assert {control for control, _, _ in MUTANTS} == {row.id for row in CONTROLS if row.host or row.running}


@pytest.mark.parametrize("row", [row for row in CONTROLS if row.host or row.running], ids=lambda row: row.id)
def test_every_observation_is_broken_by_a_mutant(row: controls.Control) -> None:
    plan, good = plan_of(ROOTFUL), host_view(ROOTFUL)
    for check in (row.host, row.running):
        if check is None:
            continue
        every = {seen.expected for seen in check(plan, good)}
        changes = [*(change for _, _, change in MUTANTS), missing(GOFER)]
        broken = {seen.expected for change in changes for seen in check(plan, change(good)) if not seen.ok}
        left = {one for one in every - broken if "from volume" not in one}
        assert left == set()


def test_before_the_first_process_one_filter_is_enough() -> None:
    """runsc loads its own filter when the box starts; the wrapper's is there before."""
    view = fields(GOFER, filters=1, seccomp=2)(fields(SENTRY, filters=1)(host_view(ROOTFUL)))
    plan = plan_of(ROOTFUL)
    assert [one for one in controls.host_findings(plan, view, running=False) if not one.ok] == []
    none = fields(SENTRY, filters=0)(view)
    assert {one.control for one in controls.host_findings(plan, none, running=False) if not one.ok} == {"S6"}
