"""The command line: verbs, options and their order, help, suggestions, documents and exit codes."""

import json
import os
import re
from pathlib import Path

import pytest

from aibox import cli
from aibox.cli import main, overview, parser, split_words
from aibox.configkeys import KEYS
from aibox.errors import AiboxError
from aibox.options import OPTIONS, VERBS, Verb, verb

NAMES = [row.name for row in VERBS]
SESSIONS = ("exec", "run", "shell")


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the caller, and an engine that is not there."""
    for name in list(os.environ):
        if name.startswith(("AIBOX_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("aibox.runner.find_program", lambda _name, _path="": None)


def called(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    seen = capsys.readouterr()
    return code, seen.out, seen.err


# Help


@pytest.mark.parametrize("row", VERBS, ids=NAMES)
def test_every_verb_has_help(row: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([row.name, "--help"])
    seen = capsys.readouterr()
    assert (caught.value.code, seen.err) == (0, "")
    assert seen.out.startswith(f"usage: aibox {row.name} [options]")
    text = re.sub(r"\s+", " ", seen.out)
    assert row.summary[1:] in text
    assert f"example: {row.example}" in text
    for name in (*row.options, "json"):
        assert OPTIONS[name].long in seen.out
        assert OPTIONS[name].help.split("(")[0].strip() in text
    if row.settings:
        assert all(key.flag in seen.out for key in KEYS)


@pytest.mark.parametrize("row", VERBS, ids=NAMES)
def test_every_verb_is_whole(row: Verb) -> None:
    assert set(row.options) <= set(OPTIONS)
    assert f"aibox {row.name}" in row.example
    assert callable(cli._load(row))
    assert row.session == (row.name in SESSIONS)
    options = [*split_example(row), *()]
    parser(row).parse_args(split_words(row, options)[0], namespace=cli.Arguments())


def split_example(row: Verb) -> list[str]:
    return row.example.partition(f"aibox {row.name}")[2].rstrip(")").split()


def test_options_are_unambiguous() -> None:
    for row in VERBS:
        names = [name for option in cli.options_of(row) for name in (option.long, option.short) if name]
        assert len(names) == len(set(names)), row.name
    assert all(option.long.startswith("--") for option in OPTIONS.values())
    used = {name for row in VERBS for name in row.options} | {"json"}
    assert used == set(OPTIONS), "an option that no verb has"


def test_overview(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["-h"], ["help"]):
        assert called(capsys, *words) == (0, overview(), "")
    assert called(capsys) == (2, overview(), "")
    for row in VERBS:
        assert re.search(rf"^  {row.name} +{re.escape(row.summary)}$", overview(), re.MULTILINE)
    assert called(capsys, "--version")[1] == "aibox 0.1.0\n"


# Mistakes


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("strat", "start"), ("stauts", "status"), ("shel", "shell"), ("exce", "exec"), ("destory", "destroy")],
)
def test_mistyped_verbs_get_a_suggestion(capsys: pytest.CaptureFixture[str], typed: str, meant: str) -> None:
    code, out, err = called(capsys, typed)
    assert (code, out) == (2, "")
    assert err == f"aibox: there is no verb '{typed}' [usage]\n  fix: did you mean `aibox {meant}`?\n"


def test_far_off_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert called(capsys, "xyzzy")[2].endswith("fix: aibox --help lists the verbs\n")
    code, out, _ = called(capsys, "xyzzy", "--json")
    assert (code, json.loads(out)["error"]["code"]) == (2, "usage")


WRONG = [
    ["start", "--nonsense"], ["start", "--workspace"], ["start", "word"], ["stop", "--time"],
    ["start", "--memory"], ["config", "--workspace", "x"], ["list", "x"],
    ["start", "--dry-run=yes"], ["stop", "--memory", "1G"],
]  # fmt: skip


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_wrong_options(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    code, out, err = called(capsys, *words)
    assert (code, out) == (2, "")
    assert "[usage]" in err
    assert err.endswith(f"fix: aibox {words[0]} --help\n")
    code, out, err = called(capsys, words[0], "--json", *words[1:])
    document = json.loads(out)
    assert (code, err) == (2, "")
    assert (document["ok"], document["verb"], document["schema_version"]) == (False, words[0], 1)
    assert (document["error"]["code"], document["error"]["exit_code"]) == ("usage", 2)


def test_a_mistyped_option_is_understood(capsys: pytest.CaptureFixture[str]) -> None:
    assert called(capsys, "start", "--works")[2].endswith("fix: did you mean --workspace?\n")


@pytest.mark.parametrize("name", ["exec", "run"])
def test_sessions_need_a_command(capsys: pytest.CaptureFixture[str], name: str) -> None:
    for words in ([name], [name, "--"], [name, "--workspace", "x"]):
        code, _, err = called(capsys, *words)
        assert code == 125
        assert f"aibox {name} needs a command [usage]" in err


# Exit codes: aibox's own failures of sessions are 125, as with the engines


# doctor reports a missing engine or a wrong configuration as one finding among others
INDEPENDENT = ("completion", "doctor", "help")


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name not in ("config", "list", "version", "setup", "restart", *INDEPENDENT)]
)
def test_a_missing_engine(capsys: pytest.CaptureFixture[str], name: str) -> None:
    behind = {"exec": ["--", "true"], "run": ["--", "true"], "repair": ["cache"], "bundle": ["create", "-o", "/tmp/x"]}
    words = [name, "--json", *behind.get(name, [])]
    code, out, err = called(capsys, *words)
    document = json.loads(out)
    assert (document["error"]["code"], err) == ("engine-missing", "")
    wanted = 125 if name in SESSIONS else 4
    assert (code, document["error"]["exit_code"]) == (wanted, wanted)
    code, out, err = called(capsys, *(word for word in words if word != "--json"))
    assert (code, out) == (wanted, "")
    assert "[engine-missing]\n  why: looked in /usr/local/sbin:" in err
    assert err.endswith("fix: aibox setup\n")


@pytest.mark.parametrize("name", [name for name in NAMES if name not in INDEPENDENT])
def test_wrong_configuration_stops_every_verb(capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str) -> None:
    (tmp_path / ".config" / "aibox").mkdir(parents=True)
    (tmp_path / ".config" / "aibox" / "config.yaml").write_text("engine: rkt\n")
    code, out, err = called(capsys, name, *(["true"] if name in ("exec", "run") else []))
    assert (code, out) == (125 if name in SESSIONS else 2, "")
    assert f"{tmp_path}/.config/aibox/config.yaml:1: wrong value 'rkt' for engine [config-invalid]" in err


def raises(error: BaseException) -> object:
    def act(*_arguments: object) -> None:
        raise error

    return act


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [(KeyboardInterrupt(), 130, "interrupted"), (RecursionError(), 1, "internal-error"),
     (AiboxError("control-failed", "x"), 3, "control-failed"), (AiboxError("box-missing", "x"), 5, "box-missing")],
)  # fmt: skip
def test_how_a_verb_ends(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, kind: str
) -> None:
    monkeypatch.setattr("aibox.commands.config.run", raises(error))
    assert (called(capsys, "config")[0], f"[{kind}]" in called(capsys, "config")[2]) == (code, True)
    got, out, _ = called(capsys, "config", "--json")
    assert (got, json.loads(out)["error"]["code"]) == (code, kind)


def test_a_session_that_is_interrupted(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aibox.commands.exec.run", raises(KeyboardInterrupt()))
    assert called(capsys, "exec", "true")[0] == 125


# Words


@pytest.mark.parametrize(
    ("given", "options", "words"),
    [
        (["make", "-j2", "--json"], [], ["make", "-j2", "--json"]),
        (["--json", "make"], ["--json"], ["make"]),
        (["--", "--json"], [], ["--json"]),
        (["--", "--", "x"], [], ["--", "x"]),
        (["-w", "/a b", "ls"], ["-w", "/a b"], ["ls"]),
        (["--workspace=/a", "ls", "--", "x"], ["--workspace=/a"], ["ls", "--", "x"]),
        (["-e", "A=b", "-e", "C=--", "env"], ["-e", "A=b", "-e", "C=--"], ["env"]),
        (["--engine-path", "/x", "ls"], ["--engine-path", "/x"], ["ls"]),
        (["-"], [], ["-"]),
        (["--json"], ["--json"], []),
        (["--workspace"], ["--workspace"], []),
        ([""], [], [""]),
    ],
)
def test_where_the_command_begins(given: list[str], options: list[str], words: list[str]) -> None:
    row = verb("exec")
    assert row
    assert split_words(row, given) == (options, words)


def test_json_of_the_childs_own_is_not_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert called(capsys, "exec", "tool", "--json")[1] == ""
    assert called(capsys, "exec", "--json", "tool")[1].startswith("{")


def test_options_in_any_order(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[cli.Arguments] = []

    def keep(_context: object, arguments: cli.Arguments, _style: object) -> int:
        seen.append(arguments)
        return 7

    monkeypatch.setattr("aibox.commands.run.run", keep)
    flags = [["--rm"], ["--memory", "1G"], ["--json"], ["-e", "A=1"], ["--workspace", "/x"], ["-e", "B=2"]]
    for order in (flags, flags[::-1]):
        code, out, err = called(capsys, "run", *(word for flag in order for word in flag), "--", "x", "--rm")
        assert (code, out, err) == (7, "", "")
    for arguments in seen:
        assert (arguments.rm, arguments.json, arguments.workspace, arguments.words) == (True, True, "/x", ["x", "--rm"])
        assert (sorted(arguments.env), arguments.settings) == (["A=1", "B=2"], {"limits.memory": "1G"})


# Verbs that need no engine


def test_config_shows_origins(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIBOX_PULL", "never")
    code, out, _ = called(capsys, "config", "--memory", "1G", "--json")
    settings = json.loads(out)["data"]["settings"]
    assert code == 0
    assert settings["pull"] == {"value": "never", "origin": "AIBOX_PULL"}
    assert settings["limits.memory"] == {"value": "1G", "origin": "--memory"}
    assert settings["engine"] == {"value": "auto", "origin": "default"}
    assert re.search(r"^pull +never +AIBOX_PULL$", called(capsys, "config")[1], re.MULTILINE)


def test_version_without_an_engine(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = called(capsys, "version", "--json")
    data = json.loads(out)["data"]
    assert (code, data["aibox"], "not found" in data["engine"]) == (0, "0.1.0", True)


def test_redirecting_variables_are_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://x")
    _, _, err = called(capsys, "config")
    assert err == "note: DOCKER_HOST ignored: aibox always uses the local engine\n"
    _, _, err = called(capsys, "config", "--log-format", "json")
    assert json.loads(err)["message"].startswith("DOCKER_HOST ignored")


@pytest.mark.parametrize(
    ("given", "ordered"),
    [
        (["backup", "home", "-o", "f"], ["-o", "f", "backup", "home"]),
        (["backup", "-o", "f", "home"], ["-o", "f", "backup", "home"]),
        (["--output=f", "backup", "-y", "home"], ["--output=f", "-y", "backup", "home"]),
        (["restore", "home", "-y", "--", "-f"], ["-y", "--", "restore", "home", "-f"]),
        (["restore", "home", "-"], ["restore", "home", "-"]),
        (["backup", "-o"], ["backup", "-o"]),
    ],
)
def test_words_of_an_operand_stand_anywhere(given: list[str], ordered: list[str]) -> None:
    row = verb("volume")
    assert row
    assert cli.operands_last(row, given) == ordered
