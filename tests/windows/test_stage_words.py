"""Words, streams and exit codes from each front door, through wsl.exe's own rules, to a Linux program and back."""

import json
import random
import time
from collections.abc import Sequence

import pytest
from stagehost import Windows
from wordlists import CMD_LINE, batch_word, for_cmd, single, words, written

LISTS = 60
SCRIPT = 20  # calls in one script
CMD_LISTS = 300
CMD_FULL_LISTS = 10_000
MARK = "--next--"
SEED = 1998
# prints its words as JSON; `cat` copies, `both` writes to both streams, and a number is the exit code
PROGRAM = """#!/usr/bin/python3 -I
import json, os, sys
sys.path.insert(0, {root!r})
from aibox import fromwindows
call = fromwindows.decode(sys.argv[2])
what = call.words[1] if len(call.words) > 1 else ""
if what == "cat":
    while data := os.read(0, 65536):
        os.write(1, data)
elif what == "both":
    os.write(1, b"to stdout\\n")
    os.write(2, b"to stderr\\n")
elif what == "code":
    sys.exit(int(call.words[2]))
else:
    print(json.dumps(call), flush=True)
"""
NASTY = [
    "a b", "", '"', 'x"y', 'd"e f', "tail\\", "x y\\", '\\"', "$HOME", "$(id)", "`", ";", "&", "|", "%PATH%", "^", "!",
    "--", "-name:value", "-n:", "--%", "–dash", "𝄞🙂", "日本語", "'", "*", "~", "1.0", "0x10", "1kb",
]  # fmt: skip
# what cmd.exe can express: with quotes around what it would read itself
FOR_CMD = [
    "a b",
    "",
    "tail\\",
    "a&b",
    "x|y",
    "c^d",
    "e;f",
    "100%",
    "!",
    "--",
    "-name:value",
    "–n",
    "日本語",
    "𝄞",
    "$HOME",
    "'q'",
]


@pytest.fixture
def host(windows: Windows) -> Windows:
    """Windows with a program in aibox's place that shows what it got."""
    from stagehost import ROOT

    place = windows.folder / "home" / ".local" / "bin"
    place.mkdir(parents=True)
    (place / "aibox").write_text(PROGRAM.format(root=str(ROOT)))
    (place / "aibox").chmod(0o755)
    enter = ["/usr/bin/env", f"HOME={windows.folder}/home"]
    windows.enter(enter, enter)
    return windows


def test_words_from_powershell(host: Windows, edition: str) -> None:
    """Literals, bare words and splatting, in one script."""
    chance = random.Random(SEED)
    wanted = [["exec", "--", *NASTY], *(["exec", "w", *words(chance)] for _ in range(LISTS))]
    lines = ["$words = @(" + ", ".join(single(word) for word in given) + ")\n& $shim @words" for given in wanted[:20]]
    lines += ["& $shim " + " ".join(written(word, chance) for word in given) for given in wanted[20:]]
    for start in range(0, len(lines), SCRIPT):
        part = slice(start, start + SCRIPT)
        done = host.script("\n".join(lines[part]), edition)
        got = [json.loads(line)[3] for line in done.text().splitlines() if line]
        wrong = [(have, want) for have, want in zip(got, wanted[part], strict=False) if have != want]
        assert not wrong, wrong[0]
        assert len(got) == len(lines[part]), str(done)


def test_words_from_a_program(host: Windows, edition: str) -> None:
    done = host.file("exec", "w", *NASTY, edition=edition)
    assert json.loads(done.text())[3] == ["exec", "w", *NASTY]


def test_words_from_cmd(host: Windows) -> None:
    """From a batch file, so that nothing between here and cmd.exe quotes anything."""
    given = [word for word in FOR_CMD if word.isascii() and "%" not in word]
    assert (
        batch(host, [f'"{word}"' if word in ("", "a b") or set(word) & set("&|^") else word for word in given]) == given
    )


def batch(host: Windows, written: Sequence[str]) -> list[str]:
    """The words that come out of a batch file's line."""
    place = host.folder / "call.cmd"
    text = f'@echo off\n"{host.path("shim", "aibox.cmd")}" exec w {" ".join(written)}\n'
    place.write_text(text, encoding="ascii", newline="\r\n")
    done = host.run("cmd", "/c", host.path("call.cmd"))
    assert done.code == 0, str(done)
    words: list[str] = json.loads(done.text())[3]
    assert words[:2] == ["exec", "w"]
    return words[2:]


