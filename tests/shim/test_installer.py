"""What install.ps1 changes and takes back, byte for byte; its functions alone, as Linux has no registry.

tests/windows/test_stage_install.py has the whole of it.
"""

from pathlib import Path

import pytest
from shimhost import SHIM, Done, Host

ENTRY = "\nif ($Uninstall) {\n    Install-Profiles"


def call(host: Host, lines: str) -> Done:
    """Run lines with the installer's functions, under strict mode."""
    text = (SHIM / "install.ps1").read_text()
    functions = host.folder / "shim" / "functions.ps1"
    functions.write_text(text[: text.index(ENTRY)])
    done = host.script_text(f". '{functions}'\n{lines}\n")
    assert done.code == 0, str(done)
    assert done.err == ""
    return done


PATHS = ["A", "A;", "A;;", ";", ";;A", "", "%USERPROFILE%\\tools;C:\\x y;", "A;;B"]


def test_the_users_path_is_what_it_was(host: Host) -> None:
    """Windows' own default ends in a semicolon."""
    lines = ["Add-Folder '' $false"]
    lines += [f'$new = Add-Folder \'{path}\' $true\n"$new|"\n"$(Remove-Folder $new)|"' for path in PATHS]
    first, *rest = call(host, "\n".join(lines)).out.decode().splitlines()
    shown = [line.removesuffix("|") for line in rest]
    own = str(host.folder / "local/aibox/bin")
    assert first == own, "no empty entry where there was no value"
    for path, added, back in zip(PATHS, shown[::2], shown[1::2], strict=True):
        assert added == (f"{path}{own};" if path.endswith(";") else f"{path};{own}")
        assert [part for part in added.split(";") if part == own] == [own]
        assert back == path


def test_what_others_added_since_stays(host: Host) -> None:
    own = str(host.folder / "local/aibox/bin")
    cases = [
        (f"A;{own};B", "A;B"), (f"{own};B;", "B;"), (own, ""), (f"A;{own}\\;B", "A;B"), (f"A;{own};{own}", "A"),
        (f"A;{own}2", f"A;{own}2"), (f"A;x{own}", f"A;x{own}"),
    ]  # fmt: skip
    shown = call(host, "\n".join(f"\"$(Remove-Folder '{now}')|\"" for now, _ in cases)).out.decode().split()
    assert shown == [f"{back}|" for _, back in cases]


def profile(host: Host, *, edition: str = "WindowsPowerShell") -> Path:
    return host.folder / "Documents" / edition / "profile.ps1"


def both_ways(host: Host, mine: Path) -> bytes:
    """The profile once the lines are in; then they are taken out again."""
    copy = host.folder / "installed"
    call(host, f"Set-Profile '{mine}' $true\n[IO.File]::Copy('{mine}', '{copy}', $true)\nSet-Profile '{mine}' $false")
    installed = copy.read_bytes()
    assert b"profile.ps1" in installed.replace(b"\0", b"")
    return installed


@pytest.mark.parametrize(
    "before", [b"", b"\xff\xfe", b"\xef\xbb\xbf", b"x\r\n", b"no end", "\ufeff# ü".encode("utf-16-le")]
)
def test_a_profile_that_was_there_is_what_it_was(host: Host, before: bytes) -> None:
    mine = profile(host)
    mine.parent.mkdir(parents=True)
    mine.write_bytes(before)
    assert both_ways(host, mine).startswith(before)
    assert mine.exists(), "an empty file stays, too"
    assert mine.read_bytes() == before


def test_a_folder_that_was_there_stays_and_one_that_was_made_goes(host: Host) -> None:
    mine = profile(host)
    mine.parent.mkdir(parents=True)
    both_ways(host, mine)
    assert list(mine.parent.iterdir()) == []
    mine.parent.rmdir()
    both_ways(host, mine)
    assert not mine.parent.exists()


def test_what_the_user_added_since_stays(host: Host) -> None:
    mine = profile(host)
    mine.parent.parent.mkdir(parents=True)
    other = profile(host, edition="PowerShell")
    lines = [f"Set-Profile '{path}' $true" for path in (mine, other)]
    lines.append(f"[IO.File]::AppendAllText('{mine}', \"mine`r`n\")")
    lines.append(f"[IO.File]::WriteAllText('{other.parent}/other.ps1', 'mine')")
    lines += [f"Set-Profile '{path}' $false" for path in (mine, other)]
    call(host, "\n".join(lines))
    assert mine.read_bytes() == b"mine\r\n"
    assert [path.name for path in other.parent.iterdir()] == ["other.ps1"]


def test_what_a_kit_brings_is_copied(host: Host) -> None:
    """Where setup.ps1 looks for it; optional, and copied once."""
    kit = host.folder / "shim"
    assert "runsc" not in call(host, "Install-Files").out.decode()
    for name in ("runsc", "image.tar"):
        (kit / name).write_bytes(name.encode() * 5)
    library = host.folder / "local/aibox/lib"
    first = call(host, "Install-Files").out.decode().split("\n")
    assert [line for line in first if line] == [f"write {library}/runsc", f"write {library}/image.tar"]
    assert [(library / name).read_bytes() for name in ("runsc", "image.tar")] == [b"runsc" * 5, b"image.tar" * 5]
    (kit / "image.tar").write_bytes(b"another")
    again = call(host, "Install-Files; Install-Files").out.decode()
    assert again.split() == ["write", f"{library}/image.tar"]
    assert (library / "image.tar").read_bytes() == b"another"
    assert not list(library.glob("*.new"))
