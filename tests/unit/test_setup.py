"""`aibox setup`: each step checked, explained, consented to, done and checked again; interrupted it goes on."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pytest
from samples import engine

from aibox import baseimage, packages, probe, runscsources, runtimefiles, setupimage, setupsteps, state
from aibox.cli import Arguments
from aibox.commands import setup as verb
from aibox.config import Policy, load_config
from aibox.context import Context
from aibox.enginecalls import QUERY_SECONDS, EngineCalls
from aibox.errors import AiboxError
from aibox.facts import HostFacts
from aibox.jsonview import Json, dump
from aibox.model import Developer
from aibox.probe import Probed
from aibox.runner import Result
from aibox.runscsources import Source
from aibox.setupsteps import STEPS, Setup, Step
from aibox.state import Paths
from aibox.ui import Style

HOST = HostFacts("linux", "6.1.0", os.uname().machine, "debian", "12", "none", cgroup2=True)
PLAIN = Style(json=False, log_json=False, colour=False)
DEV = Developer(1001, 1001, "dev1")
IMAGE = dump([{"Id": "sha256:" + "a" * 64, "Config": {"Env": ["LANG=C.UTF-8"]}}]).encode()
Flags = dict[str, str]


class FakeEngine(EngineCalls):
    """An engine with images, which knows `pull`, `import` and `build`; `reach` names what a pull can bring."""

    def __init__(self, *images: str, reach: tuple[str, ...] = ()) -> None:
        super().__init__(engine(rootless=True), {})
        self.images, self.reach = set(images), reach
        self.asked: list[str] = []

    def run(self, argv: Sequence[str], timeout: float = QUERY_SECONDS) -> Result:
        del timeout
        self.asked.append(argv[1])
        words = tuple(argv)
        if argv[1:3] == ["image", "inspect"]:
            return Result(words, 0, IMAGE, b"") if argv[3] in self.images else Result(words, 125, b"", b"no such image")
        if argv[1] == "pull" and argv[-1] not in self.reach:
            return Result(words, 125, b"", b"Error: connection refused")
        tagged = argv[argv.index("--tag") + 1] if "--tag" in argv else ""
        self.images.add(argv[-1] if argv[1] == "pull" else tagged or baseimage.LOCAL_IMAGE)
        return Result(words, 0, b"", b"")

    def stream(
        self, argv: Sequence[str], timeout: float, *, stdin_from: int | None = None, stdout_to: int | None = None
    ) -> Result:
        del timeout, stdin_from, stdout_to
        self.asked.append(argv[1])
        return Result(tuple(argv), 125, b"", b"Error: no such file")


class Make(Protocol):
    """Makes a setup for a developer without root."""

    def __call__(self, fake: FakeEngine | None = None, flags: Flags | None = None, runsc: str = "") -> Setup: ...


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A setup for a developer without root, with a fake engine."""

    def make(fake: FakeEngine | None = None, flags: Flags | None = None, runsc: str = "") -> Setup:
        own = Paths(f"{tmp_path}/data", f"{tmp_path}/run", f"{tmp_path}/c/aibox", f"{tmp_path}/data/seccomp.json")
        context = Context({"HOME": str(tmp_path)}, DEV, own, load_config([], environ={}, flags=flags), Policy())
        found = fake or FakeEngine()
        monkeypatch.setattr(Context, "calls", lambda _self: found)
        return Setup(context, HOST, runsc, lambda _text: None)

    return make


# The loop, with steps that only note what happens to them


class World:
    """A host that steps change."""

    def __init__(self) -> None:
        self.done: set[str] = set()
        self.log: list[str] = []
        self.fails: dict[str, BaseException] = {}
        self.useless: set[str] = set()

    def step(self, name: str, *, needs_root: bool = False) -> Step:
        def act(_setup: Setup) -> None:
            self.log.append(name)
            if name in self.fails:
                raise self.fails.pop(name)
            if name not in self.useless:
                self.done.add(name)

        return Step(
            name, f"title of {name}", "it is needed", lambda _setup: "" if name in self.done else f"no {name}",
            lambda _setup: [f"make {name}"], act, needs_root=needs_root,
        )  # fmt: skip


