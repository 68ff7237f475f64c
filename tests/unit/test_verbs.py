"""The everyday verbs with an engine that answers from recordings: what they ask, print, change and leave alone."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from samples import engine, plan_of, recorded

from aibox import audit, boxes, cli, execute, notes, state
from aibox.commands import destroy, logs, stop
from aibox.config import Policy, load_config
from aibox.context import Context
from aibox.enginecalls import QUERY_SECONDS, EngineCalls
from aibox.errors import AiboxError
from aibox.jsonview import Json, dump
from aibox.options import VERBS
from aibox.runner import Result
from aibox.state import Paths
from aibox.ui import Outcome, Style

NAME = "podman-4.3.1-rootless"
PLAN = plan_of(NAME)
PLAIN = Style(json=False, log_json=False, colour=False)


class FakeEngine(EngineCalls):
    """An engine with the recorded box in some state; volumes named in `busy` are in use."""

    def __init__(self, status: str) -> None:
        super().__init__(engine(rootless=True), {})
        self.status = status
        self.asked: list[str] = []
        self.busy: set[str] = set()

    def run(self, argv: Sequence[str], timeout: float = QUERY_SECONDS) -> Result:
        del timeout
        words, verb = tuple(argv), argv[1]
        self.asked.append(" ".join(argv[1:]))
        if argv[1:3] == ["container", "inspect"]:
            return self.inspect_answer(words)
        if argv[1:3] == ["volume", "rm"]:
            if argv[3] in self.busy:
                return Result(words, 2, b"", b"Error: volume is being used")
            missing = "go-cache" in argv[3]
            return Result(words, int(missing), b"", b"Error: no such volume" if missing else b"")
        if verb == "ps":
            return Result(words, 0, dump(recorded(NAME, "ps")).encode() if self.status else b"[]", b"")
        if verb == "logs":
            return Result(words, 0, b"out\n", b"err\n")
        if verb == "stop":
            self.status = "exited"
        if verb == "rm":
            self.status = ""
        return Result(words, 0, b"", b"")

    def inspect_answer(self, words: tuple[str, ...]) -> Result:
        if not self.status:
            return Result(words, 125, b"", b"Error: no such container")
        record = json.loads(dump(recorded(NAME, "inspect")))
        record[0]["State"]["Status"] = self.status
        return Result(words, 0, json.dumps(record).encode(), b"")


@pytest.fixture
def gathered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """The developer of the recorded box, which is noted."""
    monkeypatch.chdir(tmp_path)
    own = Paths(f"{tmp_path}/data", f"{tmp_path}/run", f"{tmp_path}/config", f"{tmp_path}/seccomp.json")
    boxes.remember(own, PLAN)
    return Context({"HOME": str(tmp_path)}, PLAN.owner, own, load_config([], environ={}), Policy())


def run(name: str, gathered: Context, fake: FakeEngine, monkeypatch: pytest.MonkeyPatch, **options: object) -> Outcome:
    """A verb's result."""
    arguments = cli.Arguments()
    arguments.workspace = "/home/dev1/project"
    for option, value in options.items():
        setattr(arguments, option, value)
    monkeypatch.setattr(Context, "calls", lambda _self: fake)
    row = next(row for row in VERBS if row.name == name)
    outcome = cli._load(row)(gathered, arguments, PLAIN)
    assert isinstance(outcome, Outcome)
    return outcome


def events(gathered: Context) -> list[str]:
    return [str(event["event"]) for event in audit.events(gathered.paths, PLAN.name)]


# stop


