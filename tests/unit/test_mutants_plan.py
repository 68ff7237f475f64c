"""Each control altered in the plan: the checks refuse it with that control, and no engine is called."""

from collections.abc import Callable
from pathlib import Path

import pytest
from samples import EVERY, engine, plan_of

from aibox import controls, execute
from aibox.controls import CONTROLS
from aibox.enginecalls import EngineCalls
from aibox.errors import AiboxError
from aibox.model import LaunchPlan, Mount
from aibox.plan import PERSISTENT, SCRATCH
from aibox.state import Paths

ROOTFUL, ROOTLESS = "podman-4.3.1-rootful", "podman-4.3.1-rootless"
Change = Callable[[LaunchPlan], LaunchPlan]


def mount(target: str, **fields: object) -> Change:
    """The mount at `target` with other fields."""

    def change(plan: LaunchPlan) -> LaunchPlan:
        found = {one.target: one for one in plan.mounts}
        found[target] = Mount._make({**found[target]._asdict(), **fields}.values())
        return plan._replace(mounts=tuple(found.values()))

    return change


def without(target: str) -> Change:
    return lambda plan: plan._replace(mounts=tuple(one for one in plan.mounts if one.target != target))


def extra(kind: str, source: str, target: str, options: tuple[str, ...]) -> Change:
    return lambda plan: plan._replace(mounts=(*plan.mounts, Mount(kind, source, target, options, 1 << 20)))


def bind(source: str, target: str) -> Change:
    return extra("bind", source, target, PERSISTENT)


def runtime(**fields: str) -> Change:
    return lambda plan: plan._replace(runtime=plan.runtime._replace(**fields))


def base(number: int) -> Change:
    return lambda plan: plan._replace(id_map=plan.id_map._replace(base=number) if plan.id_map else None)


def variable(name: str) -> Change:
    return lambda plan: plan._replace(environment=(*plan.environment, (name, "x")))


STEERING = ("LD_PRELOAD", "LD_AUDIT", "PERL5OPT", "PERL5LIB", "PERLLIB", "PERL5DB")
MUTANTS: list[tuple[str, str, Change]] = [
    ("S1", "a capability", lambda plan: plan._replace(capabilities=("CAP_NET_RAW",))),
    ("S2", "privileges may grow", lambda plan: plan._replace(no_new_privileges=False)),
    ("S3", "a writable root", lambda plan: plan._replace(read_only=False)),
    ("S4", "root in the box", lambda plan: plan._replace(user="0:0")),
    ("S4", "another group", lambda plan: plan._replace(user="1000:0")),
    ("S4", "no user namespace", lambda plan: plan._replace(id_map=None)),
    ("S4", "host ids from 0", base(0)),
    ("S4", "host ids of accounts", base((1 << 20) - 1)),
    ("S5", "no profile", lambda plan: plan._replace(seccomp_path="")),
    ("S5", "unconfined", lambda plan: plan._replace(seccomp_path="unconfined")),
    ("S5", "no digest", lambda plan: plan._replace(seccomp_digest="")),
    ("S6", "a profile that runsc ignores", lambda plan: plan._replace(apparmor="aibox-sandbox")),
    ("S6", "runc without a profile", runtime(kind="runc")),
    ("S7", "the host's network", lambda plan: plan._replace(network="host")),
    ("S7", "a network of its own", lambda plan: plan._replace(network="slirp4netns")),
    ("S8", "an unknown runtime", lambda plan: runtime(kind="kata")(plan._replace(apparmor="aibox-sandbox"))),
    ("S8", "a runtime by name", runtime(path="runsc")),
    ("S8", "a runtime without digest", runtime(digest="")),
    ("S9", "a further place to write", extra("tmpfs", "", "/run", SCRATCH)),
    ("S9", "no /tmp of its own", without("/tmp")),
    ("S9", "no home", without("/home/dev")),
    ("S9", "a mount twice", extra("tmpfs", "", "/tmp", SCRATCH)),
    ("S9", "set-uid programs in the workspace", mount("/workspace", options=("nodev", "rw"))),
    ("S9", "devices in the home", mount("/home/dev", options=("nosuid", "rw"))),
    ("S9", "programs in /tmp", mount("/tmp", options=PERSISTENT)),
    ("S9", "programs in shared memory", mount("/dev/shm", options=PERSISTENT)),
    ("S9", "set-uid programs in a cache", mount("/home/dev/.m2", options=("nodev", "rw"))),
    ("S9", "/var/tmp without bound", mount("/var/tmp", size=0)),
    ("S9", "/var/tmp larger than the table", mount("/var/tmp", size=(1 << 30) + 1)),
    ("S9", "/tmp larger than the table", mount("/tmp", size=(2 << 30) + 1)),
    ("S9", "the home in memory", mount("/home/dev", kind="tmpfs", source="", options=SCRATCH, size=1)),
    ("S10", "the home of another user", mount("/home/dev", source="aibox-other-home")),
    ("S10", "a cache of another kind", mount("/home/dev/.m2", source="aibox-root-home")),
    ("S10", "a volume that is not aibox's", mount("/home/dev", source="postgres")),
    ("S10", "a host folder as the workspace", mount("/workspace", source="/etc")),
    ("S10", "a host folder whose name ends alike", mount("/workspace", source="/x/home/dev1/project")),
    ("S10", "a variable of aibox", variable("AIBOX_SESSION")),
    *(("S10", f"the variable {name}", variable(name)) for name in STEERING),
]
# what more than one control refuses
BOTH: list[tuple[set[str], str, Change]] = [
    ({"S9", "S10"}, "a host folder beside the workspace", bind("/etc", "/mnt")),
    ({"S9", "S10"}, "the engine's socket", bind("/run/podman/podman.sock", "/run/s")),
    ({"S9", "S10"}, "a host folder as the home", mount("/home/dev", kind="bind", source="/root")),
    ({"S9", "S10"}, "/tmp on a volume", mount("/tmp", kind="volume", source="aibox-root-home", options=PERSISTENT)),
    ({"S9", "S10"}, "no workspace", without("/workspace")),
    ({"S9", "S10"}, "the workspace on a volume", mount("/workspace", kind="volume", source="aibox-root-home")),
]


