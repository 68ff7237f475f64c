"""Everything that reads what others wrote is fed odd input; the table of readers is in tests/fuzz, for longer runs."""

import ast
import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readers import READERS
from rows import Case, Reader, judge, reading
from samples import engine, plan_of, recorded

from aibox import (
    ages,
    boxids,
    controls,
    daemonjson,
    doctorengine,
    doctorjudge,
    execute,
    imageref,
    planrecord,
    runscsources,
    state,
    verification,
    wslconfig,
)
from aibox.config import Policy, load_config
from aibox.context import Context
from aibox.doctor import Examination
from aibox.enginecalls import EngineCalls
from aibox.engines import podman
from aibox.errors import AiboxError
from aibox.model import Developer
from aibox.runner import Result
from aibox.state import Paths

PACKAGE = Path(__file__).resolve().parents[2] / "aibox"
# what these take in is aibox's own, or judged where it is used
ELSEWHERE = {
    "assets": "shipped files",
    "imagemaking": "a shipped list",
    "seccomp": "shipped tables",
    "manual": "shipped pages",
    "schemas": "aibox's own tables",
    "bundlemake": "files that aibox writes itself",
    "completion": "the words of a shell; tests/unit/test_completion.py",
    "runner": "words of a program, only shown",
    "volumes": "words of a program, only shown",
    "monitors": "command lines of processes; tests/unit/test_leftovers.py",
    "commands.logs": "words of a program, only shown",
    "commands.config": "aibox's own text",
    "commands.completion": "aibox's own text",
    "probe": "/proc/self/status of a throw-away box",
    "scope": "the kernel's own numbers",
    "doctorhost": "the kernel's own numbers",
    "setupsteps": "compared with what is written",
    "runtimefiles": "compared by SHA-256",
    "programupdate": "compared by SHA-256, and signed",
    "doctorboxes": "only whether it is there",
    "execute": "one digit of the kernel's",
    "updates": "parsed by jsonview and read by it alone",
    "volumetree": "a volume's tree; tests/unit/test_volumearchive.py",
    "volumejobs": "aibox's own records, by state.read_record",
}
READING = {"parse", "loads", "splitlines", "read_bytes", "parse_bytes"}


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.what)
@settings(max_examples=25)
@given(seed=st.integers(0, 2**64))
def test_nothing_but_results_and_named_errors(reader: Reader, seed: int) -> None:
    judge(reader, reader.case(Random(seed)))


def calls_of(path: Path) -> set[str]:
    """The names of functions that a module calls."""
    return {
        node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name)
    }


def test_every_module_that_reads_is_in_the_table() -> None:
    names = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    known = {module for reader in READERS for module in reader.modules}
    assert known <= set(names)
    assert set(ELSEWHERE) <= set(names)
    assert not known & set(ELSEWHERE)
    missing = sorted(name for name, path in names.items() if calls_of(path) & READING and name not in known)
    assert [name for name in missing if name not in ELSEWHERE] == []
    assert len({reader.what for reader in READERS}) == len(READERS)


# The judge itself


def test_a_traceback_an_unnamed_error_and_a_hang_are_noticed() -> None:
    def refuses(_text: str) -> None:
        raise AiboxError("usage", "x")

    def hangs(_text: str) -> None:
        while True:
            pass

    for read, wanted in ((int, ValueError), (refuses, AssertionError), (hangs, TimeoutError)):
        reader = Reader("x", (), reading(lambda _rng: "x", read))
        with pytest.raises(wanted):
            judge(reader, reader.case(Random(1)))
    assert not judge(Reader("x", (), lambda _rng: Case("x", (lambda: refuses("x"),)), ("usage",)), Case("x", ()))


# What the long runs found


@pytest.mark.parametrize("text", ["2026-13-45T99:99:99Z", "9" * 5000, "9" * 12, "0000-01-01T00:00:00Z"])
def test_what_is_no_moment_stays_as_it_is(text: str) -> None:
    assert ages.moment(text) is None
    assert ages.iso(text) == ages.ago(text, 0) == text


