"""Every word arrives as it was typed, whatever it holds, from each way into the shim."""

import random
from pathlib import Path

import pytest
from shimhost import Host
from wordlists import single, words, written

LISTS = 300
FULL_LISTS = 10_000
SCRIPT = 100  # calls in one script
SEED = 20261124
NASTY = [
    "a b", "", '"', 'x"y', 'd"e f', "tail\\", "x y\\", '\\"', "$HOME", "$(id)", "`", ";", "&", "|", "%PATH%", "^", "!",
    "--", "-name:value", "-n:", "--%", "–dash", "𝄞🙂", "日本語", "'", "a\nb", "*", "~", "1.0", "0x10", "1kb",
]  # fmt: skip
# what a call in PowerShell source hands to a program: source, words
CALLS = [
    ("exec -- cargo test -- --nocapture", ["exec", "--", "cargo", "test", "--", "--nocapture"]),
    ("exec cargo test -- --nocapture", ["exec", "cargo", "test", "--", "--nocapture"]),
    ("exec -- -x", ["exec", "--", "-x"]),
    ("exec -- java -Dname:value -D:x -a:b=a,b", ["exec", "--", "java", "-Dname:value", "-D:x", "-a:b=a,b"]),
    ("exec mvn -Dmaven.test.skip=true -x.y:z -a.b", ["exec", "mvn", "-Dmaven.test.skip=true", "-x.y:z", "-a.b"]),
    ("exec -- mvn -Dmaven.test.skip=true -x.y:z -1.5", ["exec", "--", "mvn", "-Dmaven.test.skip=true", "-x.y:z", "-1.5"]),
    ("exec x -n:-n:%y^-z:v -a:-b.c", ["exec", "x", "-n:-n:%y^-z:v", "-a:-b.c"]),
    ("run -w:C:\\x -- make", ["run", "-w:C:\\x", "--", "make"]),
    ("start -name:value -n: v -s -t:1.0", ["start", "-name:value", "-n:", "v", "-s", "-t:1.0"]),
    ("exec -- 1.0 0x10 1kb 007 1e3 -5", ["exec", "--", "1.0", "0x10", "1kb", "007", "1e3", "-5"]),
    ("exec -- a,b a, b 'x','y'", ["exec", "--", "a,b", "a,", "b", "x,y"]),
    ("exec -- -e:a,b --set=1,2", ["exec", "--", "-e:a,b", "--set=1,2"]),
    ("exec -- $null $list end", ["exec", "--", "p q", "-r:s", "--", "end"]),
    ("exec -- @list -k:v -- z", ["exec", "--", "p q", "-r:s", "--", "-k:v", "--", "z"]),
    ("@list -- @list", ["p q", "-r:s", "--", "p q", "-r:s", "--"]),
    ("exec '--' \"-a:b\" '--%'", ["exec", "--", "-a:b", "--%"]),
    ("exec – —x ―y:z", ["exec", "–", "—x", "―y:z"]),
    ('exec --% -- "a b" c\\ "d\\"e" "" $HOME', ["exec", "--", "a b", "c\\", 'd"e', "", "$HOME"]),
    # PowerShell itself drops a parameter behind a quoted --%
    ('exec "--%" \u2014x "" z', ["exec", "--%", "\u2014x", "", "z"]),
    ("exec '--%' -x 'b c' \"--%\" -y 1.0", ["exec", "--%", "-x", "b c", "--%", "-y", "1.0"]),
    ('exec "--%" -a:b -c: d a,b a, b -Dx.y=z "q$"', ["exec", "--%", "-a:b", "-c:", "d", "a,b", "a,", "b", "-Dx.y=z", "q$"]),
    ('exec "--%" -x --% "a b" c', ["exec", "--%", "-x", "a b", "c"]),
    ("exec `\n    -w x `\n    -- -y:z", ["exec", "-w", "x", "--", "-y:z"]),
    ('exec (1 + 1) "a$($list[0])b" $true', ["exec", "2", "ap qb", "True"]),
]  # fmt: skip


def lists(count: int, seed: int) -> list[list[str]]:
    chance = random.Random(seed)
    return [["exec", *words(chance)] for _ in range(count)]


def test_words_of_random_calls_in_source(host: Host, mode: str, request: pytest.FixtureRequest) -> None:
    """Literals, bare words, variables and splatting, mixed, in one script."""
    host.environment["AIBOX_DISTRIBUTION"] = "Debian"  # one call of wsl.exe less for each list
    count = FULL_LISTS if request.config.getoption("--full") else LISTS
    chance = random.Random(SEED + len(mode))
    wanted = lists(count, SEED)
    lines = []
    for number, given in enumerate(wanted):
        if number % 3 == 0:
            lines.append(f"$words = @({', '.join(single(word) for word in given)})\n& $shim @words")
        else:
            lines.append(f"& $shim {' '.join(written(word, chance) for word in given)}")
    for start in range(0, count, SCRIPT):
        host.forget()
        part = slice(start, start + SCRIPT)
        done = host.script_text("\n".join(lines[part]), mode, timeout=300)
        assert done.code == 0, str(done)
        got = host.forwarded()
        wrong = [pair for pair in zip(lines[part], wanted[part], got, strict=False) if pair[1] != pair[2]]
        assert not wrong, wrong[0]
        assert len(got) == len(lines[part]), str(done)[-2000:]


