"""`.wslconfig` is changed only where a value changes: marks, line ends, comments, order and unknown keys stay."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibox import wslconfig
from aibox.errors import AiboxError

GIB = 1 << 30
NEW = {"memory": "16GB", "processors": "8", "swap": "4GB"}
BASIC = "[wsl2]\r\nmemory=2GB\r\nprocessors=2\r\n"
# name, text, what it is after setting memory to 16GB
FILES = [
    ("empty", "", "[wsl2]\r\nmemory=16GB\r\n"),
    ("windows line ends", BASIC, BASIC.replace("2GB", "16GB")),
    ("linux line ends", "[wsl2]\nmemory=2GB\nswap=1GB\n", "[wsl2]\nmemory=16GB\nswap=1GB\n"),
    ("no end", "[wsl2]\nmemory=2GB", "[wsl2]\nmemory=16GB"),
    ("no end and new key", "[wsl2]\r\nswap=1GB", "[wsl2]\r\nswap=1GB\r\nmemory=16GB\r\n"),
    ("blanks", "[wsl2]\r\n  memory =  2GB  \r\n", "[wsl2]\r\n  memory =  16GB  \r\n"),
    ("comment behind", "[wsl2]\r\nmemory=2GB   # small\r\n", "[wsl2]\r\nmemory=16GB   # small\r\n"),
    ("comment lines", "# top\r\n[wsl2]\r\n# memory=1GB\r\nmemory=2GB\r\n#end\r\n",
     "# top\r\n[wsl2]\r\n# memory=1GB\r\nmemory=16GB\r\n#end\r\n"),
    ("quoted", '[wsl2]\r\nmemory="2GB" # x\r\n', "[wsl2]\r\nmemory=16GB # x\r\n"),
    ("first of two wins", "[wsl2]\r\nmemory=2GB\r\nmemory=9GB\r\n", "[wsl2]\r\nmemory=16GB\r\nmemory=9GB\r\n"),
    ("case", "[WSL2]\r\nMemory=2GB\r\n", "[WSL2]\r\nMemory=16GB\r\n"),
    ("unknown keys and sections", "[other]\r\nmemory=1GB\r\nx = y\r\n[wsl2]\r\nfuture=1\r\n\r\n[experimental]\r\nsparseVhd=true\r\n",
     "[other]\r\nmemory=1GB\r\nx = y\r\n[wsl2]\r\nfuture=1\r\nmemory=16GB\r\n\r\n[experimental]\r\nsparseVhd=true\r\n"),
    ("section at the end", "[experimental]\r\nx=1\r\n", "[experimental]\r\nx=1\r\n[wsl2]\r\nmemory=16GB\r\n"),
    ("only a header", "[wsl2]", "[wsl2]\r\nmemory=16GB\r\n"),
    ("continued value", "[wsl2]\r\nkernelCommandLine=a \\\r\n  memory=2GB\r\nmemory=2GB\r\n",
     "[wsl2]\r\nkernelCommandLine=a \\\r\n  memory=2GB\r\nmemory=16GB\r\n"),
    ("path", "[wsl2]\r\nswapFile=C:\\\\swap\\\\\r\nmemory=2GB\r\n", "[wsl2]\r\nswapFile=C:\\\\swap\\\\\r\nmemory=16GB\r\n"),
    ("hash in quotes", '[wsl2]\r\nkernelCommandLine="a # b"\r\nmemory=2GB#c\r\n',
     '[wsl2]\r\nkernelCommandLine="a # b"\r\nmemory=16GB#c\r\n'),
    ("lines without sense", "garbage\r\n[wsl2\r\n]x\r\n=1\r\n[wsl2]\r\nmemory=2GB\r\n",
     "garbage\r\n[wsl2\r\n]x\r\n=1\r\n[wsl2]\r\nmemory=16GB\r\n"),
    ("section twice", "[wsl2]\r\na=1\r\n[x]\r\n[wsl2]\r\nmemory=2GB\r\n", "[wsl2]\r\na=1\r\n[x]\r\n[wsl2]\r\nmemory=16GB\r\n"),
    ("mixed ends and odd characters", "[wsl2]\nk=ä\u2028ö\r\nmemory=2GB\n\n", "[wsl2]\nk=ä\u2028ö\r\nmemory=16GB\n\n"),
    ("backslash at the end", "[wsl2]\r\na=b\\", "[wsl2]\r\na=b\\\r\n\r\nmemory=16GB\r\n"),
    ("backslash in a comment", "[wsl2]\r\nswap=2GB # on D:\\\r\nmemory=2GB\r\n", "[wsl2]\r\nswap=2GB # on D:\\\r\nmemory=16GB\r\n"),
    ("backslash and hash in quotes", '[wsl2]\r\na="x # y \\\r\n z"\r\nmemory=2GB\r\n',
     '[wsl2]\r\na="x # y \\\r\n z"\r\nmemory=16GB\r\n'),
    ("continued value replaced", "[wsl2]\r\nmemory=2\\\r\nGB\r\nswap=1GB\r\n", "[wsl2]\r\nmemory=16GB\r\nswap=1GB\r\n"),
]  # fmt: skip
MARKS = [(b"", "utf-8"), (b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le")]


@pytest.mark.parametrize(("mark", "encoding"), MARKS, ids=["plain", "utf-8 mark", "utf-16"])
@pytest.mark.parametrize(("text", "wanted"), [row[1:] for row in FILES], ids=[row[0] for row in FILES])
def test_only_the_intended_bytes_change(text: str, wanted: str, mark: bytes, encoding: str) -> None:
    content = mark + text.encode(encoding)
    document = wslconfig.parse(content)
    assert wslconfig.dump(document) == content
    changed = wslconfig.dump(wslconfig.set_values(document, {"memory": "16GB"}))
    assert changed == mark + wanted.encode(encoding)
    again = wslconfig.parse(changed)
    assert wslconfig.get(again, "memory") == "16GB"
    assert wslconfig.dump(wslconfig.set_values(again, {"memory": "16GB"})) == changed


def test_twenty_varied_files(capsys: pytest.CaptureFixture[str]) -> None:
    """The list, with what changes in each: every byte outside the changed piece is the one that was there."""
    with capsys.disabled():
        print()
        for name, text, wanted in FILES:
            before, after = text.encode(), wanted.encode()
            start = next(
                (at for at, (a, b) in enumerate(zip(before, after, strict=False)) if a != b),
                min(len(before), len(after)),
            )
            rest = 0
            while rest < min(len(before), len(after)) - start and before[-1 - rest] == after[-1 - rest]:
                rest += 1
            gone, new = before[start : len(before) - rest], after[start : len(after) - rest]
            print(f"{name:32} {len(before):4} bytes, at {start:3}: {gone!r} -> {new!r}")
            assert len(gone) <= len("memory=2\\\r\nGB\r\n"), "no more than the one value goes"
            assert wslconfig.dump(wslconfig.set_values(wslconfig.parse(before), {"memory": "16GB"})) == after
    assert len(FILES) * len(MARKS) >= 20


@given(st.text(alphabet=st.sampled_from('[]wsl2=memory#"\\ \t\r\n\u2028xG1'), max_size=60))
def test_every_text_comes_back(text: str) -> None:
    content = text.encode()
    document = wslconfig.parse(content)
    assert wslconfig.dump(document) == content
    changed = wslconfig.parse(wslconfig.dump(wslconfig.set_values(document, {"memory": "16GB"})))
    others = [line.text for line in document.lines if line.key != "memory" or line.section != "wsl2"]
    kept = [line.text.rstrip("\r\n") for line in changed.lines]
    assert all(line.rstrip("\r\n") in kept for line in others)
    assert wslconfig.get(changed, "memory") == "16GB"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=1", "1"), ("a = x y ", "x y"), ('a="x # y" # z', "x # y"), ("a=C:\\\\x", "C:\\x"), ("a=b\\\r\nc", "bc"),
        ("a=", ""), ("A=1\na=2", "1"), ("a=x#y", "x"), ('a="q\\"r"', 'q"r'),
    ],
)  # fmt: skip
def test_values_are_read_as_wsl_does(text: str, value: str) -> None:
    assert wslconfig.get(wslconfig.parse(f"[wsl2]\n{text}".encode()), "a") == value


def test_wrong_encoding_is_refused() -> None:
    with pytest.raises(AiboxError, match="not UTF-8") as caught:
        wslconfig.parse(b"[wsl2]\r\n# \xfc\r\n")
    assert caught.value.code == "config-unreadable"


@pytest.mark.parametrize(
    ("text", "count"),
    [("8GB", 8 * GIB), ("8G", 8 * GIB), ("512MB", 512 << 20), ("1024", 1024), ("8gb", 0), ("8 GB", 0), ("x", 0),
     ("", 0), ("1.5GB", 0), ("8GBB", 0)],
)  # fmt: skip
def test_sizes(text: str, count: int) -> None:
    assert wslconfig.size(text) == count


@pytest.mark.parametrize(
    ("memory", "processors", "wanted"),
    [
        (64, 16, ("16GB", "8", "4GB")),
        (32, 12, ("16GB", "8", "4GB")),
        (16, 8, ("8GB", "8", "4GB")),
        (8, 4, ("4GB", "4", "2GB")),
        (2, 1, ("1GB", "1", "1GB")),
    ],
)
def test_recommendation_scales_down(memory: int, processors: int, wanted: tuple[str, str, str]) -> None:
    assert tuple(wslconfig.recommended(memory * GIB, processors).values()) == wanted


def test_proposal_leaves_what_is_large_enough() -> None:
    document = wslconfig.parse(b"[wsl2]\nmemory=24GB\nprocessors=2\n")
    assert [(change.key, change.before, change.after) for change in wslconfig.proposal(document, 32 * GIB, 12)] == [
        ("processors", "2", "8"),
        ("swap", "", "4GB"),
    ]
    done = wslconfig.set_values(document, {"processors": "8", "swap": "4GB"})
    assert wslconfig.proposal(done, 32 * GIB, 12) == []


@pytest.mark.parametrize("value", ["a", "C:\\x\\", 'say "hi"', "a # b", 'all \\ " # of'])
def test_a_quoted_value_is_read_back(value: str) -> None:
    document = wslconfig.set_values(wslconfig.parse(b"[wsl2]\na=1 # c\n"), {"a": wslconfig.quoted(value)})
    again = wslconfig.parse(wslconfig.dump(document))
    assert wslconfig.get(again, "a") == value
    assert again.lines[1].text.endswith(" # c\n")


def test_apparmor_keeps_what_is_there() -> None:
    line = wslconfig.apparmor_line("quiet lsm=yama vsyscall=emulate")
    assert line == "quiet vsyscall=emulate apparmor=1 security=apparmor lsm=landlock,yama,apparmor"
    assert wslconfig.apparmor_line(line) == line


def test_write_keeps_every_backup(tmp_path: Path) -> None:
    path = tmp_path / ".wslconfig"
    assert wslconfig.write(str(path), None, b"one") == ""
    assert wslconfig.write(str(path), b"one", b"two") == f"{path}.aibox-backup"
    assert wslconfig.write(str(path), b"two", b"three") == f"{path}.aibox-backup-1"
    assert path.read_bytes() == b"three"
    assert (tmp_path / ".wslconfig.aibox-backup").read_bytes() == b"one"
    assert sorted(item.name for item in tmp_path.iterdir()) == [
        ".wslconfig", ".wslconfig.aibox-backup", ".wslconfig.aibox-backup-1"]  # fmt: skip


def test_write_never_overwrites_a_change_of_somebody_else(tmp_path: Path) -> None:
    path = tmp_path / ".wslconfig"
    path.write_bytes(b"newer")
    with pytest.raises(AiboxError, match="changed meanwhile"):
        wslconfig.write(str(path), b"older", b"mine")
    assert path.read_bytes() == b"newer"
