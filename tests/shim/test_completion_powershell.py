"""Completion in the real PowerShell engine."""

import os
import subprocess
from pathlib import Path

from completionhome import environment, made
from shimhost import PWSH

from aibox import completion


def test_in_powershell(tmp_path: Path) -> None:
    home = made(tmp_path)
    script = home / "complete.ps1"
    script.write_text(completion.script("powershell"))
    asked = ["aibox doc", "aibox doctor --check ptr", "aibox start --workspace /srv/fi", "aibox completion "]
    lines = [f". '{script}'"]
    for line in asked:
        lines += [
            f"$found = [System.Management.Automation.CommandCompletion]::CompleteInput('{line}', {len(line)}, $null)",
            "[Console]::Out.WriteLine(($found.CompletionMatches | ForEach-Object { $_.CompletionText }) -join '|')",
        ]
    done = subprocess.run(
        [str(PWSH), "-NoProfile", "-Command", "\n".join(lines)],
        env={**environment(home), "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", "/root/.cache")},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "doctor", "ptrace-scope", "'/srv/first place'", "bash|zsh|fish|powershell",
    ], done.stderr  # fmt: skip