@pytest.mark.parametrize(("source", "wanted"), CALLS, ids=[source.replace("\n", " ") for source, _ in CALLS])
def test_words_of_a_call(host: Host, mode: str, source: str, wanted: list[str]) -> None:
    done = host.script_text(f"$list = 'p q', '-r:s', '--'\n& $shim {source}\n", mode)
    assert host.forwarded() == [wanted], str(done)


def test_a_word_that_powershell_hides_and_that_cannot_be_known_is_refused(host: Host, mode: str) -> None:
    done = host.script_text("$v = 'a'\n& $shim exec '--%' -x $v\n", mode)
    assert host.forwarded() == []
    assert done.err == (
        "aibox: PowerShell hides a word of this call [word-lost]\n"
        "  why: $v stands behind a quoted --%, where PowerShell loses a word that begins with a dash\n"
        "  fix: put the words into an array: $words = @(...); aibox @words\n"
    )


def test_words_of_an_interactive_line(host: Host, mode: str) -> None:
    """As typed at the prompt, several calls on one line."""
    first = "$PSNativeCommandArgumentPassing = 'Legacy'; " if mode == "legacy" else ""
    line = f"{first}& '{host.script}' exec -- -a:b -- c; if (1) {{ & '{host.script}' run -- -d }}"
    done = host.powershell("-Command", line)
    assert host.forwarded() == [["exec", "--", "-a:b", "--", "c"], ["run", "--", "-d"]], str(done)


def test_words_in_functions_loops_and_pipelines(host: Host, mode: str) -> None:
    text = (
        "function go { & $shim exec -- @args -- -z:1 }\ngo 'a' '-b:c'\n"
        "foreach ($i in 1, 2) { & $shim exec -- $i -q:$i }\n"
        "$x = & $shim exec -- left -l:m | ForEach-Object { $_ }\n"
    )
    done = host.script_text(text, mode)
    assert host.forwarded() == [
        ["exec", "--", "a", "-b:c", "--", "-z:1"],
        ["exec", "--", "1", "-q:1"],
        ["exec", "--", "2", "-q:2"],
        ["exec", "--", "left", "-l:m"],
    ], str(done)


def test_words_of_the_front_doors_of_other_programs(host: Host) -> None:
    """`-File`, as aibox.cmd and every CreateProcess call it."""
    for given in (NASTY, *lists(12, SEED + 1)):
        host.forget()
        done = host.shim(*given)
        assert host.forwarded() == [given], str(done)


def test_an_alias_is_the_same(host: Host) -> None:
    done = host.script_text(f". '{host.folder}/shim/profile.ps1'\naibox exec -- -a:b -- 'x\"y' ''\n", "legacy")
    assert host.forwarded() == [["exec", "--", "-a:b", "--", 'x"y', ""]], str(done)


@pytest.mark.parametrize(
    ("how", "lost"),
    [
        ("& $wsl -d Debian --exec aibox @list", '""'),
        ("& $naive -- @list", "--"),
        ("& $naive exec -name:value", "-name:value"),
    ],
)
def test_the_naive_ways_break(host: Host, how: str, lost: str) -> None:
    """Controls: calling wsl.exe with the words in 5.1's way, and a script that hands on its $args."""
    naive = host.folder / "naive.ps1"
    naive.write_text("& $wsl -d Debian --exec aibox @args\n")
    text = f"$wsl = '{host.folder}/System32/wsl.exe'\n$naive = '{naive}'\n$list = 'a', '', 'x\"y', '--'\n{how}\n"
    host.script_text(text, "legacy")
    call = host.calls()[-1]
    if lost == '""':
        assert call[-4:] != ["a", "", 'x"y', "--"]
    else:
        assert lost not in call[:6], call


def test_nothing_in_the_command_line_needs_quotes_but_the_finder(host: Host) -> None:
    """5.1 must have no chance to change anything: no double quote anywhere, no blank but in the finder."""
    host.shim(*NASTY)
    call = host.calls()[-1]
    at = call.index("-c")
    assert not any('"' in argument for argument in call)
    assert not any(" " in argument for argument in call[: at + 1] + call[at + 2 :])


@pytest.mark.parametrize("how", ["program", "powershell"])
def test_words_that_windows_cannot_hand_on_are_refused(host: Host, how: str) -> None:
    """Linux would take them; CreateProcess takes 32,767 characters."""
    for size, code, sent in ((20_000, 0, 1), (24_500, 125, 0)):
        host.forget()
        if how == "program":
            done = host.shim("exec", "--", "x" * size)
        else:
            done = host.script_text(f"& $shim exec -- ('x' * {size})\nexit $LASTEXITCODE\n")
        assert done.code == code, str(done)[:1000]
        assert len(host.forwarded()) == sent
        assert ("the words of this call are too long [words-too-long]" in done.err) is (code != 0)
        for call in host.calls():
            assert len(str(host.folder / "System32/wsl.exe")) + sum(len(word) + 3 for word in call) < 32_767


def test_folder_profile_and_settings_travel(host: Host, tmp_path: Path) -> None:
    place = tmp_path / "with blank ü"
    place.mkdir()
    settings = {"AIBOX_LIMITS_MEMORY": "2G", "NO_COLOR": "1", "AIBOX_DISTRIBUTION": "Debian", "OTHER": "x"}
    host.shim("status", environment=settings, cwd=place)
    import base64

    fields = base64.b64decode(host.calls_with_payload()[0]).decode().split("\0")
    assert fields[:4] == ["1", str(place), "C:\\Users\\me", "2"]
    assert sorted(fields[4:6]) == ["AIBOX_LIMITS_MEMORY=2G", "NO_COLOR=1"]
