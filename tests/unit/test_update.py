"""`aibox update`: what is newer, there and back, and what a failure leaves."""

import json
import os
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

import pytest
from samples import engine

from aibox import baseimage, cli, jsonview, runner, runscsources, setupimage, setupruntime, state, updates
from aibox.commands import update as verb
from aibox.config import Policy, load_config
from aibox.context import Context
from aibox.enginecalls import QUERY_SECONDS, EngineCalls
from aibox.errors import AiboxError
from aibox.facts import HostFacts
from aibox.jsonview import Json
from aibox.model import Developer
from aibox.runner import Result
from aibox.runscsources import Source
from aibox.setupsteps import Setup
from aibox.state import Paths
from aibox.ui import Style
from aibox.updates import CURRENT, OUTDATED

HOST = HostFacts("linux", "6.1.0", os.uname().machine, "debian", "12", "none", cgroup2=True)
PLAIN = Style(json=False, log_json=False, colour=False)
REFERENCE = "harbor.internal/aibox/base:24.04"
OLD, NEW, OLDEST = "a" * 64, "b" * 64, "c" * 64
KEPT = f"localhost/aibox/base:previous-{OLD[:12]}"


class FakeEngine(EngineCalls):
    """An engine whose tags are a mapping; a pull brings `there`, or fails where that is empty."""

    def __init__(self, tags: dict[str, str], there: str = "") -> None:
        super().__init__(engine(rootless=True), {})
        self.tags, self.there = tags, there
        self.asked: list[str] = []

    def run(self, argv: Sequence[str], timeout: float = QUERY_SECONDS) -> Result:
        del timeout
        words = tuple(argv)
        self.asked.append(" ".join(argv[1:]))
        match argv[1:]:
            case ["image", "inspect", name]:
                found = self.tags.get(name) or (name if name in self.tags.values() else "")
                record = json.dumps([{"Id": found, "Config": {"Env": []}}]).encode()
                return Result(words, 0, record, b"") if found else Result(words, 125, b"", b"no such image")
            case ["pull", _, name] if self.there:
                self.tags[name] = self.there
            case ["tag", identifier, name]:
                self.tags[name] = identifier
            case ["rmi", name]:
                self.tags.pop(name, None)
            case ["images", "--filter", pattern, *_]:
                matching = {self.tags[name] for name in self.tags if fnmatch(f"reference={name}", pattern)}
                # Podman says every name of such an image
                names = "\n".join(name for name, identifier in self.tags.items() if identifier in matching)
                return Result(words, 0, names.encode(), b"")
            case ["ps", *_]:
                return Result(words, 0, b"[]", b"")
            case _:
                return Result(words, 125, b"", b"Error: connection refused")
        return Result(words, 0, b"", b"")


class Made:
    """A setup that has run, on an engine."""

    def __init__(self, folder: Path, fake: FakeEngine, flags: dict[str, str]) -> None:
        own = Paths(f"{folder}/data", f"{folder}/run", f"{folder}/config", f"{folder}/data/seccomp.json")
        config = load_config([], environ={}, flags={"image": REFERENCE, "pull": "always", **flags})
        self.context = Context({"HOME": str(folder)}, Developer(1001, 1001, "dev1"), own, config, Policy())
        program = folder / "data" / "runsc" / "1" / "runsc"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("old")
        state.write_record(own.setup_record, {
            "image": {"reference": REFERENCE, "id": OLD},
            "runtime": {"program": str(program), "program_sha256": state.sha256(b"old"), "source": "package"},
        })  # fmt: skip
        self.fake, self.setup = fake, Setup(self.context, HOST, "", lambda _text: None)

    def record(self) -> dict[str, Json]:
        return state.read_record(self.context.paths.setup_record)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """A host whose registry has a newer image."""
    found = Made(tmp_path, FakeEngine({REFERENCE: OLD}, NEW), {})
    monkeypatch.setattr(Context, "calls", lambda _self: found.fake)
    return found


def entry(identifier: str) -> dict[str, Json]:
    return {"reference": REFERENCE, "id": identifier}


# The image


def test_a_newer_image_and_back(made: Made) -> None:
    assert updates.renew_image(made.setup, made.fake)
    assert (made.record()["image"], made.record()["image_previous"]) == (entry(NEW), entry(OLD))
    assert made.fake.tags == {REFERENCE: NEW, KEPT: OLD}, "the old one keeps a name, so that no pruning takes it"
    updates.roll_back(made.setup, made.fake)
    assert (made.record()["image"], made.record()["image_previous"]) == (entry(OLD), entry(NEW))
    assert made.fake.tags == {REFERENCE: OLD, updates.kept_tag(NEW): NEW}
    updates.roll_back(made.setup, made.fake)
    assert made.record()["image"] == entry(NEW), "back and forth"


