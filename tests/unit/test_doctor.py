"""How doctor runs its checks: order, ground, time limits, exit codes, remedies; and that the table is sound."""

import re
import time
from pathlib import Path
from types import MappingProxyType

import pytest

from aibox import doctor, doctorhost, state
from aibox.config import Policy, load_config
from aibox.context import Context
from aibox.doctor import BLOCKED, Check, Examination, Verdict, examine, exit_code
from aibox.doctorchecks import CHECKS, IDS
from aibox.doctorjudge import NOTE, OK, WRONG, Look, fine, note, wrong
from aibox.errors import AiboxError
from aibox.leftovers import is_left
from aibox.model import Developer
from aibox.state import Paths

ROOT = Path(__file__).resolve().parents[2]


def context(tmp_path: Path) -> Context:
    paths = Paths(str(tmp_path / "data"), str(tmp_path / "run"), str(tmp_path / "config"), str(tmp_path / "s.json"))
    config = load_config((), environ={})
    return Context(MappingProxyType({}), Developer(1001, 1001, "dev1"), paths, config, Policy())


@pytest.fixture
def examination(tmp_path: Path) -> Examination:
    return Examination(context(tmp_path))


def check(name: str, look: Look | AiboxError | OSError, *needs: str, control: bool = False) -> Check:
    def act(_examination: Examination) -> Look:
        if isinstance(look, Exception):
            raise look
        return look

    return Check(name, name, "why", "the usual cure", act, 5.0, needs, control)


def judged(examination: Examination, *checks: Check, wanted: tuple[str, ...] = ()) -> dict[str, Verdict]:
    return {one.check.id: one for one in examine(examination, checks, wanted, lambda _check: None)}


def test_a_check_without_its_ground_is_not_made(examination: Examination) -> None:
    found = judged(examination, check("a", wrong("broken")), check("b", fine(""), "a"), check("c", fine(""), "b"))
    assert {name: one.level for name, one in found.items()} == {"a": WRONG, "b": BLOCKED, "c": BLOCKED}
    assert found["c"].evidence == "needs b"
    assert not found["b"].remedy


def test_a_note_is_ground_enough(examination: Examination) -> None:
    assert judged(examination, check("a", note("odd")), check("b", fine("x"), "a"))["b"].level == OK


def test_a_wanted_check_brings_what_it_needs_and_shows_only_what_is_wrong_of_it(examination: Examination) -> None:
    checks = (check("a", fine("")), check("b", wrong("broken")), check("c", fine(""), "a", "b"), check("d", wrong("")))
    assert set(judged(examination, *checks, wanted=("c",))) == {"b", "c"}


@pytest.mark.parametrize(
    ("checks", "code"),
    [
        ((check("a", fine("")), check("b", note(""))), 0),
        ((check("a", wrong("")),), 4),
        ((check("a", wrong("")), check("b", wrong(""), control=True)), 3),
        ((check("a", wrong("", control=True)),), 3),
        ((check("a", note(""), control=True),), 0),
        ((check("a", AiboxError("runtime-tampered", "x")),), 3),
        ((check("a", AiboxError("engine-missing", "x")),), 4),
    ],
)
def test_exit_codes(examination: Examination, checks: tuple[Check, ...], code: int) -> None:
    assert exit_code(list(judged(examination, *checks).values())) == code


def test_errors_become_verdicts(examination: Examination) -> None:
    found = judged(
        examination,
        check("a", AiboxError("engine-missing", "gone", why="deleted", fix="bring it back")),
        check("b", OSError(5, "Input/output error", "/x")),
    )
    assert (found["a"].level, found["a"].evidence, found["a"].remedy) == (WRONG, "gone (deleted)", "bring it back")
    assert (found["b"].level, found["b"].evidence, found["b"].remedy) == (
        WRONG, "/x: Input/output error", "the usual cure",
    )  # fmt: skip


def test_a_remedy_does_not_lead_back_to_doctor(examination: Examination) -> None:
    found = judged(examination, check("a", AiboxError("engine-failed", "x", fix="aibox doctor")))
    assert found["a"].remedy == "the usual cure"


def test_a_check_that_hangs_is_ended(examination: Examination, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "GRACE_SECONDS", 0.1)

    def hang(_examination: Examination) -> Look:
        time.sleep(30)
        return fine("")

    hanging = Check("a", "a", "why", "cure", hang, 0.1)
    began = time.monotonic()
    found = judged(examination, hanging, check("b", fine("x")))
    assert time.monotonic() - began < 5
    assert (found["a"].level, found["b"].level) == (WRONG, OK)
    assert "within 0.1 seconds" in found["a"].evidence


