"""Sessions: what is asked of the engine, whose exit code and bytes come back, and what is said where no box runs."""

import base64
import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest
from samples import engine, host_view, plan_of, recorded

from aibox import boxes, consent, execute, hostview, notes, probe, runner, sessions, state
from aibox.boxes import Located
from aibox.config import Policy, load_config
from aibox.context import Context
from aibox.enginecalls import QUERY_SECONDS, EngineCalls
from aibox.errors import AiboxError
from aibox.jsonview import Json, dump
from aibox.runner import Result
from aibox.state import Paths
from aibox.ui import Style

NAME = "podman-4.3.1-rootless"
PLAN = plan_of(NAME)
BOX = Located(PLAN.name, "/home/dev1/my project", "/workspace/src")
PLAIN = Style(json=False, log_json=False, colour=False)


class FakeEngine(EngineCalls):
    """An engine that knows one box, or none."""

    def __init__(self, record: Json = None) -> None:
        super().__init__(engine(rootless=True), {"PATH": "/bin"})
        self.record = record
        self.asked: list[list[str]] = []

    def run(self, argv: Sequence[str], timeout: float = QUERY_SECONDS) -> Result:
        del timeout
        self.asked.append(list(argv))
        if self.record is None:
            return Result(tuple(argv), 125, b"", b"Error: no such container")
        return Result(tuple(argv), 0, dump(self.record).encode(), b"")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """The caller."""
    own = Paths(f"{tmp_path}/data", f"{tmp_path}/run", f"{tmp_path}/config", f"{tmp_path}/seccomp.json")
    return Context({"TERM": "xterm-kitty"}, PLAN.owner, own, load_config([], environ={}), Policy())


def test_options() -> None:
    how = sessions.options(workdir="/w", variables=["A=b=c", "E="], terminal=True, mark="m", term="xterm")
    assert how.environment == (("A", "b=c"), ("E", ""), ("TERM", "xterm"), ("AIBOX_SESSION", "m"))
    assert (how.interactive, how.tty, how.workdir) == (True, True, "/w")
    piped = sessions.options(workdir="/", variables=[], terminal=False, mark="m", term="x")
    assert piped.environment == (("AIBOX_SESSION", "m"),)


@pytest.mark.parametrize(("variable", "name"), [("A", "A"), ("", "NAME"), ("=x", "NAME")])
def test_variables_without_a_value(variable: str, name: str) -> None:
    with pytest.raises(AiboxError) as caught:
        sessions.options(workdir="/", variables=[variable], terminal=False, mark="", term="")
    assert (caught.value.code, caught.value.fix) == ("usage", f"--env {name}=VALUE")


def test_no_engine_call_finds_a_noted_box(context: Context) -> None:
    import os

    fake = FakeEngine()
    record: dict[str, Json] = {"pid": os.getpid(), "started": hostview.start_time(os.getpid())}
    state.write_record(notes.record_path(context.paths, BOX.name), record)
    sessions.require_running(context, fake, BOX)
    assert fake.asked == []