def test_half_a_surrogate_pair_in_daemon_json_stays_the_escape_that_it_was() -> None:
    after = daemonjson.merged(b'{"a": "\\ud800 \xc3\xa9"}', "/p")
    assert b'"a": "\\ud800 \xc3\xa9"' in after
    assert daemonjson.parse(after)["a"] == "\ud800 é"


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": -1e999}', f'{{"a": {"[" * 100_000}1{"]" * 100_000}}}'])
def test_what_dockerd_would_not_read_is_refused_before_it_is_written(text: str) -> None:
    with pytest.raises(AiboxError) as caught:
        daemonjson.merged(text.encode(), "/p")
    assert caught.value.code == "setup-failed"


def test_an_unknown_code_from_the_volume_worker_is_named() -> None:
    with pytest.raises(AiboxError) as caught:
        boxids.result_of(b'{"error": {"code": "x", "what": []}}')
    assert (caught.value.code, caught.value.what) == ("volume-failed", "the work on the volume failed")


def test_numbers_that_python_refuses_are_none() -> None:
    assert doctorjudge.numbers("1.² 9.9") == (9, 9)
    assert doctorjudge.numbers(f"1.{'9' * 5000}") == ()
    assert doctorjudge.granted(b"dev1:1:\xc2\xb2\ndev1:1:7\n", "dev1", 1) == 7
    assert wslconfig.size("9" * 5000) == 0
    document = wslconfig.parse(f"[wsl2]\nprocessors={'9' * 5000}\n".encode())
    assert "processors" in {change.key for change in wslconfig.proposal(document, 32 << 30, 8)}
    assert runscsources._date("²²²²²²²²") == 0
    with pytest.raises(AiboxError) as caught:
        podman.parse_version(f"podman version 4.{'9' * 5000}")
    assert caught.value.code == "engine-garbage"
    assert planrecord.decode({"limits": {"cpus": 10**400}}).limits.cpus == 0.0


@pytest.mark.parametrize("path", ["/a\0b", "/\ud800"])
def test_a_path_that_no_file_can_have_is_not_there(path: str) -> None:
    assert state.read_bytes(path) is None


def test_many_stars_cost_no_more_than_few() -> None:
    reader = Reader("x", (), reading(lambda _rng: "a" * 500, lambda text: imageref.matches("**a" * 60 + "b", text)))
    assert not judge(reader, reader.case(Random(1)))
    assert imageref.matches("**a" * 60, "a" * 500)


# What reading the code for the table found


def test_a_profile_that_is_no_json_any_more_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody wrote over the file: each rule of the box is one too many, and no traceback comes."""
    name = "podman-4.3.1-rootless"
    plan = plan_of(name)._replace(seccomp_path=str(tmp_path / "seccomp.json"))
    (tmp_path / "seccomp.json").write_bytes(b"\xff{")
    oci = recorded(name, "config")
    monkeypatch.setattr(verification, "recorded_plan", lambda *_: plan)
    monkeypatch.setattr(
        execute, "before_start", lambda _calls, plan, profile, _box: controls.oci_findings(plan, oci, profile)
    )
    for part in ("outer_findings", "session_findings"):
        monkeypatch.setattr(verification, part, lambda *_: [])
    paths = Paths("/d", "/r", "/c", "/s")
    gathered = Context({}, Developer(1, 1, "dev1"), paths, load_config([], environ={}), Policy())
    box = podman.parse_inspect(json.dumps(recorded(name, "inspect")))._replace(pid=0)
    _, found = verification.verify(gathered, EngineCalls(engine(rootless=True), {}), box)
    wrong = [one.observed for one in found if one.control == "S5" and not one.ok]
    assert any("also" in observed for observed in wrong), wrong


@pytest.mark.parametrize("garbage", [b"", b"\xff{", b"Error: x\n{}"])
def test_doctor_names_an_engine_whose_report_is_no_json(garbage: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    class Printing(EngineCalls):
        def run(self, argv: Sequence[str], timeout: float = 1.0) -> Result:
            del timeout
            return Result(tuple(argv), 0, garbage, b"")

    gathered = Context(
        {}, Developer(1, 1, "dev1"), Paths("/d", "/r", "/c", "/s"), load_config([], environ={}), Policy()
    )
    examination = Examination(gathered)
    monkeypatch.setattr(Examination, "calls", lambda _self: Printing(engine(rootless=True), {}))
    look = doctorengine.answers(examination)
    assert look.level == "wrong"
    assert "podman info prints no JSON" in look.evidence
