"""Bringing a box to run: each proof before the next step, and nothing left of a box that failed one."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from samples import changed, engine, host_view, plan_of, profile_of, recorded

from aibox import execute, hostview
from aibox.enginecalls import QUERY_SECONDS, EngineCalls
from aibox.errors import AiboxError
from aibox.execute import Started
from aibox.hostview import HostView
from aibox.jsonview import Json
from aibox.model import LaunchPlan
from aibox.runner import Result
from aibox.state import Paths

NAME = "podman-4.3.1-rootless"
PLAN = plan_of(NAME)
Before = Callable[[str], None]


class FakeEngine(EngineCalls):
    """An engine with one box, which answers with what a real one was recorded to say. `before` sees each verb."""

    def __init__(self, folder: Path, box: str = "none") -> None:
        super().__init__(engine(rootless=True), {})
        self.box = box
        self.verbs: list[str] = []
        self.record: Json = recorded(NAME, "inspect")
        self.config: Json = recorded(NAME, "config")
        self.folder = folder
        self.before: Before = lambda _verb: None

    def run(self, argv: Sequence[str], timeout: float = QUERY_SECONDS) -> Result:
        del timeout
        verb = next(word for word in argv[1:] if word in ("create", "init", "inspect", "start", "rm"))
        self.before(verb)
        self.verbs.append(verb)
        told = b""
        if verb == "inspect":
            if self.box == "none":
                return Result(tuple(argv), 125, b"", b"Error: no such container")
            # it is read while it is written, as a real one is not
            (self.folder / "config.new").write_text(json.dumps(self.config))
            (self.folder / "config.new").replace(self.folder / "config.json")
            shown = changed(self.record, 0, "OCIConfigPath", to=str(self.folder / "config.json"))
            if self.box != "running":
                shown = changed(shown, 0, "State", "Status", to=self.box)
            told = json.dumps(shown).encode()
        self.box = {"create": "created", "init": "initialized", "start": "running", "rm": "none"}.get(verb, self.box)
        return Result(tuple(argv), 0, told, b"")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """aibox's folders."""
    return Paths(f"{tmp_path}/data", f"{tmp_path}/run", f"{tmp_path}/config", f"{tmp_path}/seccomp.json")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """The engine, on a host that shows a good box."""
    show(monkeypatch, host_view(NAME))
    return FakeEngine(tmp_path)


def show(monkeypatch: pytest.MonkeyPatch, view: HostView) -> None:
    monkeypatch.setattr(hostview, "look", lambda _pid, _container: view)


def begin(
    fake: FakeEngine,
    paths: Paths,
    known: LaunchPlan | None = None,
    steps: list[str] | None = None,
    launching: execute.Launching = lambda _plan, _checks: None,
) -> Started:
    note = steps.append if steps is not None else lambda _text: None
    planned = (PLAN, profile_of(NAME))
    return execute.start(
        fake, paths, PLAN.name, lambda: lambda: planned, note, recorded=lambda _digest: known, launching=launching
    )


def refused(fake: FakeEngine, paths: Paths, known: LaunchPlan | None = None) -> AiboxError:
    with pytest.raises(AiboxError) as caught:
        begin(fake, paths, known)
    return caught.value


def filterless(view: HostView) -> HostView:
    return view._replace(processes=tuple(one._replace(seccomp=0) for one in view.processes))


def test_a_new_box(fake: FakeEngine, paths: Paths) -> None:
    steps: list[str] = []
    started = begin(fake, paths, steps=steps)
    assert (started.plan, started.action, started.outdated) == (PLAN, "created", False)
    assert fake.verbs == ["inspect", "create", "init", "inspect", "start"]
    assert len(steps) == 4
    assert len(started.findings) > 120
    assert all(finding.ok for finding in started.findings)
    assert {finding.how for finding in started.findings} == {"engine inspect", "OCI config.json", "host /proc"}