def test_engine_calls_end_with_their_check(examination: Examination, tmp_path: Path) -> None:
    program = tmp_path / "podman"
    program.write_text("#!/bin/sh\ncase $1 in --version) echo podman version 4.3.1 ;; *) sleep 30 ;; esac\n")
    program.chmod(0o755)
    config = load_config((), environ={}, flags={"engine_path": str(program)})
    examination.context = examination.context._replace(config=config)
    hanging = Check("a", "a", "", "", lambda one: fine(one.calls().run([str(program), "ps"], 60.0).text()), 0.1)
    began = time.monotonic()
    found = judged(examination, hanging)["a"]
    assert time.monotonic() - began < 15
    assert found.level == WRONG
    assert "did not end within" in found.evidence


# -- the table itself


def test_ids_are_unique_and_in_an_order_that_works() -> None:
    assert len(set(IDS)) == len(IDS) >= 40
    for position, row in enumerate(CHECKS):
        assert set(row.needs) <= set(IDS[:position]), row.id


@pytest.mark.parametrize("row", CHECKS, ids=lambda row: row.id)
def test_each_check_says_why_and_what_to_do(row: Check) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", row.id)
    assert row.why
    assert row.cure
    assert 0 < row.seconds <= 300
    assert bool(row.mend) == bool(row.mend_text)
    assert f"## {row.id}\n" in (ROOT / "docs/doctor.md").read_text("utf-8")


def test_fixable_checks_name_the_fix() -> None:
    """Who reads the remedy learns of --fix, unless the remedy itself is as short."""
    assert {row.id for row in CHECKS if row.mend and "--fix" not in row.cure} == {"own-folder"}


# -- looks at files


@pytest.mark.parametrize(
    ("files", "version"),
    [
        (("cgroup.controllers",), "v2"),
        (("unified/cgroup.controllers", "memory/x"), "hybrid v1"),
        (("memory/x",), "v1"),
        ((), "none"),
    ],
)
def test_cgroup_versions(tmp_path: Path, files: tuple[str, ...], version: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert doctorhost.cgroup_version(str(tmp_path)) == version


def test_the_room_of_a_folder_that_is_not_made_yet(tmp_path: Path) -> None:
    assert doctorhost.space(str(tmp_path / "a/b/c")).path == str(tmp_path)


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("aibox-dev1.proof99999999-home", True),
        ("aibox-dev1.proof99999999-0117d4fa18ed", True),
        ("aibox-dev1.proof1-home", False),
        ("aibox-dev1-home", False),
        ("aibox-proof-home", False),
    ],
)
def test_leftovers_are_those_of_ended_processes(name: str, left: bool) -> None:
    assert is_left(name) is left


def test_held_locks_are_named(examination: Examination) -> None:
    folder = Path(examination.context.paths.run, "locks")
    folder.mkdir(parents=True)
    (folder / "free.lock").touch()
    assert doctorhost.locks(examination).level == OK
    with state.locked(str(folder / "held.lock"), timeout=1):
        look = doctorhost.locks(examination)
    assert (look.level, look.evidence) == (NOTE, "held.lock held by another aibox command")
    assert doctorhost.locks(examination).level == OK


def test_the_current_folder_on_windows(examination: Examination, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_folder: str) -> None:
        raise AiboxError("workspace-filesystem", "it is on 9p", fix="copy it")

    class Stub:
        workspace = staticmethod(refuse)

    monkeypatch.setattr(examination, "context", Stub())
    look = doctorhost.here(examination)
    assert (look.level, look.evidence, look.remedy) == (NOTE, "it is on 9p", "copy it")


def test_the_engine_is_asked_once_for_its_boxes(tmp_path: Path) -> None:
    """Five checks read the list; a listing costs a tenth of a second each time."""
    engine, log = tmp_path / "podman", tmp_path / "calls"
    answer = 'case $1 in --version) echo podman version 4.3.1 ;; ps) echo "[]" ;; esac'
    engine.write_text(f'#!/bin/sh\necho "$1" >>{log}\n{answer}\n')
    engine.chmod(0o755)
    (tmp_path / "data").mkdir()
    config = load_config((), environ={}, flags={"engine_path": str(engine)})
    examination = Examination(context(tmp_path)._replace(config=config))
    about_boxes = [row._replace(needs=()) for row in CHECKS if row.look.__module__ == "aibox.doctorboxes"]
    levels = {name: one.level for name, one in judged(examination, *about_boxes).items()}
    assert set(levels.values()) == {OK}, levels
    assert len(levels) >= 5
    assert log.read_text().split().count("ps") == 1
