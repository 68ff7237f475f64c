"""install.ps1: twice, reversed, with odd profiles; afterwards every byte is what it was."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import stagehost
from stagehost import POLICY_KEY, Windows

HIDE = 'mount -t tmpfs none /usr/local/bin && HOME=/nonexistent exec "$@"'
PATH_KEY = "HKCU\\Environment"
PROFILES = [
    None,
    b"",
    b"Set-Alias x y\r\n",
    b"no end",
    b"\xef\xbb\xbf# \xc3\xbc\r\n",
    "\ufeff# ü no end".encode("utf-16-le"),
    b"# ANSI \xfc\r\n",
]


@pytest.fixture
def machine(windows: Windows, drive: Path) -> Iterator[Windows]:
    """A Windows whose user registry and documents are only this test's."""
    with stagehost.alone(drive):
        shutil.rmtree(windows.installed, ignore_errors=True)
        # no aibox in this machine's own folders
        windows.enter(*2 * [["/usr/bin/unshare", "--mount", "/bin/sh", "-c", HIDE, "sh"]])
        for name in ("WindowsPowerShell", "PowerShell"):
            profile(drive, name).unlink(missing_ok=True)
        windows.run("run", "reg", "delete", PATH_KEY, "/v", "Path", "/f")
        windows.run("run", "reg", "add", POLICY_KEY, "/v", "ExecutionPolicy", "/d", "RemoteSigned", "/f")
        yield windows
        windows.run("run", "reg", "delete", POLICY_KEY, "/v", "ExecutionPolicy", "/f")
        windows.run("run", "reg", "delete", PATH_KEY, "/v", "Path", "/f")
        for name in ("WindowsPowerShell", "PowerShell"):
            profile(drive, name).unlink(missing_ok=True)


def profile(drive: Path, name: str) -> Path:
    return (
        next(user for user in (drive / "users").iterdir() if user.name not in ("Public", "me"))
        / "Documents"
        / name
        / "profile.ps1"
    )


def path_value(windows: Windows) -> str:
    lines = [
        line
        for line in windows.run("run", "reg", "query", PATH_KEY).text().splitlines()
        if line.strip().startswith("Path ")
    ]
    return " ".join(lines[0].split()) if lines else ""


def install(windows: Windows, *words: str, edition: str = "powershell") -> stagehost.Done:
    script = windows.path("shim", "install.ps1")
    return windows.run(edition, "-NoProfile", "-ExecutionPolicy", "Bypass", "-File", script, *words)


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("before", PROFILES, ids=["absent", "empty", "plain", "no end", "utf-8 mark", "utf-16", "ansi"])
def test_install_twice_and_back(machine: Windows, drive: Path, before: bytes | None) -> None:
    mine, other = (profile(drive, name) for name in ("WindowsPowerShell", "PowerShell"))
    for place in (mine, other):
        shutil.rmtree(place.parent, ignore_errors=True)
        if before is not None:
            place.parent.mkdir(parents=True)
            place.write_bytes(before)
    # as Windows' own default, with a semicolon at the end; and as people write it
    end = ";" if before else ""
    value = f"%USERPROFILE%\\tools{end}"
    machine.run("run", "reg", "add", PATH_KEY, "/v", "Path", "/t", "REG_EXPAND_SZ", "/d", value, "/f")
    path = path_value(machine)
    assert f"REG_EXPAND_SZ {value}" in path
    first = install(machine)
    assert first.code == 0, str(first)
    assert listing(machine.installed) == [
        "bin", "bin/aibox.cmd", "lib", "lib/aibox.ps1", "lib/install.ps1", "lib/profile.ps1", "lib/setup.ps1"]  # fmt: skip
    assert path_value(machine) == f"{path.removesuffix(';')};{machine.installed_path('bin')}{end}"
    installed = mine.read_bytes()
    assert installed.startswith(before or b"")
    assert len(installed) > len(before or b"")
    assert install(machine, edition="pwsh").code == 0
    assert other.read_bytes() == installed, "PowerShell 7 has the same"
    second = install(machine, edition="pwsh")
    assert second.code == 0, str(second)
    assert "aibox is installed already" in second.text()
    assert mine.read_bytes() == installed
    back = install(machine, "-Uninstall")
    assert back.code == 0, str(back)
    assert not machine.installed.exists()
    assert path_value(machine) == path
    for place in (mine, other):
        if before is None:
            assert not place.parent.exists(), "the folder was made by the installation"
        else:
            assert place.read_bytes() == before
    assert "nothing of aibox is installed here" in install(machine, "-Uninstall").text()


def test_dry_run_changes_nothing(machine: Windows, drive: Path) -> None:
    done = install(machine, "-DryRun")
    assert "would write" in done.text()
    assert not machine.installed.exists()
    assert path_value(machine) == ""
    assert not profile(drive, "WindowsPowerShell").exists()


def test_where_scripts_are_refused_only_cmd_is_installed(machine: Windows, drive: Path) -> None:
    machine.run("run", "reg", "delete", POLICY_KEY, "/v", "ExecutionPolicy", "/f")
    done = install(machine)
    assert "Set-ExecutionPolicy -Scope CurrentUser RemoteSigned" in done.text()
    assert not profile(drive, "WindowsPowerShell").exists()
    assert [path.name for path in (machine.installed / "bin").iterdir()] == ["aibox.cmd"]
    assert install(machine, "-Uninstall").code == 0


def test_the_installed_commands_work(machine: Windows) -> None:
    """By name from cmd.exe, and as the alias that the profile makes; uninstalled with the installed copy."""
    install(machine)
    batch = machine.folder / "call.cmd"
    batch.write_bytes(f'@echo off\r\nset "PATH=%PATH%;{machine.installed_path("bin")}"\r\naibox status\r\n'.encode())
    assert "[aibox-missing]" in machine.run("cmd", "/c", machine.path("call.cmd")).errors()
    text = f". '{machine.installed_path('lib', 'profile.ps1')}'\naibox status\n"
    assert "[aibox-missing]" in machine.script(text, "powershell").errors()
    lib = machine.installed_path("lib", "install.ps1")
    done = machine.run("pwsh", "-NoProfile", "-ExecutionPolicy", "Bypass", "-File", lib, "-Uninstall")
    assert done.code == 0, str(done)
    assert not machine.installed.exists()