@pytest.mark.parametrize("status", ["exited", "stopped"])
def test_a_stopped_box_is_proved_anew(fake: FakeEngine, paths: Paths, status: str) -> None:
    fake.box = status
    assert begin(fake, paths).action == "started"
    assert fake.verbs == ["inspect", "init", "inspect", "start"]


@pytest.mark.parametrize("status", ["created", "initialized", "paused", "removing", "configured"])
def test_a_half_made_box_is_made_anew(fake: FakeEngine, paths: Paths, status: str) -> None:
    fake.box = status
    assert begin(fake, paths).action == "created"
    assert fake.verbs == ["inspect", "rm", "create", "init", "inspect", "start"]


def test_a_running_box_is_looked_at(fake: FakeEngine, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.box = "running"
    started = begin(fake, paths)
    assert (started.action, fake.verbs) == ("running", ["inspect"])
    assert len(started.findings) > 20
    show(monkeypatch, filterless(host_view(NAME)))
    told = refused(fake, paths)
    assert (told.code, "S5 " in told.why) == ("control-failed", True)
    assert (fake.box, fake.verbs[-1]) == ("none", "rm")


# A box that runs under an earlier plan


def other_plan(fake: FakeEngine) -> None:
    fake.box = "running"
    fake.record = changed(fake.record, 0, "Config", "Labels", "io.aibox.plan", to="f" * 64)


def test_an_outdated_box_is_judged_by_its_own_plan(
    fake: FakeEngine, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_plan(fake)
    started = begin(fake, paths, known=PLAN)
    assert (started.action, started.outdated, len(started.findings) > 20) == ("running", True, True)
    show(monkeypatch, filterless(host_view(NAME)))
    assert refused(fake, paths, known=PLAN).code == "control-failed"
    assert fake.box == "none"


def test_a_running_box_that_nobody_knows_is_not_used(fake: FakeEngine, paths: Paths) -> None:
    other_plan(fake)
    told = refused(fake, paths)
    assert (told.code, told.exit_code, told.fix) == ("control-failed", 3, "aibox start --recreate")
    assert fake.box == "running", "it may be somebody's work"


def test_a_stopped_box_of_another_plan_is_replaced(fake: FakeEngine, paths: Paths) -> None:
    other_plan(fake)
    fake.box = "exited"
    seen = fake.record
    fake.before = lambda verb: setattr(fake, "record", recorded(NAME, "inspect") if verb == "create" else fake.record)
    assert begin(fake, paths).action == "created"
    assert fake.verbs == ["inspect", "rm", "create", "init", "inspect", "start"]
    assert fake.record != seen


# What fails


MUTANTS: list[tuple[str, str, tuple[str | int, ...], Json]] = [
    ("S3", "record", (0, "HostConfig", "ReadonlyRootfs"), False),
    ("S8", "record", (0, "OCIRuntime"), "/usr/bin/runc"),
    ("S2", "config", ("process", "noNewPrivileges"), False),
    ("S5", "config", ("linux", "seccomp", "defaultAction"), "SCMP_ACT_ALLOW"),
    ("S9", "config", ("mounts",), []),
]


@pytest.mark.parametrize(("control", "document", "way", "value"), MUTANTS)
def test_no_first_process_of_a_wrong_box_runs(
    fake: FakeEngine, paths: Paths, *, control: str, document: str, way: tuple[str | int, ...], value: Json
) -> None:
    setattr(fake, document, changed(getattr(fake, document), *way, to=value))
    told = refused(fake, paths)
    assert (told.code, told.exit_code) == ("control-failed", 3)
    assert f"{control} " in told.why
    assert "start" not in fake.verbs
    assert (fake.verbs[-1], fake.box) == ("rm", "none")


def test_what_only_the_host_shows(fake: FakeEngine, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    show(monkeypatch, HostView((), ()))
    assert "no Sentry" in refused(fake, paths).why
    assert "start" not in fake.verbs
    show(monkeypatch, filterless(host_view(NAME)))  # only judged once the first process runs
    assert "S5 " in refused(fake, paths).why
    assert fake.verbs[-2:] == ["start", "rm"]


@pytest.mark.parametrize("verb", ["create", "init", "start"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), AiboxError("command-timeout", "x"), MemoryError()])
def test_whatever_ends_a_start_leaves_no_box(fake: FakeEngine, paths: Paths, verb: str, error: BaseException) -> None:
    def fail(called: str) -> None:
        if called == verb:
            raise error

    fake.before = fail
    with pytest.raises(type(error)):
        begin(fake, paths)
    assert (fake.verbs[-1], fake.box) == ("rm", "none")


@pytest.mark.parametrize(("scope", "code"), [("1", "engine-failed"), ("3", "platform-failed")])
def test_a_start_that_yama_forbids_is_told_so(
    fake: FakeEngine, paths: Paths, monkeypatch: pytest.MonkeyPatch, scope: str, code: str
) -> None:
    place = fake.folder / "ptrace_scope"
    place.write_text(scope)
    monkeypatch.setattr(execute, "PTRACE_SCOPE", str(place))

    def fail(called: str) -> None:
        if called == "init":
            raise AiboxError("engine-failed", "cannot read client sync file")

    fake.before = fail
    told = refused(fake, paths)
    assert told.code == code
    assert ("ptrace_scope is 3" in told.why) == (scope == "3")
    assert fake.box == "none"


@pytest.mark.parametrize("status", ["none", "exited"])
def test_a_launch_is_noted_before_the_first_process(fake: FakeEngine, paths: Paths, status: str) -> None:
    fake.box = status
    noted: list[tuple[str, int]] = []
    started = begin(fake, paths, launching=lambda _plan, checks: noted.append((fake.verbs[-1], checks)))
    assert [verb for verb, _ in noted] == ["inspect"], "not after `start`"
    assert 80 < noted[0][1] < len(started.findings)
    begin(fake, paths, launching=lambda _plan, checks: noted.append(("", checks)))
    assert len(noted) == 1, "a box that runs is not launched"


def test_a_launch_that_cannot_be_noted_leaves_no_box(fake: FakeEngine, paths: Paths) -> None:
    def fail(_plan: LaunchPlan, _checks: int) -> None:
        raise AiboxError("state-unwritable", "the audit log cannot be written")

    with pytest.raises(AiboxError) as caught:
        begin(fake, paths, launching=fail)
    assert caught.value.code == "state-unwritable"
    assert "start" not in fake.verbs
    assert (fake.verbs[-1], fake.box) == ("rm", "none")


def test_a_box_that_vanishes(fake: FakeEngine, paths: Paths) -> None:
    fake.before = lambda _verb: setattr(fake, "box", "none") if fake.verbs[-1:] == ["init"] else None
    assert refused(fake, paths).code == "engine-failed"


def test_an_engine_that_writes_no_configuration(fake: FakeEngine, paths: Paths, tmp_path: Path) -> None:
    fake.config = None
    told = refused(fake, paths)
    assert told.code == "control-failed"
    assert all(f"{control} " in told.why for control in ("S2", "S3", "S4", "S5", "S7", "S9", "S10"))
    assert (tmp_path / "config.json").exists()


def test_reasons_are_counted_and_named() -> None:
    from aibox.model import Finding

    good = Finding("S1", "a", "x", "x", "plan", ok=True)
    execute.require([good], "b")
    with pytest.raises(AiboxError) as caught:
        execute.require([good, good._replace(control="S2", observed="y", ok=False)], "b")
    assert caught.value.what == "b was not started: 1 security check failed"
    assert caught.value.why == "S2 a: expected x, found y (plan)"
    with pytest.raises(AiboxError, match="2 security checks failed"):
        execute.require([good._replace(ok=False)] * 2, "b")
