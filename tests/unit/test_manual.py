"""Help, man page, completion, pages and code say the same; topics lead somewhere; mistyped words get a suggestion."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aibox import completion, manual
from aibox.cli import overview, parser
from aibox.configkeys import KEYS
from aibox.doctorchecks import IDS
from aibox.errors import EXIT_CODES, KINDS, AiboxError
from aibox.options import VERBS, Verb

ROOT = Path(__file__).resolve().parents[2]
CLI = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
TROUBLE = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
MAN = manual.man_page().replace("\\-", "-").replace("\\(ga", "`").replace("\\(aq", "'")


def aibox(*words: str) -> subprocess.CompletedProcess[str]:
    """aibox from the source tree."""
    env = {"HOME": "/nonexistent", "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "aibox.cli", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=env, timeout=60)


def long_options(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))


def man_section(row: Verb) -> str:
    rest = MAN.partition(f".SS {manual.synopsis(row)}\n")[2]
    assert rest, row.name
    return re.split(r"^\.S[SH] ", rest, maxsplit=1, flags=re.MULTILINE)[0]


@pytest.mark.parametrize("row", VERBS, ids=lambda row: row.name)
def test_help_man_page_completion_and_docs_agree(row: Verb) -> None:
    """The four are read, each for itself, and have to name the same options."""
    settings = {key.flag for key in KEYS}
    own = {option.long for option in manual.own_options(row)}
    helped = long_options(parser(row).format_help().partition("settings (they")[0].partition("\n\n")[2]) - {"--help"}
    offered = {line.partition("\t")[0] for line in completion.candidates([row.name, "--"])} - {"--help"}
    section = manual.section(CLI, row.name)
    table = {
        word for line in section.splitlines() if line.startswith("| `") for word in long_options(line.split("|")[1])
    }
    bold = [line.removeprefix("\\fB") for line in man_section(row).splitlines() if line.startswith("\\fB")]
    listed = {word for line in bold for word in long_options(line)}
    assert own <= helped
    assert offered - settings == own
    assert table == own
    assert listed == own
    assert (settings <= offered) == row.settings
    assert ("Also every [setting]" in section) == row.settings == ("Also takes every setting" in man_section(row))
    summary = f"{row.summary[:1].upper()}{row.summary[1:]}."
    assert summary in section
    assert summary in man_section(row)
    assert summary.split(".", maxsplit=1)[0] in re.sub(r"\s+", " ", parser(row).format_help())
    assert re.search(rf"^  {row.name} +{re.escape(row.summary)}$", overview(), re.MULTILINE)


def test_settings_and_exit_codes_are_in_the_man_page() -> None:
    for key in KEYS:
        assert key.flag in MAN
        assert key.env in MAN
    for code in EXIT_CODES:
        assert f"\\fB{code.value}\\fR" in MAN


def test_the_overview_fits_a_terminal() -> None:
    assert [line for line in overview().splitlines() if len(line) > 80] == []


def test_the_man_page_is_sound() -> None:
    assert shutil.which("man"), "man-db is missing; tests/run installs it"
    done = subprocess.run(
        ["man", "--warnings", "--local-file", "-"], input=manual.man_page(), capture_output=True, text=True, check=True,
        env={**os.environ, "MANWIDTH": "100", "LANG": "C.UTF-8", "MAN_KEEP_FORMATTING": ""},
    )  # fmt: skip
    assert done.stderr == ""
    plain = re.sub(r".\x08|\x1b\[[0-9;]*m", "", done.stdout)
    assert "aibox doctor [options]" in plain
    assert "`" not in MAN or "`setup" in plain or "`aibox setup`" in plain


@pytest.mark.parametrize("code", sorted(KINDS))
def test_every_error_code_has_its_section(code: str) -> None:
    section = manual.section(TROUBLE, code)
    assert len(section.splitlines()) > 2, f"docs/troubleshooting.md explains {code}"
    assert manual.topic(code)[0] == f"## {code}"


@pytest.mark.parametrize("name", [*completion.PAGES, *IDS, *(row.name for row in VERBS), "man", ""])
def test_every_topic_shows_something(name: str) -> None:
    shown = manual.topic(name)
    assert len(shown) > 3
    assert not [line for line in shown if "<!--" in line or "](" in line]


def test_every_page_is_a_topic() -> None:
    assert set(completion.PAGES) == {path.stem for path in (ROOT / "docs").glob("*.md")}


def test_unknown_topics_get_the_nearest() -> None:
    with pytest.raises(AiboxError) as caught:
        manual.topic("trubleshooting")
    assert "aibox help troubleshooting" in caught.value.fix


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("strat",), "did you mean `aibox start`?"),
        (("doktor",), "did you mean `aibox doctor`?"),
        (("stop", "--worksapce", "x"), "did you mean --workspace?"),
        (("doctor", "--check", "wraper"), "did you mean `--check wrapper`?"),
        (("config", "shcema"), "aibox config show, validate, schema"),
        (("completion", "csh"), "aibox completion bash|zsh|fish|powershell"),
    ],
)
def test_mistyped_words_are_answered(words: tuple[str, ...], said: str) -> None:
    done = aibox(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_tables_that_are_too_wide_become_paragraphs() -> None:
    wide = f"| a | b |\n| --- | --- |\n| x | {'y' * 120} |\n"
    assert manual.rendered(wide) == ["x", f"    b: {'y' * 120}"]
    assert manual.rendered("| a | b |\n| --- | --- |\n| x | y\\|z |\n") == ["a  b", "x  y|z"]


def test_fixes_name_verbs_and_options_that_exist() -> None:
    """Every `aibox ...` in the code's messages and in the docs is a command line that aibox takes."""
    verbs = {row.name for row in VERBS} | {"VERB", "help"}
    texts = [path.read_text("utf-8") for path in [*(ROOT / "aibox").rglob("*.py"), *(ROOT / "docs").glob("*.md")]]
    pattern = re.compile(r"(?:`|&& |fix=f?\")aibox ([a-z]+)\b(?!\.py)")
    named = {word for text in texts for word in pattern.findall(text)}
    assert named - verbs == set()
    assert {"doctor", "setup", "start", "restart", "destroy", "help", "config"} <= named
