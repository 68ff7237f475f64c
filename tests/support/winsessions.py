"""Sessions that docs/windows.md shows: read from the page, played on the Windows stage, compared."""

import re
from collections.abc import Sequence
from pathlib import Path

from stagehost import Windows, windows_path

ROOT = Path(__file__).resolve().parents[2]
CMD, POWERSHELL = "C:\\>", "PS>"
MARK = "@@"
# the exit code of the line before has to survive the mark
MARK_CMD = f"set code=%ERRORLEVEL%\r\necho {MARK}\r\necho {MARK}>&2\r\ncmd /c exit %code%\r\n"
MARK_POWERSHELL = f"[Console]::Out.WriteLine('{MARK}'); [Console]::Error.WriteLine('{MARK}')\n"


def sessions(page: str) -> list[list[tuple[str, str]]]:
    """The `console` blocks of a page that have a Windows prompt: each line that is typed, with what is printed."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        typed: list[tuple[str, str]] = []
        for line in block.splitlines():
            if line.startswith((CMD, POWERSHELL)):
                typed.append((line, ""))
            elif typed:
                typed[-1] = (typed[-1][0], f"{typed[-1][1]}{line}\n")
        if typed:
            found.append(typed)
    return found


def played(windows: Windows, lines: Sequence[str], home: str) -> list[str]:
    """What each line of a session prints: all behind `C:\\>` in one cmd.exe, or all behind `PS>` in one PowerShell.

    A mark on both streams follows each line; what a line printed is its standard output, then its standard error.
    """
    shared = "\\\\wsl.localhost\\Debian\\home\\you"
    typed = [
        line.removeprefix(CMD).removeprefix(POWERSHELL).strip().replace(shared, windows_path(home)) for line in lines
    ]
    if lines[0].startswith(CMD):
        # as if typed: a batch file that is called from another keeps its exit code to itself in Wine's cmd.exe
        program = f"cmd /c {windows.path('shim', 'aibox.cmd')} "
        body = [f"{re.sub(r'aibox (?=[a-z])', lambda _: program, line)}\r\n{MARK_CMD}" for line in typed]
        batch = windows.folder / "session.cmd"
        batch.write_text("@echo off\r\n" + "".join(body), newline="", encoding="ascii")
        done = windows.run("cmd", "/c", windows.path("session.cmd"), timeout=600)
    else:
        body = [f"{line}\n{MARK_POWERSHELL}" for line in typed]
        done = windows.script(f". '{windows.path('shim', 'profile.ps1')}'\n" + "".join(body), "powershell", timeout=600)
    out, errors = done.text().split(f"{MARK}\n"), done.errors().split(f"{MARK}\n")
    assert len(out) == len(errors) == len(lines) + 1, str(done)
    return [a + b for a, b in zip(out, errors, strict=True)][:-1]


def normal(text: str, home: str) -> str:
    """Without names of users and boxes, counts of checks, notes, progress, and blanks at the ends of lines."""
    text = text.replace(home, "/home/you").replace(windows_path(home), windows_path("/home/you"))
    for pattern, same in (
        (r"aibox-[a-z0-9_-]+-[0-9a-f]{12}", "aibox-BOX"),
        (r"\d+ checks", "N checks"),
        (r"uid=\d+|gid=\d+", "id"),
        (r"/mnt/c/[^ ']+", "/mnt/c/FOLDER"),
        (r"[ \t]+$", ""),
        (r"^(note: .*| +\d+\.\d s  .*)\n?", ""),
    ):
        text = re.sub(pattern, same, text, flags=re.MULTILINE)
    return text.strip()