def refused_by(plan: LaunchPlan) -> set[str]:
    return {finding.control for finding in controls.plan_findings(plan) if not finding.ok}


@pytest.mark.parametrize("name", EVERY)
def test_the_plans_of_real_boxes_pass(name: str) -> None:
    assert refused_by(plan_of(name)) == set()


@pytest.mark.parametrize(("wanted", "title", "change"), [*(({c}, t, m) for c, t, m in MUTANTS), *BOTH])
def test_every_mutant_is_refused_by_its_control(wanted: set[str], title: str, change: Change) -> None:
    assert refused_by(change(plan_of(ROOTFUL))) == wanted, title


@pytest.mark.parametrize("title", ["a host folder as the workspace", "a host folder whose name ends alike"])
def test_rootless_too(title: str) -> None:
    change = next(change for _, named, change in MUTANTS if named == title)
    assert refused_by(change(plan_of(ROOTLESS))) == {"S10"}


@pytest.mark.parametrize("change", [change for _, _, change in MUTANTS[::4]])
def test_a_refused_plan_makes_no_box(tmp_path: Path, change: Change) -> None:
    """There is no such engine, and what is said is that the plan is refused, not that the engine is missing."""
    plan = change(plan_of(ROOTFUL))
    assert refused_by(plan)
    calls = EngineCalls(engine(rootless=False)._replace(path="/nonexistent/podman"), {})
    paths = Paths(str(tmp_path), str(tmp_path), "", "")
    with pytest.raises(AiboxError) as caught:
        execute.start(
            calls,
            paths,
            plan.name,
            lambda: lambda: (plan, {}),
            lambda _text: None,
            recorded=lambda _digest: None,
            launching=lambda _plan, _checks: None,
        )
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [f"{plan.name}.lock"]
    assert (caught.value.code, caught.value.exit_code) == ("control-failed", 3)
    assert all(f"{control} " in caught.value.why for control in refused_by(plan))


def test_every_control_has_a_mutant() -> None:
    assert {control for control, _, _ in MUTANTS} == {row.id for row in CONTROLS}


@pytest.mark.parametrize("row", CONTROLS, ids=lambda row: row.id)
def test_every_check_is_needed(row: controls.Control) -> None:
    """Each kind of observation that a check makes is wrong in some mutant."""
    good = plan_of(ROOTFUL)
    kinds = {kind(seen.expected) for seen in row.plan(good)}
    killed = {
        kind(seen.expected) for _, _, change in [*MUTANTS, *BOTH] for seen in row.plan(change(good)) if not seen.ok
    }
    assert kinds <= killed, f"no mutant breaks {kinds - killed}"


def kind(expected: str) -> str:
    """What is looked at, without the place: `/tmp: a size` and `/var/tmp: a size` are one kind."""
    head, colon, rest = expected.partition(":")
    return rest if colon and head.startswith("/") else expected
