"""Completion: the candidates from the tables, and the scripts in the real shells, each driven on a terminal."""

import os
import pty
import re
import select
import shutil
import time
from pathlib import Path

import pytest
from completionhome import environment, made

from aibox import completion
from aibox.configkeys import KEYS
from aibox.doctorchecks import CHECKS, IDS
from aibox.errors import AiboxError
from aibox.options import OPTIONS, VERBS

SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "--interactive"],
}
LOADED = {
    "bash": "PS1='> '; source <(aibox completion bash)",
    "zsh": "PS1='> '; autoload -Uz compinit; compinit -u -D; bindkey -e; source <(aibox completion zsh)",
    "fish": "function fish_prompt; echo -n '> '; end; aibox completion fish | source",
}


def values(*words: str) -> list[str]:
    return [line.partition("\t")[0] for line in completion.candidates(words)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("do",), ["doctor"]),
        (("xyz",), []),
        (("nothing", ""), []),
        (("doctor", "--check", "pt"), ["ptrace-scope"]),
        (("doctor", "-c", "pt"), ["ptrace-scope"]),
        (("doctor", "--check", "wsl", "--check", "pt"), ["ptrace-scope"]),
        (("doctor", "--check=pt"), ["--check=ptrace-scope"]),
        (("start", "--platform", "s"), ["systrap"]),
        (("start", "--memory", ""), []),
        (("setup", "--runsc", ""), [":files"]),
        (("setup", "--runsc-path", ""), [":files"]),
        (("exec", "--", "ma"), [":files"]),
        (("exec", "make", "--"), [":files"]),
        (("completion", ""), ["bash", "zsh", "fish", "powershell"]),
        (("config", "s"), ["show", "schema"]),
        (("help", "image-mi"), ["image-missing"]),
        (("volume", "b"), ["backup"]),
        (("volume", "backup", "ho"), ["home"]),
        (("volume", "backup", "-o", "x", "np"), ["npm"]),
        (("volume", "-y", "restore", "home", ""), [":files"]),
        (("volume", "list", ""), []),
        (("repair", ""), ["cache", "leftovers"]),
        (("repair", "leftovers", ""), []),
        (("repair", "cache", "ho"), []),
        (("repair", "cache", "maven", "ma"), []),
        (("repair", "cache", "maven", "np"), ["npm"]),
        (("stop", "--al"), ["--all"]),
        (("stop", "--all", "--al"), []),
    ],
)
def test_candidates(words: tuple[str, ...], expected: list[str]) -> None:
    assert values(*words) == expected


def test_all_verbs_options_settings_and_checks_are_offered() -> None:
    assert values("") == [*(row.name for row in VERBS), "--help", "--version"]
    for row in VERBS:
        offered = set(values(row.name, "--"))
        assert {OPTIONS[name].long for name in row.options} | {"--json", "--help"} <= offered
        assert not row.settings or {key.flag for key in KEYS} <= offered
    assert values("doctor", "--check", "") == list(IDS)
    assert {row.id for row in CHECKS} <= set(values("help", ""))


def test_workspaces_of_known_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "workspaces", lambda: ["/srv/a b", "/srv/c"])
    assert values("start", "--workspace", "/srv/a") == ["/srv/a b", ":folders"]
    assert values("start", "-w", "") == ["/srv/a b", "/srv/c", ":folders"]


def test_volumes_that_boxes_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "volumes", lambda: ["aibox-eve-home", "aibox-eve-npm-cache"])
    assert values("volume", "restore", "aibox-") == ["aibox-eve-home", "aibox-eve-npm-cache"]
    assert values("repair", "cache", "aibox-") == ["aibox-eve-npm-cache"]


@pytest.mark.parametrize(
    ("typed", "word"),
    [("a\\ b", "a b"), ("'a b", "a b"), ('"a b', "a b"), ("a", "a"), ("", ""), ("'a'b", "ab")],
)
def test_bash_words_are_read_as_bash_reads_them(typed: str, word: str) -> None:
    assert completion.plain(typed) == word


@pytest.mark.parametrize(
    ("cut", "whole"),
    [
        (["start", "--image", "=", "x"], ["start", "--image=x"]),
        (["start", "--image", "="], ["start", "--image="]),
        (["exec", "-e", "A", "=", "b"], ["exec", "-e", "A", "=", "b"]),
    ],
)
def test_bash_cuts_at_equals(cut: list[str], whole: list[str]) -> None:
    assert completion.joined(cut) == whole


@pytest.mark.parametrize("shell", ["", "tcsh"])
def test_an_unknown_shell_is_refused(shell: str) -> None:
    with pytest.raises(AiboxError) as caught:
        completion.script(shell)
    assert "bash|zsh|fish|powershell" in caught.value.fix


# -- in the shells


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with aibox in its path."""
    return made(tmp_path)


class Terminal:
    """A shell on a terminal of its own, as a person has it."""

    def __init__(self, argv: list[str], home: Path) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(home)
            os.execvpe(argv[0], argv, environment(home))

    def send(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def until(self, pattern: str, seconds: float = 90) -> str:
        """What the terminal shows until it holds the pattern."""
        shown, end = "", time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([self.fd], [], [], 0.2)[0]:
                shown += os.read(self.fd, 65536).decode("utf-8", "replace")
            if re.search(pattern, shown):
                return shown
        raise AssertionError(f"{pattern} did not come; the terminal shows {shown!r}")

    def close(self) -> None:
        os.close(self.fd)
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)


def completed(shell: str, home: Path, typed: str) -> list[str]:
    """The words of a command line after Tab: the shell itself prints them."""
    assert shutil.which(shell), f"{shell} is missing; tests/run installs it"
    terminal = Terminal(SHELLS[shell], home)
    try:
        terminal.send(f"{LOADED[shell]}\r")
        terminal.send("echo rea''dy\r")
        terminal.until("ready")
        terminal.send(f"{typed}\t")
        time.sleep(2.5)  # completion runs aibox; nothing on the screen says that it ended without a candidate
        terminal.send("\x05 \x01printf '<%s>' \x05 en''d\r")
        shown = terminal.until("<end>")
        return re.findall(r"<([^<>]*)>", shown[: shown.rindex("<end>")].rpartition("en''d")[2])
    finally:
        terminal.close()


@pytest.mark.parametrize("shell", sorted(SHELLS))
@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("aibox doc", ["aibox", "doctor"]),
        ("aibox doctor --check ptr", ["aibox", "doctor", "--check", "ptrace-scope"]),
        ("aibox start --plat", ["aibox", "start", "--platform"]),
        ("aibox start --workspace /srv/fi", ["aibox", "start", "--workspace", "/srv/first place"]),
        ("aibox setup --runsc giv", ["aibox", "setup", "--runsc", "given-file"]),
        ("aibox volume backup tool", ["aibox", "volume", "backup", "toolpacks"]),
    ],
)
def test_in_a_real_shell(shell: str, typed: str, words: list[str], home: Path) -> None:
    assert completed(shell, home, typed) == words
