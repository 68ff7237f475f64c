"""The table of errors, its use in the code, and the exact text that people and scripts see."""

import ast
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibox import ui
from aibox.errors import EXIT_CODES, KINDS, AiboxError
from aibox.ui import Outcome, Style

ROOT = Path(__file__).resolve().parents[2]
PLAIN, COLOUR = Style(json=False, log_json=False, colour=False), Style(json=False, log_json=False, colour=True)
JSON, LOG = Style(json=True, log_json=False, colour=False), Style(json=False, log_json=True, colour=False)
ERROR = AiboxError("engine-missing", "neither Podman nor Docker was found", why="looked in /usr/bin", fix="aibox setup")


def codes_in_the_package() -> set[str]:
    """Every text of the code that is an error's code: first words of AiboxError, and values that reach it by name."""
    found = set()
    for path in (ROOT / "aibox").rglob("*.py"):
        if path.name == "errors.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in KINDS:
                found.add(node.value)
    return found


def raised_codes() -> set[str]:
    """The constant first words of every AiboxError(...)."""
    return {
        node.args[0].value
        for path in (ROOT / "aibox").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith("AiboxError")
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }


def test_every_code_in_the_table_is_used() -> None:
    assert set(KINDS) - codes_in_the_package() == set()


def test_every_code_that_is_raised_is_in_the_table() -> None:
    assert len(raised_codes()) > 25
    assert raised_codes() - set(KINDS) == set()


def test_the_table() -> None:
    for code, kind in KINDS.items():
        assert code == code.lower()
        assert set(code) <= set("abcdefghijklmnopqrstuvwxyz-")
        assert kind.exit_code in {exit_code.value for exit_code in EXIT_CODES}
        assert kind.meaning[0].islower() or kind.meaning.startswith(("gVisor", "aibox"))
    assert [exit_code.value for exit_code in EXIT_CODES] == [0, 1, 2, 3, 4, 5, 125, 130]
    with pytest.raises(KeyError):
        AiboxError("no-such-code", "x")


def told(capsys: pytest.CaptureFixture[str], error: AiboxError, style: Style, code: int = 4) -> tuple[str, str]:
    ui.show_error(error, "start", style, code)
    seen = capsys.readouterr()
    return seen.out, seen.err


def test_an_error_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, ERROR, PLAIN) == (
        "",
        "aibox: neither Podman nor Docker was found [engine-missing]\n  why: looked in /usr/bin\n  fix: aibox setup\n",
    )
    assert told(capsys, AiboxError("usage", "what"), PLAIN) == ("", "aibox: what [usage]\n")
    assert told(capsys, ERROR, COLOUR)[1].startswith("\x1b[31maibox:\x1b[0m neither")


def test_an_error_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = told(capsys, ERROR, JSON)
    assert err == ""
    assert out == (
        '{\n  "schema_version": 1,\n  "aibox": "0.1.0",\n  "ok": false,\n  "verb": "start",\n  "error": {\n'
        '    "code": "engine-missing",\n    "message": "neither Podman nor Docker was found",\n'
        '    "why": "looked in /usr/bin",\n    "fix": "aibox setup",\n    "exit_code": 4\n  }\n}\n'
    )


def test_an_error_for_logs(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = told(capsys, ERROR, LOG)
    line = json.loads(err)
    assert out == ""
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "error", "message": "neither Podman nor Docker was found", "code": "engine-missing",
        "why": "looked in /usr/bin", "fix": "aibox setup",
    }  # fmt: skip


@given(st.text(max_size=60))
def test_no_text_of_others_reaches_the_terminal_as_control(text: str) -> None:
    """Names of folders and words of the engine are somebody else's: no escape sequence, no second line."""
    lines = ui.error_lines(AiboxError("usage", text, why=text, fix=text or "x"), PLAIN)
    assert len(lines) == 2 + bool(text)
    assert all(line.isprintable() for line in lines)


# Results


def test_a_result(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = Outcome({"box": "b"}, ["b started"], ("it is empty",))
    ui.show(outcome, "start", PLAIN)
    assert capsys.readouterr() == ("b started\n", "note: it is empty\n")
    ui.show(outcome._replace(exit_code=3), "start", JSON)
    seen = capsys.readouterr()
    assert json.loads(seen.out) == {
        "schema_version": 1, "aibox": "0.1.0", "ok": False, "verb": "start", "data": {"box": "b"},
        "notices": ["it is empty"],
    }  # fmt: skip
    ui.show(outcome, "start", LOG)
    assert json.loads(capsys.readouterr().err)["level"] == "notice"


@pytest.mark.parametrize(
    ("environ", "terminal", "colour"),
    [({}, True, True), ({}, False, False), ({"NO_COLOR": "1"}, True, False), ({"NO_COLOR": ""}, True, True),
     ({"TERM": "dumb"}, True, False), ({"TERM": "xterm"}, True, True)],
)  # fmt: skip
def test_colour(monkeypatch: pytest.MonkeyPatch, *, environ: dict[str, str], terminal: bool, colour: bool) -> None:
    monkeypatch.setattr("os.isatty", lambda descriptor: terminal and descriptor == 2)
    assert ui.style(environ, json=False, log_json=False).colour is colour


def test_progress_is_quiet_for_a_second(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress = ui.Progress(PLAIN)
    progress.step("create the box")
    now[0] = 100.9
    progress.step("set it up")
    assert capsys.readouterr().err == ""
    now[0] = 101.2
    progress.step("check it")
    assert capsys.readouterr().err == "    0.0 s  create the box\n    0.9 s  set it up\n    1.2 s  check it\n"
    ui.Progress(PLAIN, quiet=True).step("nothing")
    assert capsys.readouterr() == ("", "")


def test_tables_and_sizes() -> None:
    assert ui.table([("A", "LONGER"), ("b c", "d"), ("", "")]) == ["A    LONGER", "b c  d", ""]
    assert ui.table([]) == []
    sizes = {0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 10240: "10 KiB", 8 << 30: "8.0 GiB", 3 << 40: "3.0 TiB"}
    assert {count: ui.size(count) for count in sizes} == sizes