def test_a_box_that_was_started_by_hand_is_judged_and_noted(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    view = host_view(NAME)
    monkeypatch.setattr(hostview, "look", lambda _pid, _container: view)
    fake = FakeEngine(recorded(NAME, "inspect"))
    with pytest.raises(AiboxError) as caught:
        sessions.require_running(context, fake, BOX)
    assert (caught.value.code, "not a box that aibox made" in caught.value.what) == ("control-failed", True)
    assert shlex.split(caught.value.fix)[-1] == BOX.workspace
    boxes.remember(context.paths, PLAN)
    sessions.require_running(context, fake, BOX)
    assert state.read_record(notes.record_path(context.paths, BOX.name))["plan"] == dict(PLAN.labels)["io.aibox.plan"]
    view = view._replace(processes=tuple(one._replace(filters=0) for one in view.processes))
    state.remove_file(notes.record_path(context.paths, BOX.name))
    with pytest.raises(AiboxError, match="was not entered"):
        sessions.require_running(context, fake, BOX)


@pytest.mark.parametrize("status", ["exited", "created", ""])
def test_where_no_box_runs(context: Context, status: str) -> None:
    record = json.loads(dump(recorded(NAME, "inspect")))
    record[0]["State"]["Status"] = status
    with pytest.raises(AiboxError) as caught:
        sessions.require_running(context, FakeEngine(record if status else None), BOX)
    assert caught.value.code == ("box-not-running" if status else "box-missing")
    assert caught.value.exit_code == 5
    assert shlex.split(caught.value.fix) == ["aibox", "start", "--workspace", "/home/dev1/my project"], "can be pasted"


class Ran:
    """What was run in place of the engine's exec."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, code: int, out: bytes = b"", err: bytes = b"") -> None:
        self.argv: list[str] = []
        self.terminal = False
        self.result = Result((), code, out, err)
        monkeypatch.setattr(sessions, "require_running", lambda *_: None)
        monkeypatch.setattr(runner, "run", self.run)
        monkeypatch.setattr(runner, "attend", self.attend)

    def run(self, argv: list[str], **_more: object) -> Result:
        self.argv = argv
        return self.result

    def attend(self, argv: list[str], *, tty: bool, **_more: object) -> int:
        self.argv, self.terminal = argv, tty
        return self.result.code


@pytest.mark.parametrize(("streams", "terminal"), [((0, 1), True), ((0,), False), ((1,), False), ((), False)])
def test_a_terminal_only_where_both_ends_are_one(
    context: Context, monkeypatch: pytest.MonkeyPatch, *, streams: tuple[int, ...], terminal: bool
) -> None:
    ran = Ran(monkeypatch, 42)
    monkeypatch.setattr("os.isatty", lambda stream: stream in streams)
    assert sessions.attend(context, FakeEngine(), BOX, ["make", "x y"], workdir="", variables=["A=1"]) == 42
    assert ran.terminal is terminal
    assert ("--tty" in ran.argv, "TERM=xterm-kitty" in ran.argv) == (terminal, terminal)
    assert ran.argv[-3:] == [BOX.name, "make", "x y"]
    assert ran.argv[ran.argv.index("--workdir") + 1] == "/workspace/src"


def test_capture_gives_text_or_base64(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = Ran(monkeypatch, 3, "grün\n".encode(), b"\xff\0")
    outcome = sessions.capture(context, FakeEngine(), BOX, ["x"], workdir="/tmp", variables=[])
    assert outcome.exit_code == 3
    assert outcome.data == {
        "box": BOX.name, "command": ["x"], "exit_code": 3, "stdout": "grün\n",
        "stderr_base64": base64.b64encode(b"\xff\0").decode(),
    }  # fmt: skip
    assert "--interactive" not in ran.argv
    assert ran.argv[ran.argv.index("--workdir") + 1] == "/tmp"


def test_signals_go_to_the_session_that_is_meant() -> None:
    fake = FakeEngine([])
    sessions._forwarder(fake, "box", "0123abcd")(15)
    (argv,) = fake.asked
    assert argv[:4] == ["/usr/bin/podman", "exec", "box", "/usr/bin/perl"]
    assert argv[-2:] == ["AIBOX_SESSION=0123abcd", "TERM"]


def test_the_signaller_finds_exactly_its_session() -> None:
    """The Perl text that runs in the box, run here: it signals what carries the mark, and nothing that looks alike."""
    import subprocess
    import time

    def child(mark: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["/bin/sleep", "60"], env={"X": "AIBOX_SESSION=aa", "AIBOX_SESSION": mark})

    mine, other, longer = child("aa"), child("bb"), child("aab")
    try:
        time.sleep(0.2)
        argv = ["/usr/bin/perl", "-e", sessions._SIGNALLER, "AIBOX_SESSION=aa", "TERM"]
        subprocess.run(argv, check=True, timeout=30)
        assert mine.wait(timeout=10) == -15
        assert (other.poll(), longer.poll()) == (None, None)
    finally:
        for process in (mine, other, longer):
            process.kill()
            process.wait()


# Consent


def test_consent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    consent.require_consent("x", given=True, style=PLAIN)
    monkeypatch.setattr("os.isatty", lambda _stream: True)
    for answer, agreed in (("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False), ("yo\n", False)):
        monkeypatch.setattr("sys.stdin", __import__("io").StringIO(answer))
        if agreed:
            consent.require_consent("remove it", given=False, style=PLAIN)
        else:
            with pytest.raises(AiboxError) as caught:
                consent.require_consent("remove it", given=False, style=PLAIN)
            assert caught.value.code == "consent-needed"
    assert capsys.readouterr().err.startswith("aibox will remove it.\nGo on? [y/N] ")


@pytest.mark.parametrize(("style", "terminal"), [(PLAIN, False), (PLAIN._replace(json=True), True)])
def test_nobody_to_ask(monkeypatch: pytest.MonkeyPatch, *, style: Style, terminal: bool) -> None:
    monkeypatch.setattr("os.isatty", lambda _stream: terminal)
    with pytest.raises(AiboxError) as caught:
        consent.require_consent("x", given=False, style=style)
    assert (caught.value.code, caught.value.fix) == ("consent-needed", "repeat the command with --yes")


# Probing


def test_platforms(monkeypatch: pytest.MonkeyPatch) -> None:
    assert probe.platforms("kvm") == ("kvm",)
    monkeypatch.setattr("os.access", lambda _path, _mode: False)
    assert probe.platforms("auto") == ("systrap", "ptrace")
    monkeypatch.setattr("os.access", lambda _path, _mode: True)
    assert probe.platforms("auto") == ("systrap", "kvm", "ptrace")


def test_causes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scope = tmp_path / "ptrace_scope"
    monkeypatch.setattr(execute, "PTRACE_SCOPE", str(scope))
    assert execute.cause("other") == "other"
    scope.write_text("1\n")
    assert execute.cause("podman did not end within 40 seconds").startswith("the platform hangs on this host")
    scope.write_text("3\n")
    assert "ptrace_scope is 3" in execute.cause("cannot read client sync file")


def test_a_registered_box_of_a_folder_that_is_gone(context: Context) -> None:
    boxes.remember(context.paths, PLAN)
    root = context._replace(caller=context.caller._replace(uid=0))
    assert boxes.locate(root, "/home/dev1/project").name == PLAN.name
