"""What interrupted commands leave: told apart from what a running one still needs, and removed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from samples import RECORDINGS, engine, plan_of

from aibox import boxes, diskspace, hostview, leftovers, monitors, state
from aibox.cli import Arguments
from aibox.commands import repair
from aibox.config import Policy, load_config
from aibox.context import Context
from aibox.enginecalls import QUERY_SECONDS, EngineCalls
from aibox.engines.adapter import BoxState
from aibox.errors import AiboxError
from aibox.model import Developer, Runtime
from aibox.runner import Result
from aibox.state import Paths
from aibox.ui import Outcome, Style

GONE = 99999999


def paths_in(folder: Path) -> Paths:
    return Paths(str(folder / "data"), str(folder / "run"), str(folder / "config"), str(folder / "etc/seccomp.json"))


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return paths_in(tmp_path)


def place(path: str) -> str:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(path).write_text("x")
    return path


def test_unfinished_files_of_processes_that_are_gone(paths: Paths) -> None:
    lost = [
        place(f"{paths.data}/setup.json.{GONE}.new"),
        place(f"{paths.data}/boxes/a.json.{GONE}.new"),
        place(f"{paths.data}/runsc/0123/runsc.{GONE}.new"),
        place(f"{paths.data}/runtimes/0123/launch.py.{GONE}.new"),
        place(f"{paths.run}/boxes/a.json.{GONE}.new"),
        place(f"{paths.seccomp}.{GONE}.new"),
    ]
    folder = f"{paths.data}/proof/aibox-proof-{GONE}-x"
    place(f"{folder}/deep/file")
    for kept in (
        f"{paths.data}/setup.json",
        f"{paths.data}/setup.json.{os.getpid()}.new",
        f"{paths.data}/runsc/0123/runsc",
        f"{paths.data}/proof/aibox-proof-{os.getpid()}-x/file",
        f"{paths.data}/docker/setup.json.{GONE}.new",
        f"{paths.data}/image.new",
    ):
        place(kept)
    assert set(leftovers.files(paths)) == {*lost, folder}


def test_nothing_is_left_where_nothing_is(paths: Paths) -> None:
    assert leftovers.files(paths) == []


def test_names_are_those_that_writers_use(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed writer leaves what the look finds; here the writer is stopped before its rename."""

    def stop(*_words: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    monkeypatch.setattr(os, "unlink", lambda _path: None)
    with pytest.raises(KeyboardInterrupt):
        state.write_atomically(paths.setup_record, b"{}")
    monkeypatch.setattr(os.path, "exists", lambda _path: False)
    assert leftovers.files(paths) == [f"{paths.setup_record}.{os.getpid()}.new"]
    os.makedirs(f"{paths.data}/proof/{leftovers.folder_prefix()}x")
    assert f"{paths.data}/proof/{leftovers.folder_prefix()}x" in leftovers.files(paths)


# What earlier setups brought


class Engine(EngineCalls):
    """An engine with these boxes, and with volumes."""

    def __init__(self, *listed: BoxState) -> None:
        super().__init__(engine(rootless=True), {})
        self.listed, self.asked = list(listed), list[str]()

    def boxes(self) -> list[BoxState]:
        return self.listed

    def run(self, argv: Sequence[str], timeout: float = QUERY_SECONDS) -> Result:
        del timeout
        self.asked.append(" ".join(argv[1:]))
        out = f"aibox-dev1-home\naibox-dev1.proof{GONE}-home\n".encode() if "ls" in argv else b""
        return Result(tuple(argv), 0, out, b"")


@pytest.fixture
def gathered(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A host whose gVisor was replaced twice; a stopped box still has the one before."""
    for name in ("new", "old", "older"):
        place(f"{paths.data}/runsc/{name}/runsc")
        place(f"{paths.data}/runtimes/{name}/aibox-runsc")
    place(f"{paths.data}/bundle/0123/image.tar")
    place(f"{paths.data}/build/image-x/rootfs.tar")
    state.write_record(paths.setup_record, {"runtime": runtime_of(paths, "new")._asdict()})
    context = Context({}, Developer(os.getuid(), os.getgid(), "dev1"), paths, load_config([], environ={}), Policy())
    plan = plan_of(RECORDINGS[0])
    boxes.remember(paths, plan._replace(runtime=runtime_of(paths, "old")))
    monkeypatch.setattr(Context, "calls", lambda _self: Engine())
    return context


def runtime_of(paths: Paths, name: str) -> Runtime:
    return Runtime(
        "runsc",
        f"{paths.data}/runtimes/{name}/aibox-runsc",
        "0" * 64,
        f"{paths.data}/runsc/{name}/runsc",
        "systrap",
        "",
    )


def remove(gathered: Context, **options: object) -> Outcome:
    given = Arguments()
    given.words = ["leftovers"]
    for name, value in options.items():
        setattr(given, name, value)
    return repair.run(gathered, given, Style(json=False, log_json=False, colour=False))


def unpacked(paths: Paths) -> set[str]:
    return {f"{paths.data}/bundle/0123", f"{paths.data}/build/image-x"}


def test_what_neither_setup_nor_a_box_names_is_unused(gathered: Context) -> None:
    paths = gathered.paths
    old = {f"{paths.data}/runsc/older", f"{paths.data}/runtimes/older"}
    assert {one.path for one in leftovers.unused(gathered, Engine())} == {*old, *unpacked(paths)}
    place(f"{paths.data}/setup.json.{GONE}.new")
    dry = remove(gathered, dry_run=True)
    assert len(dry.lines) == 6, dry.lines
    assert os.path.exists(f"{paths.data}/runsc/older/runsc")
    shown = diskspace.own(gathered, leftovers.unused(gathered, Engine()))
    assert "gVisor that nothing uses: aibox repair leftovers" in {one.what for one in shown}
    assert sum(one.bytes for one in shown) == diskspace.tree(paths.data), "nothing counts twice"
    told = remove(gathered, yes=True)
    removed = told.data["removed"]
    assert isinstance(removed, list)
    assert set(removed) == {
        *old, *unpacked(paths), f"{paths.data}/setup.json.{GONE}.new", f"aibox-dev1.proof{GONE}-home"
    }  # fmt: skip
    assert sorted(os.listdir(f"{paths.data}/runsc")) == ["new", "old"]
    assert sorted(os.listdir(f"{paths.data}/runtimes")) == ["new", "old"]


def test_without_consent_nothing_is_removed(gathered: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.isatty", lambda _stream: False)
    with pytest.raises(AiboxError) as caught:
        remove(gathered)
    assert caught.value.code == "consent-needed"
    assert os.path.exists(f"{gathered.paths.data}/runsc/older/runsc")


def test_a_box_that_nobody_knows_keeps_every_gvisor(gathered: Context) -> None:
    """It may run under any of them."""
    strange = BoxState("aibox-dev1-0", "1", "running", 1, "/srv", "dev1", "plan", "", "", "", {})
    assert {one.path for one in leftovers.unused(gathered, Engine(strange))} == unpacked(gathered.paths)


# Processes of boxes that the engine no longer has

SLEEP = "import time; time.sleep(60)"
GONE_BUNDLE = "/nowhere/userdata"
Starting = Callable[[str], "subprocess.Popen[bytes]"]


def conmon(**told: str) -> tuple[str, ...]:
    options = {"c": SLEEP, "n": "aibox-dev1-0", "r": "/usr/bin/true", "b": GONE_BUNDLE, **told}
    return ("conmon", *(word for name, value in options.items() if value for word in (f"-{name}", value)))


@pytest.mark.parametrize(
    ("argv", "box"),
    [
        (conmon(), "aibox-dev1-0"),
        (("/usr/bin/conmon", "--api-version", "1", *conmon()[1:], "--exit-command-arg", "-n", "web"), "aibox-dev1-0"),
        (conmon(n="web"), ""),
        (conmon(n=""), ""),
        (conmon(b=""), ""),
        (("sh", *conmon()[1:]), ""),
        (("conmon",), ""),
        (("",), ""),
    ],
)
def test_a_monitor_is_told_by_its_words(argv: tuple[str, ...], box: str) -> None:
    found = monitors.parse(7, argv)
    assert found == (monitors.Monitor(7, box, SLEEP, "/usr/bin/true", GONE_BUNDLE) if box else None)


@pytest.mark.parametrize(
    ("runtime", "made"),
    [
        ("/d/runtimes/0123/aibox-runsc", True),
        ("/d/runtimes/../aibox-runsc", False),
        ("/d/runtimes/aibox-runsc", False),
        ("/d/runtimes/0123/x/aibox-runsc", False),
        ("/usr/bin/crun", False),
        ("aibox-runsc", False),
        ("", False),
    ],
)
def test_only_what_setup_wrote_is_called(runtime: str, made: bool) -> None:
    assert monitors.is_made(runtime, Paths("/d", "", "", "")) is made


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starting]:
    """Start processes with the words of a monitor."""
    started = []

    def begin(bundle: str) -> subprocess.Popen[bytes]:
        os.makedirs(paths_in(tmp_path).data, exist_ok=True)
        argv = conmon(b=bundle, r=f"{paths_in(tmp_path).data}/runtimes/0/aibox-runsc")
        child = subprocess.Popen(argv, executable=sys.executable)
        started.append(child)
        # until then it still has the words of this process
        while hostview.argv(child.pid)[0] != "conmon":
            time.sleep(0.01)
        return child

    yield begin
    for child in started:
        child.kill()
        child.wait()


def test_processes_of_a_box_that_is_gone_are_left_over(
    gathered: Context, start: Starting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = start(GONE_BUNDLE)
    start(str(tmp_path))  # the engine has its box
    told = f"processes of aibox-dev1-0 (conmon {lost.pid})"
    assert told in leftovers.found(gathered, Engine(), [])
    engine = Engine()
    assert told in leftovers.sweep(gathered, engine)
    assert f"unshare {gathered.paths.data}/runtimes/0/aibox-runsc delete --force {SLEEP}" in engine.asked
    assert lost.wait(10) == -signal.SIGKILL
    assert len(monitors.running(gathered.paths, "aibox-dev1-0")) == 1
    assert monitors.running(gathered.paths, "aibox-dev1-1") == []
    monkeypatch.setattr(os.path, "samestat", lambda _one, _other: False)
    assert monitors.running(gathered.paths) == [], "it belongs to another machine"


def test_another_users_monitor_is_not_ones_own(
    gathered: Context, start: Starting, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(GONE_BUNDLE)
    assert monitors.orphans(gathered.paths)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert monitors.orphans(gathered.paths) == []


def test_only_the_very_process_is_killed(gathered: Context, start: Starting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number may be another's by the time that the runtime is done."""
    child = start(GONE_BUNDLE)
    (lost,) = monitors.orphans(gathered.paths)
    times = iter([1, 2])
    monkeypatch.setattr(hostview, "start_time", lambda _pid: next(times))
    monitors.end(Engine(), lost)
    assert child.poll() is None