def test_only_one_previous_image_is_kept(made: Made) -> None:
    made.setup.note(image_previous=entry(OLDEST))
    made.fake.tags[updates.kept_tag(OLDEST)] = OLDEST
    assert updates.renew_image(made.setup, made.fake)
    assert made.fake.tags == {REFERENCE: NEW, KEPT: OLD}


def test_an_old_image_that_does_not_go_in_time_costs_only_space(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    made.setup.note(image_previous=entry(OLDEST))
    made.fake.tags[updates.kept_tag(OLDEST)] = OLDEST
    act = made.fake.run

    def run(argv: Sequence[str], timeout: float = QUERY_SECONDS) -> Result:
        if "rmi" in argv:
            raise AiboxError("command-timeout", "podman did not end within 120 seconds")
        return act(argv, timeout)

    monkeypatch.setattr(made.fake, "run", run)
    assert updates.renew_image(made.setup, made.fake)
    assert (made.record()["image"], made.record()["image_previous"]) == (entry(NEW), entry(OLD))


def test_image_and_way_back_are_one_write(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    made.setup.note(image_previous=entry(OLDEST))
    seen = []
    write = state.write_record

    def spy(path: str, record: dict[str, Json]) -> None:
        write(path, record)
        seen.append((jsonview.text(record, "image", "id"), jsonview.text(record, "image_previous", "id")))

    monkeypatch.setattr(state, "write_record", spy)
    updates.renew_image(made.setup, made.fake)
    assert set(seen) == {(NEW, OLD)}


def test_an_interrupted_rollback_is_seen(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    made.setup.note(image=entry(NEW), image_previous=entry(OLD))
    made.fake.tags |= {KEPT: OLD, updates.kept_tag(NEW): NEW}
    monkeypatch.setattr(updates, "remote_id", lambda *_: (NEW, ""))
    assert updates.image(made.setup).state == OUTDATED
    assert not updates.renew_image(made.setup, made.fake)
    assert (made.fake.tags, updates.image(made.setup).state) == ({REFERENCE: NEW, KEPT: OLD}, CURRENT)


def test_nothing_newer_changes_nothing(made: Made) -> None:
    made.fake.there = OLD
    made.setup.note(image_previous=entry(OLDEST))
    made.fake.tags[updates.kept_tag(OLDEST)] = OLDEST
    before, tags = made.record(), dict(made.fake.tags)
    assert not updates.renew_image(made.setup, made.fake)
    assert (made.record(), made.fake.tags) == (before, tags)


def test_a_registry_out_of_reach_changes_nothing(made: Made) -> None:
    made.fake.there = ""
    before = made.record()
    with pytest.raises(AiboxError) as caught:
        updates.renew_image(made.setup, made.fake)
    assert (caught.value.code, made.record(), made.fake.tags) == ("image-missing", before, {REFERENCE: OLD})


def test_killed_between_pull_and_record_the_old_image_is_still_known(made: Made) -> None:
    made.fake.tags |= {REFERENCE: NEW, KEPT: OLD}  # pulled; the record still names the old one
    assert updates.renew_image(made.setup, made.fake)
    assert (made.record()["image"], made.record()["image_previous"]) == (entry(NEW), entry(OLD))
    assert made.fake.tags[KEPT] == OLD


@pytest.mark.parametrize(("previous", "why"), [
    ({}, "update has not replaced an image yet"), (entry(OLDEST), "the engine has it no more"),
])  # fmt: skip
def test_nothing_to_go_back_to(made: Made, previous: dict[str, Json], why: str) -> None:
    made.setup.note(image_previous=previous)
    with pytest.raises(AiboxError) as caught:
        updates.roll_back(made.setup, made.fake)
    assert (caught.value.code, caught.value.what, caught.value.why) == (
        "image-missing", "there is no previous image to go back to", why
    )  # fmt: skip


def test_no_way_back_to_what_is_not_configured(made: Made) -> None:
    made.setup.note(image_previous={"reference": "localhost/x:1", "id": OLD})
    with pytest.raises(AiboxError) as caught:
        updates.roll_back(made.setup, made.fake)
    assert caught.value.what == f"the previous image is localhost/x:1, and {REFERENCE} is configured"
    assert caught.value.fix == "aibox update --rollback --image localhost/x:1"


# What is available


def answers(monkeypatch: pytest.MonkeyPatch, *documents: str) -> list[list[str]]:
    """skopeo, which prints these documents in turn; returns what it is asked."""
    asked: list[list[str]] = []

    def run(argv: Sequence[str], **_more: object) -> Result:
        asked.append(list(argv))
        return Result(tuple(argv), 0, documents[len(asked) - 1].encode(), b"")

    monkeypatch.setattr(runner, "find_program", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(runner, "run", run)
    return asked


def manifest(identifier: str) -> str:
    return json.dumps({"schemaVersion": 2, "config": {"digest": f"sha256:{identifier}"}})


@pytest.mark.parametrize(("there", "expected"), [(OLD, "current"), (NEW, "outdated")])
def test_a_registry_is_asked_without_a_pull(
    made: Made, monkeypatch: pytest.MonkeyPatch, there: str, expected: str
) -> None:
    asked = answers(monkeypatch, manifest(there))
    part = updates.image(made.setup)
    assert (part.state, part.available) == (expected, f"{REFERENCE} ({there[:12]})")
    assert asked == [["/usr/bin/skopeo", "inspect", "--raw", f"docker://{REFERENCE}"]]


def test_a_list_of_images_for_several_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"digest": f"sha256:{letter * 64}", "platform": {"architecture": name}}
            for letter, name in (("1", "arm64"), ("2", "amd64"))]  # fmt: skip
    asked = answers(monkeypatch, json.dumps({"manifests": rows}), manifest(NEW))
    assert updates.remote_id(REFERENCE, {}, "x86_64") == (NEW, "")
    assert asked[1][-1] == f"docker://harbor.internal/aibox/base@sha256:{'2' * 64}"
    answers(monkeypatch, json.dumps({"manifests": rows}))
    assert updates.remote_id(REFERENCE, {}, "riscv64") == ("", "the registry has no image for riscv64")
    answers(monkeypatch, "<html>")
    assert updates.remote_id(REFERENCE, {}, "x86_64")[1].startswith("skopeo printed no JSON")


def test_without_skopeo_only_a_pull_tells(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "find_program", lambda _name: None)
    part = updates.image(made.setup)
    assert (part.state, part.commands) == ("unknown", (f"pull {REFERENCE}",))
    assert part.available == f"what {REFERENCE} is now (only a pull tells: skopeo is not installed)"


@pytest.mark.parametrize("flags", [{"pull": "never"}, {"image": "localhost/own:1"}])
def test_an_image_that_is_not_to_be_pulled_is_left_alone(tmp_path: Path, flags: dict[str, str]) -> None:
    assert updates.image(Made(tmp_path, FakeEngine({}), flags).setup).state == "kept"


@pytest.mark.parametrize(("recipe", "tried"), [(baseimage.recipe(), 1), ("another", 3), ("", 3)])
def test_an_image_that_was_built_here_is_built_anew_only_by_another_recipe(
    made: Made, monkeypatch: pytest.MonkeyPatch, recipe: str, tried: int
) -> None:
    ways: list[str] = []

    def fail(_setup: Setup, way: str, _act: object) -> list[str]:
        ways.append(way)
        return [f"{way}: no"]

    monkeypatch.setattr(setupimage, "_attempt", fail)
    monkeypatch.setattr(runner, "find_program", lambda _name: None)
    here: dict[str, Json] = {"reference": baseimage.LOCAL_IMAGE, "id": OLD}
    made.fake.tags = {baseimage.LOCAL_IMAGE: OLD}
    context = made.context._replace(config=load_config([], environ={}, flags={"pull": "always"}))
    setup = Setup(context, HOST, "", lambda _text: None)
    setup.moving = True
    setup.note(image=here, recipe=recipe)
    part = updates.image(setup)
    assert (part.state, len(part.commands) > 1) == ("unknown", tried > 1)
    assert ("was built here" in part.available) is (tried == 1)
    if tried == 1:
        assert not updates.renew_image(setup, made.fake)
    else:
        made.fake.tags[baseimage.LOCAL_IMAGE] = NEW  # as a build would
        assert updates.renew_image(setup, made.fake)
    assert ways[0].startswith("pull ")
    assert len(ways) == min(tried, 2)
    assert state.read_record(context.paths.setup_record)["image"] == {**here, "id": OLD if tried == 1 else NEW}


@pytest.mark.parametrize(("content", "expected"), [("old", "current"), ("new", "outdated"), ("", "unknown")])
def test_runsc(made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, expected: str) -> None:
    offered = tmp_path / "offered"
    offered.write_text(content)

    def find() -> list[str]:
        if not content:
            raise AiboxError("runtime-missing", "out of reach")
        return [str(offered)]

    def fail() -> list[str]:
        raise AssertionError("another source than that of this runsc was asked")

    rows = [Source("present", "x", fail), Source("release", "x", fail), Source("package", "the package", find)]
    monkeypatch.setattr(runscsources, "sources", lambda _where: rows)
    part = updates.gvisor(made.setup)
    assert part.state == expected
    adopted: list[str] = []
    monkeypatch.setattr(setupruntime, "adopt", lambda _setup, _source, program: adopted.append(program))
    if content:
        assert updates.renew_gvisor(made.setup) is (content == "new")
    assert adopted == ([str(offered)] if content == "new" else [])


@pytest.mark.parametrize(("source", "flags"), [
    ("bundle", {}), ("package", {"runsc_path": "/opt/runsc"}), ("package", {"runtime": "crun"}),
])  # fmt: skip
def test_a_runsc_of_the_user_is_left_alone(tmp_path: Path, source: str, flags: dict[str, str]) -> None:
    made = Made(tmp_path, FakeEngine({}), flags)
    for entry_ in ("runtime", "runtime-crun"):
        made.setup.note(**{entry_: {**_runtime(made), "source": source}})
    assert updates.gvisor(made.setup).state == "kept"


def test_a_runsc_of_the_system_is_left_alone_until_it_changes(made: Made, tmp_path: Path) -> None:
    program = tmp_path / "usr-bin-runsc"
    program.write_text("old")
    made.setup.note(runtime={**_runtime(made), "program": str(program), "source": "present"})
    assert updates.gvisor(made.setup).state == "kept"
    program.write_text("new")
    assert updates.gvisor(made.setup).state == "outdated"


def _runtime(made: Made) -> dict[str, Json]:
    found = made.record()["runtime"]
    assert isinstance(found, dict)
    return found


# The verb


def words(**options: object) -> cli.Arguments:
    arguments = cli.Arguments()
    for option, value in options.items():
        setattr(arguments, option, value)
    return arguments


def test_before_setup_there_is_nothing_to_update(made: Made) -> None:
    state.remove_file(made.context.paths.setup_record)
    with pytest.raises(AiboxError) as caught:
        verb.run(made.context, words(yes=True), PLAIN)
    assert (caught.value.code, caught.value.fix) == ("image-missing", "aibox setup")


def test_a_failed_part_leaves_the_others(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    made.fake.there = ""
    monkeypatch.setattr(runner, "find_program", lambda _name: None)
    monkeypatch.setattr(updates, "runsc_sources", lambda *_: [])
    monkeypatch.setattr(updates, "own_steps", lambda _setup: [])
    outcome = verb.run(made.context, words(yes=True), PLAIN)
    assert outcome.exit_code == 1
    assert outcome.notices[0].startswith(f"image is as it was: no newer image was reached (pull {REFERENCE}: ")
    made.fake.there = NEW
    outcome = verb.run(made.context, words(yes=True), PLAIN)
    assert (outcome.exit_code, made.record()["image"]) == (0, entry(NEW))


def test_without_consent_nothing_is_done(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "find_program", lambda _name: None)
    monkeypatch.setattr("os.isatty", lambda _stream: False)
    monkeypatch.setattr(updates, "runsc_sources", lambda *_: [])
    before = made.record()
    for options in ({}, {"rollback": True}):
        made.setup.note(image_previous=entry(OLD))
        with pytest.raises(AiboxError) as caught:
            verb.run(made.context, words(**options), PLAIN)
        assert caught.value.code == "consent-needed"
    assert made.record() == {**before, "image_previous": entry(OLD)}
    assert made.fake.tags == {REFERENCE: OLD}


@pytest.mark.parametrize("killed_before_its_proof", [False, True])
def test_a_new_image_that_fails_its_proof_is_taken_back(
    made: Made, monkeypatch: pytest.MonkeyPatch, *, killed_before_its_proof: bool
) -> None:
    monkeypatch.setattr(updates, "remote_id", lambda *_: (NEW, ""))
    monkeypatch.setattr(updates, "runsc_sources", lambda *_: [])
    if killed_before_its_proof:
        made.setup.note(image=entry(NEW), image_previous=entry(OLD), proof={"image": OLD})
        made.fake.tags |= {REFERENCE: NEW, KEPT: OLD}

    def refuse(*_words: object, **_more: object) -> None:
        raise AiboxError("control-failed", "no filter")

    monkeypatch.setattr(verb, "perform", refuse)
    with pytest.raises(AiboxError) as caught:
        verb.run(made.context, words(yes=True), PLAIN)
    assert caught.value.code == "control-failed"
    assert (made.record()["image"], made.fake.tags[REFERENCE]) == (entry(OLD), OLD)