def run(setup: Setup, monkeypatch: pytest.MonkeyPatch, steps: Sequence[Step], *, yes: bool = True) -> list[str]:
    """The action of each step."""
    monkeypatch.setattr(verb, "steps_for", lambda _setup: tuple(steps))
    monkeypatch.setattr(verb, "Setup", lambda *_: setup)
    arguments = Arguments()
    arguments.yes = yes
    outcome = verb.run(setup.context, arguments, PLAIN)
    found = outcome.data["steps"]
    assert isinstance(found, list)
    return [str(one["action"]) for one in found if isinstance(one, dict)]


def test_twice_changes_nothing(made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    steps = [world.step(name) for name in "abc"]
    assert run(made(), monkeypatch, steps) == ["done"] * 3
    assert run(made(), monkeypatch, steps) == ["none"] * 3
    assert world.log == ["a", "b", "c"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), AiboxError("setup-failed", "x"), MemoryError()])
def test_an_interrupted_setup_goes_on_where_it_was(
    made: Make, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    world = World()
    world.fails["b"] = error
    steps = [world.step(name) for name in "abc"]
    with pytest.raises(type(error)):
        run(made(), monkeypatch, steps)
    assert run(made(), monkeypatch, steps) == ["none", "done", "done"]
    assert world.log == ["a", "b", "b", "c"]


def test_a_step_that_does_not_reach_its_goal(made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.useless.add("a")
    with pytest.raises(AiboxError) as caught:
        run(made(), monkeypatch, [world.step("a"), world.step("b")])
    assert (caught.value.code, caught.value.what) == ("setup-failed", "title of a: no a")
    assert world.log == ["a"]


def test_without_root_the_administrator_is_told(made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    with pytest.raises(AiboxError) as caught:
        run(made(), monkeypatch, [world.step("a", needs_root=True)])
    assert caught.value.why == "it is needed; only root can add it"
    assert caught.value.fix == "have an administrator run: make a; then: aibox setup"
    assert world.log == []


def test_without_consent_nothing_is_done(made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.isatty", lambda _stream: False)
    world = World()
    with pytest.raises(AiboxError) as caught:
        run(made(), monkeypatch, [world.step("a")], yes=False)
    assert (caught.value.code, world.log) == ("consent-needed", [])


def test_each_change_is_said_before(
    made: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World()
    run(made(), monkeypatch, [world.step("a"), world.step("b")])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("aibox makes this host ready in 2 steps")
    assert lines[2:5] == ["[1/2] title of a: no a", "      why: it is needed", "      will: make a"]
    assert lines[5].startswith("[1/2] title of a: done (")


def test_dry_run_changes_nothing(made: Make, tmp_path: Path) -> None:
    world = World()
    world.done.add("a")
    outcome = verb.dry_run(made(), (world.step("a"), world.step("b")))
    assert outcome.lines == ["title of a  ready", "title of b  no b", "            would: make b"]
    assert (world.log, list(tmp_path.iterdir())) == ([], [])


# The real steps


def step(name: str) -> Step:
    return next(one for one in STEPS if one.id == name)


def test_the_steps_are_whole() -> None:
    assert len({one.id for one in STEPS}) == len(STEPS)
    assert [one.id for one in STEPS][-1] == "proof"
    assert all(one.title and one.why for one in STEPS)


@pytest.mark.parametrize("name", ["seccomp", "storage"])
def test_files_that_setup_writes(made: Make, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    real = os.path.exists
    monkeypatch.setattr("os.path.exists", lambda path: real(path) and not str(path).endswith("containers/storage.conf"))
    setup, one = made(), step(name)
    assert one.missing(setup)
    assert one.commands(setup)[0].startswith("write ")
    one.do(setup)
    monkeypatch.undo()
    assert one.missing(made() if name == "seccomp" else setup) == ""


def test_a_changed_profile_is_written_anew(made: Make) -> None:
    setup, one = made(), step("seccomp")
    one.do(setup)
    Path(setup.context.paths.seccomp).write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
    assert one.missing(made()).endswith("is not the shipped profile")
    one.do(made())
    assert one.missing(made()) == ""
    state.write_record(setup.context.paths.setup_record, {})
    assert one.missing(made()) == "the profile is not recorded"


def test_ids_of_a_user_without_root(made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = {"/etc/subuid": b"dev1:100000:65536\n", "/etc/subgid": b"other:1:1\n1001:2:2\n"}
    monkeypatch.setattr(state, "read_bytes", tables.get)
    monkeypatch.setattr("aibox.runner.find_program", lambda _name: "/usr/bin/x")
    assert step("ids").missing(made()) == ""
    tables["/etc/subuid"] = b"dev12:1:1\n"
    assert step("ids").missing(made()) == "/etc/subuid gives dev1 no range of ids"
    monkeypatch.setattr("aibox.runner.find_program", lambda _name: None)
    assert "newuidmap is not installed" in step("ids").missing(made())
    assert step("ids").commands(made())[-1].endswith(" dev1")


def test_package_managers() -> None:
    assert packages.engine_commands("debian")[1][-3:] == ["podman", "uidmap", "runc"]
    assert packages.engine_commands("fedora") == [["/usr/bin/dnf", "install", "--assumeyes", "podman", "shadow-utils"]]
    with pytest.raises(AiboxError) as caught:
        packages.engine_commands("arch")
    assert caught.value.code == "setup-failed"


# The image

CONFIGURED = "harbor.internal/aibox/base:24.04"
LOCAL = baseimage.LOCAL_IMAGE


def test_the_configured_image_is_pulled(made: Make) -> None:
    setup = made(FakeEngine(reach=(CONFIGURED,)))
    setupimage.get(setup)
    assert setup.record["image"] == {"reference": CONFIGURED, "id": "a" * 64}
    assert setupimage.missing(setup) == ""


def test_what_is_here_is_used_first(made: Make) -> None:
    fake = FakeEngine(LOCAL, reach=(CONFIGURED,))
    setup = made(fake)
    setupimage.get(setup)
    assert (setup.record["image"], "pull" in fake.asked) == ({"reference": LOCAL, "id": "a" * 64}, False)


def test_an_image_that_was_asked_for_is_never_replaced(made: Make) -> None:
    setup = made(FakeEngine(LOCAL), {"image": "localhost/other:1"})
    with pytest.raises(AiboxError) as caught:
        setupimage.get(setup)
    assert (caught.value.code, "image" in setup.record) == ("image-missing", False)
    assert caught.value.why == "pull localhost/other:1: podman failed: connection refused"
    with pytest.raises(AiboxError) as caught:
        setupimage.get(made(FakeEngine(), {"image": "localhost/other:1", "pull": "never"}))
    assert caught.value.why == "pull is set to never"


def test_without_a_registry_it_is_built(made: Make) -> None:
    fake = FakeEngine(reach=("docker.io/library/debian:trixie-slim",))
    setup = made(fake)
    setupimage.get(setup)
    assert setup.record["image"] == {"reference": LOCAL, "id": "a" * 64}
    assert [word for word in fake.asked if word not in ("image", "cp")] == ["pull", "pull", "build", "create", "rm"]


# The runtime


def candidates(monkeypatch: pytest.MonkeyPatch, *programs: str) -> None:
    def fail() -> list[str]:
        raise AiboxError("runtime-missing", "out of reach")

    found = [Source("first", "the first source", fail), Source("second", "the second source", lambda: list(programs))]
    monkeypatch.setattr(runscsources, "sources", lambda _where: found)
    monkeypatch.setattr(probe, "platforms", lambda _configured: ("systrap", "ptrace"))


def ready(made: Make) -> Setup:
    setup = made(FakeEngine(LOCAL))
    setupimage.get(setup)
    step("seccomp").do(setup)
    return setup


def program(folder: Path, name: str) -> str:
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_the_first_that_starts_a_box_is_chosen(made: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old, new = program(tmp_path, "old"), program(tmp_path, "new")
    candidates(monkeypatch, old, new)
    tried: list[tuple[str, str]] = []

    def attempt(_context: Context, _calls: EngineCalls, runtime: object, *_more: object) -> Probed:
        tried.append((getattr(runtime, "program", ""), getattr(runtime, "platform", "")))
        if tried[-1] != (new, "ptrace"):
            raise AiboxError("platform-failed", "x", why="it hangs")
        return Probed(2, "Linux")

    monkeypatch.setattr(probe, "try_runtime", attempt)
    setup = ready(made)
    step("runtime").do(setup)
    assert list(dict.fromkeys(tried)) == [(old, "systrap"), (old, "ptrace"), (new, "systrap"), (new, "ptrace")]
    kept = setup.kept("runtime")
    assert (kept["program"], kept["platform"], kept["source"], kept["kernel"]) == (new, "ptrace", "second", "6.1.0")
    assert runtimefiles.check(setup.record).program == new
    assert step("runtime").missing(setup) == ""
    # what was chosen is tried first when setup has to choose again, as long as it is the same program
    setup.keep("runtime", {**kept, "files": []})
    tried.clear()
    step("runtime").do(setup)
    assert tried[0][0] == new
    Path(new).write_text("#!/bin/sh\n# another\n")
    tried.clear()
    step("runtime").do(setup)
    assert tried[0][0] == old
    other = made(FakeEngine(LOCAL))
    other.host = HOST._replace(kernel="6.2.0")
    assert "gVisor was proved on 6.1.0" in step("runtime").missing(other)
    assert "calls" in step("runtime").missing(made(FakeEngine(LOCAL), runsc=old))
    assert "platform" in step("runtime").missing(made(FakeEngine(LOCAL), {"platform": "kvm"}))


@pytest.mark.parametrize("mode", [0, 1, -1])
def test_a_runtime_without_filtered_sessions_is_none(
    made: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: int
) -> None:
    candidates(monkeypatch, program(tmp_path, "runsc"))
    monkeypatch.setattr(probe, "try_runtime", lambda *_: Probed(mode, "Linux"))
    setup = ready(made)
    with pytest.raises(AiboxError) as caught:
        step("runtime").do(setup)
    assert caught.value.code == "platform-failed"
    assert caught.value.why.startswith("first: out of reach; second: ")
    assert caught.value.why.count("have no seccomp filter") == 2
    assert setup.kept("runtime") == {}


def test_registration_follows_the_runtime(made: Make) -> None:
    setup, one = made(), step("registration")
    assert one.missing(setup) == "the runtime is not chosen yet"
    setup.keep("runtime", {"path": '/odd "path"/aibox-runsc'})
    one.do(setup)
    assert one.missing(setup) == ""
    path = Path(one.commands(setup)[0].removeprefix("write "))
    line = path.read_text().splitlines()[-1]
    assert json.loads(line.removeprefix("aibox = ")) == ['/odd "path"/aibox-runsc']


def test_a_proof_holds_only_for_what_was_proved(made: Make) -> None:
    setup, one = made(), step("proof")
    assert one.missing(setup) == "no box was started yet"
    setup.keep("proof", dict(setupsteps._proof_of(setup)))
    assert one.missing(setup) == ""
    changes: dict[str, Json] = {"runtime": {"digest": "x"}, "seccomp": {"sha256": "x"}, "image": {"id": "x"}}
    for entry, value in changes.items():
        other = made()
        other.note(**{entry: value})
        assert one.missing(other) == "something changed since a box was last proved"
        other.note(**{entry: {}})
    other = made()
    other.host = HOST._replace(kernel="6.2.0")
    assert one.missing(other)