def test_random_words_from_cmd(
    host: Windows, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Many lists in one line, as much as cmd.exe takes in one; a mark between them, so a word that is cut is seen."""
    count = CMD_FULL_LISTS if request.config.getoption("--full") else CMD_LISTS
    chance = random.Random(SEED + 2)
    lists = [[for_cmd(chance) for _ in range(chance.randint(0, 6))] for _ in range(count)]
    began, at, calls = time.monotonic(), 0, 0
    while at < count:
        given: list[str] = []
        written: list[str] = []
        while at < count and len(" ".join(written)) + sum(len(batch_word(one)) + 1 for one in lists[at]) < CMD_LINE:
            given += [*lists[at], MARK]
            written += [*map(batch_word, lists[at]), MARK]
            at += 1
        got = batch(host, written)
        wrong = [pair for pair in zip(given, got, strict=False) if pair[0] != pair[1]]
        assert not wrong, wrong[0]
        assert got == given
        calls += 1
    with capsys.disabled():
        print(f"\ncmd.exe: {count} lists in {calls} lines, all equal, {time.monotonic() - began:.0f} s")


@pytest.mark.parametrize(
    ("written", "arrives"),
    [
        ('"a&b" "c|d" "e^f" "<g>"', ["a&b", "c|d", "e^f", "<g>"]),
        ("a^&b", None),  # outside quotes: aibox.cmd's own line reads it again
        ('"x\\"&y"', None),  # behind a quote in a word, cmd.exe is outside quotes
        ("%AIBOX_NOT_SET%x", ["x"]),  # a name between percent signs is replaced, in a batch file also by nothing
    ],
)
def test_limits_of_cmd(host: Windows, written: str, arrives: list[str] | None) -> None:
    """What docs/windows.md says that cmd.exe cannot hand on is seen not to arrive."""
    try:
        got: list[str] | None = batch(host, [written])
    except AssertionError:
        got = None
    if arrives is None:
        assert got not in (["a&b"], ['x"&y'])
    else:
        assert got == arrives


def test_unicode_from_cmd(host: Windows) -> None:
    """Not a percent sign alone, which Wine's cmd.exe drops where a batch file hands on its words: the checklist has it."""
    given = ["–n", "日本語", "𝄞🙂", "ü b", ""]
    assert json.loads(host.cmd("exec", "w", *given).text())[3] == ["exec", "w", *given]


@pytest.mark.parametrize("door", ["cmd", "pwsh", "powershell"])
def test_bytes(host: Windows, door: str) -> None:
    content = b"a\0b\r\n\xff\x1a" + bytes(range(256)) * 64
    done = (
        host.cmd("exec", "cat", stdin=content)
        if door == "cmd"
        else host.file("exec", "cat", edition=door, stdin=content)
    )
    assert done.out == content, str(done)[:500]


@pytest.mark.parametrize("code", [0, 1, 42, 125, 255])
def test_exit_codes(host: Windows, code: int) -> None:
    assert host.cmd("exec", "code", str(code)).code == code
    assert host.file("exec", "code", str(code), edition="powershell").code == code
    done = host.script(f"& $shim exec -- code {code}\nexit $LASTEXITCODE\n".replace("-- code", "code"))
    assert done.code == code


def test_both_streams(host: Windows, edition: str) -> None:
    done = host.file("exec", "both", edition=edition)
    assert (done.text(), done.errors()) == ("to stdout\n", "to stderr\n")
    done = host.script('$x = & $shim exec both\n"[$x]"\n', edition)
    assert done.text() == "[to stdout]\n"
    assert "to stderr" in done.errors()


def test_pipelines(host: Windows, edition: str) -> None:
    done = host.script(
        "$x = 'grün', 'b' | & $shim exec cat\n\"$($x.Count):$([int]$x[0][2])|$($x[1])\"\n(& $shim exec w | ConvertFrom-Json)[3][1]\n",
        edition,
    )
    assert done.text() == f"2:{ord('ü')}|b\nw\n", str(done)


def test_the_current_folder_travels(host: Windows, edition: str) -> None:
    done = host.script(
        f"Set-Location '{host.path('work')}'\n& $shim exec w\nSet-Location '\\\\wsl.localhost\\Debian\\usr\\lib'\n& $shim exec w\n",
        edition,
    )
    folders = [json.loads(line)[0] for line in done.text().splitlines()]
    assert folders == [host.path("work"), "\\\\wsl.localhost\\Debian\\usr\\lib"], str(done)


def test_control_wsl_exe_itself_reads_quotes_twice(host: Windows) -> None:
    """What the shim spares its users: without --exec the words pass a shell, and 5.1 drops empty ones."""
    program = "/usr/bin/printf"
    text = f"$list = 'a b', '', '$HOME', 'x\"y'\n& C:\\windows\\system32\\wsl.exe -d Debian {program} '<%s>' @list\n"
    wanted = '<a b><><$HOME><x"y>'
    assert host.script(text, "powershell").text() != wanted
    assert host.script(text.replace(program, f"--exec {program}"), "powershell").text() != wanted