def test_stop(gathered: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeEngine("running")
    state.write_record(notes.record_path(gathered.paths, PLAN.name), {"pid": 1})
    outcome = run("stop", gathered, fake, monkeypatch, time="7")
    assert outcome.lines == [f"{PLAN.name} stopped"]
    assert fake.asked == [f"container inspect {PLAN.name}", f"stop --time 7 {PLAN.name}"]
    assert not os.path.exists(notes.record_path(gathered.paths, PLAN.name))
    assert events(gathered) == ["stopped"]
    assert run("stop", gathered, fake, monkeypatch).lines == [f"{PLAN.name} was stopped already"]


def test_stopping_what_is_gone_forgets_it(gathered: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AiboxError) as caught:
        run("stop", gathered, FakeEngine(""), monkeypatch)
    assert caught.value.code == "box-missing"
    assert boxes.registered(gathered.paths) == []
    assert run("stop", gathered, FakeEngine(""), monkeypatch, all=True).lines == ["no boxes"]


@pytest.mark.parametrize("given", ["x", "-1", "3601", "1.5", "٣", "1e3"])
def test_wrong_times(given: str) -> None:
    with pytest.raises(AiboxError) as caught:
        stop.seconds(given, 10)
    assert caught.value.code == "usage"
    assert (stop.seconds("", 10), stop.seconds("0", 10), stop.seconds("3600", 1)) == (10, 0, 3600)


# destroy


def test_destroy_keeps_volumes(gathered: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeEngine("running")
    outcome = run("destroy", gathered, fake, monkeypatch)
    assert outcome.lines == [f"{PLAN.name} destroyed"]
    assert fake.asked == [f"rm --force --time 0 --ignore {PLAN.name}"]
    assert (boxes.registered(gathered.paths), events(gathered)) == ([], ["destroyed"])


def test_destroy_with_volumes_asks_and_says_what_was_kept(gathered: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeEngine("running")
    fake.busy = {"aibox-dev1-home"}
    monkeypatch.setattr("os.isatty", lambda _stream: False)
    with pytest.raises(AiboxError) as caught:
        run("destroy", gathered, fake, monkeypatch, volumes=True)
    assert (caught.value.code, fake.asked) == ("consent-needed", [])
    outcome = run("destroy", gathered, fake, monkeypatch, volumes=True, yes=True)
    assert outcome.exit_code == 1
    assert outcome.notices == ("volume aibox-dev1-home kept: volume is being used",)
    removed = outcome.data["volumes_removed"]
    assert isinstance(removed, list)
    assert "aibox-dev1-maven-cache" in removed
    assert not {"aibox-dev1-home", "aibox-dev1-go-cache"} & set(map(str, removed))
    assert fake.asked[0].startswith("rm "), "volumes go after the box"


def test_volumes_are_the_box_owners(gathered: Context) -> None:
    located = boxes.Located(PLAN.name, "/home/dev1/project", "/workspace")
    other = gathered._replace(caller=gathered.caller._replace(name="root", uid=0))
    assert destroy.volume_names(other, [located]) == [
        f"aibox-dev1-{purpose}" for purpose in (
            "home", "toolpacks", "maven-cache", "gradle-cache", "npm-cache", "bazel-cache", "pip-cache", "go-cache",
            "cargo-cache",
        )
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["stop", "destroy"])
def test_dry_runs_only_ask(gathered: Context, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    fake = FakeEngine("running")
    outcome = run(name, gathered, fake, monkeypatch, dry_run=True, volumes=True)
    assert outcome.lines[0].startswith(f"/usr/bin/podman {'rm --force' if name == 'destroy' else 'stop --time 10'}")
    assert (fake.asked, events(gathered), len(boxes.registered(gathered.paths))) == ([], [], 1)


# list, logs, status


def test_list_names_what_is_gone(gathered: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    state.write_record(gathered.paths.setup_record, {})
    outcome = run("list", gathered, FakeEngine("running"), monkeypatch)
    words = outcome.lines[1].split()
    assert (words[0], words[-3], *words[-2:]) == ("running", "ago", "/home/dev1/project", PLAN.name)
    assert run("list", gathered, FakeEngine(""), monkeypatch).lines[1].split()[0] == "gone"
    boxes.forget(gathered.paths, PLAN.name)
    assert run("list", gathered, FakeEngine(""), monkeypatch).lines[0].startswith("no boxes; to start one")


def test_before_setup_no_engine_is_asked(gathered: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeEngine("running")
    boxes.forget(gathered.paths, PLAN.name)
    assert run("list", gathered, fake, monkeypatch).lines == ["no boxes; this host is not set up yet: aibox setup"]
    assert fake.asked == []


@pytest.mark.parametrize("code", ["runtime-missing", "policy-refused"])
def test_a_start_that_cannot_be_asks_no_engine(
    gathered: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str
) -> None:
    """A call before setup would settle a user's storage driver; one for a refused box would be for nothing."""
    fake = FakeEngine("")
    if code == "policy-refused":
        gathered = gathered._replace(policy=Policy(allowed_images=()))
    place = tmp_path / "project"
    place.mkdir()
    with pytest.raises(AiboxError) as caught:
        run("start", gathered, fake, monkeypatch, workspace=str(place), dry_run=False, recreate=False)
    assert (caught.value.code, fake.asked) == (code, [])


def test_logs(gathered: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        audit.record(gathered.paths, "launched", PLAN.name, checks=number, plan={"a": 1})
    outcome = run("logs", gathered, FakeEngine("running"), monkeypatch)
    assert outcome.lines[-2:] == ["out", "err"]
    assert outcome.lines[0].endswith('launched checks=0 plan={"a":1}')
    fake = FakeEngine("running")
    assert len(run("logs", gathered, fake, monkeypatch, tail="1").lines) == 3
    assert fake.asked == [f"logs --tail 1 {PLAN.name}"]
    assert run("logs", gathered, fake, monkeypatch, tail="0").lines == ["out", "err"]
    for given in ("x", "-1", "²"):
        with pytest.raises(AiboxError) as caught:
            logs._count(given)
        assert caught.value.code == "usage"


@pytest.mark.parametrize(("status", "code"), [("", "box-missing"), ("exited", "")])
def test_status(gathered: Context, monkeypatch: pytest.MonkeyPatch, status: str, code: str) -> None:
    if code:
        with pytest.raises(AiboxError) as caught:
            run("status", gathered, FakeEngine(status), monkeypatch)
        assert caught.value.code == code
        return
    outcome = run("status", gathered, FakeEngine(status), monkeypatch)
    assert (outcome.data["state"], outcome.data["box"]) == (status, PLAN.name)
    limits: Json = outcome.data["limits"]
    assert isinstance(limits, dict)
    assert limits["memory"] == 8 << 30
    assert any("could not be started again" in notice for notice in outcome.notices), "nothing is set up here"


def test_verify_needs_a_running_box(gathered: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    for status, code in (("", "box-missing"), ("exited", "box-not-running")):
        with pytest.raises(AiboxError) as caught:
            run("verify", gathered, FakeEngine(status), monkeypatch)
        assert caught.value.code == code


def test_a_box_is_removed_by_one_command_at_a_time(gathered: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeEngine("running")
    monkeypatch.setattr(notes, "LOCK_SECONDS", 0.0)
    with state.locked(notes.lock_path(gathered.paths, PLAN.name), timeout=1):
        for remove in (lambda: execute.destroy_alone(fake, gathered.paths, PLAN.name),
                       lambda: run("destroy", gathered, fake, monkeypatch)):  # fmt: skip
            with pytest.raises(AiboxError) as caught:
                remove()
            assert caught.value.code == "lock-timeout"
    assert fake.asked == []
    execute.destroy_alone(fake, gathered.paths, PLAN.name)
    assert fake.asked
    execute.destroy_alone(fake, gathered.paths, PLAN.name)
    assert events(gathered) == ["destroyed"], "what was not there was not removed"
