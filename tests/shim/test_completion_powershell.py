"""Completion in the real PowerShell engine: aibox's own script, and the shim's, which asks the installed aibox."""

import os
import subprocess
from pathlib import Path

from completionhome import environment, made
from shimhost import PWSH, Host

from aibox import completion

# typed, and what PowerShell offers; the first folder has a blank in its name
ASKED = [
    ("aibox doc", ["doctor"]),
    ("aibox doctor --check ptr", ["ptrace-scope"]),
    ("aibox doctor --check ptrace-", ["ptrace-scope"]),
    ("aibox start --workspace /srv/fi", ["'/srv/first place'"]),
    ("aibox start --workspace '/srv/first pl", ["'/srv/first place'"]),
    ("aibox start -w /srv/s", ["/srv/second"]),
    ("aibox completion ", ["bash", "zsh", "fish", "powershell"]),
    ("aibox start --workspace x --rec", ["--recreate"]),
]
COMPLETE = (
    "function complete($line) { [Console]::Out.WriteLine(([Management.Automation.CommandCompletion]::CompleteInput("
    "$line, $line.Length, $null).CompletionMatches | ForEach-Object { $_.CompletionText }) -join '|') }\n"
)


def asking() -> str:
    """Script lines that ask for each."""
    return COMPLETE + "".join("complete '" + typed.replace("'", "''") + "'\n" for typed, _ in ASKED)


def wanted() -> list[str]:
    return ["|".join(found) for _, found in ASKED]


def test_in_powershell(tmp_path: Path) -> None:
    home = made(tmp_path)
    script = home / "complete.ps1"
    script.write_text(completion.script("powershell"))
    done = subprocess.run(
        [str(PWSH), "-NoProfile", "-Command", f". '{script}'\n{asking()}"],
        env={**environment(home), "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", "/root/.cache")},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.stdout.splitlines() == wanted(), done.stderr


def with_aibox(host: Host) -> Host:
    """A distribution with this tree's aibox, and boxes."""
    (host.folder / "home").mkdir()
    made(host.folder / "home")
    host.program((host.folder / "home" / "bin" / "aibox").read_text())
    return host


def test_through_the_shim(host: Host, mode: str) -> None:
    """The same through the installed aibox: its verbs, boxes and checks, without a list of the shim's own."""
    with_aibox(host)
    done = host.script_text(f". '{host.folder}/shim/profile.ps1'\n{asking()}", mode)
    assert done.out.decode().splitlines() == wanted(), str(done)


def test_another_aibox_is_asked_anew(host: Host) -> None:
    """Nothing is remembered: a verb of a newer aibox is there at the next Tab."""
    host.program('#!/bin/sh\nprintf "newverb\\twhat it does\\n"\n')
    text = f". '{host.folder}/shim/profile.ps1'\n{COMPLETE}complete 'aibox new'\n"
    assert host.script_text(text).out.decode() == "newverb\n"


def test_without_wsl_the_line_stays_clean(host: Host) -> None:
    host.listing("", 50)
    text = f". '{host.folder}/shim/profile.ps1'\n{COMPLETE}complete 'aibox zzz'\n"
    done = host.script_text(text)
    assert done.err == ""
    (host.folder / "home").mkdir(exist_ok=True)
    host.listing("* Debian Stopped 2\r\n")
    (host.folder / "run").touch()
    assert host.script_text(text).err == ""
