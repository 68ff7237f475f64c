"""The whole way: cmd.exe or PowerShell, the shim, wsl.exe, the built zipapp, and a real box under gVisor."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import stagehost
from hosts import build, make, require_host
from machines import Machine
from stagehost import Windows, windows_path

BYTES = b"a\0b\r\n\xff" + bytes(range(256)) * 40


@pytest.fixture(scope="module")
def zipapp() -> Iterator[Path]:
    """The artifact."""
    require_host()
    yield from build()


@pytest.fixture(scope="module")
def machine(zipapp: Path) -> Iterator[Machine]:
    """A rootless machine, as a WSL2 user's distribution is; its folder for programs is its own, and so is /etc/wsl.conf."""
    for made in make("rootless-2024", zipapp):
        (made.folder / "local-bin").mkdir()
        for line in (
            f"mount --bind {made.folder}/local-bin /usr/local/bin",
            "mount -t tmpfs none /mnt",
            "mkdir /mnt/c",
        ):
            done = made.run(line.split(), root=True)
            assert done.code == 0, str(done)
        yield made


@pytest.fixture(scope="module")
def house(machine: Machine) -> Iterator[Windows]:
    """A Windows whose distribution is that machine, set up from Windows."""
    drive = stagehost.drive()
    windows = Windows("t-boxes", drive).make()
    shutil.copyfile(machine.zipapp, windows.folder / "shim" / "aibox")
    done = machine.run(["mount", "--bind", str(drive), "/mnt/c"], root=True)
    assert done.code == 0, str(done)
    distribution = {"WSL_DISTRO_NAME": "Debian"}
    windows.enter(machine.inside([], environment=distribution), machine.inside([], root=True, environment=distribution))
    with stagehost.alone(drive):
        shutil.rmtree(windows.installed, ignore_errors=True)
        for left in windows.profile.glob(".wslconfig*"):
            left.unlink()
        # WSL shows a drive as the user's own
        os.chmod(windows.profile, 0o777)
        yield windows
        os.chmod(windows.profile, 0o755)
        shutil.rmtree(windows.installed, ignore_errors=True)
        for left in windows.profile.glob(".wslconfig*"):
            left.unlink()
    windows.remove()


@pytest.fixture(scope="module")
def ready(house: Windows, machine: Machine) -> Windows:
    """After `aibox setup --yes` from Windows."""
    machine.set_up()  # with the image that is kept between runs; what follows finds it and does the rest
    done = house.file("setup", "--yes", "--runsc", str(machine.runsc), timeout=600)
    assert done.code == 0, str(done)
    assert "[windows] distribution: Debian" in done.errors()
    assert "this host is ready" in done.text()
    return house


@pytest.fixture(scope="module")
def workspace(ready: Windows, machine: Machine) -> Iterator[Path]:
    """A workspace with a box that was started from Windows, by its Windows name."""
    place = machine.workspace("my project")
    done = ready.cmd("start", "--workspace", windows_path(str(place)))
    assert done.code == 0, str(done)
    assert "under gVisor" in done.text()
    yield place
    ready.file("destroy", "--workspace", windows_path(str(place)))


def test_setup_copied_this_artifact(ready: Windows, machine: Machine) -> None:
    assert (machine.folder / "local-bin" / "aibox").read_bytes() == machine.zipapp.read_bytes()
    assert (ready.installed / "shim.conf").read_text().splitlines()[1] == "distribution = Debian"


def test_setup_asked_for_systemd(machine: Machine, ready: Windows) -> None:
    assert machine.read("/etc/wsl.conf") == "[boot]\nsystemd=true\n"
    assert any("--terminate Debian" in call for call in ready.calls())


def test_setup_wrote_wslconfig(ready: Windows) -> None:
    text = (ready.profile / ".wslconfig").read_bytes()
    assert text.startswith(b"[wsl2]\r\nmemory=")
    assert b"processors=" in text


def test_setup_again_changes_nothing(ready: Windows, machine: Machine) -> None:
    before = (ready.profile / ".wslconfig").read_bytes()
    done = ready.file("setup", "--yes", "--runsc", str(machine.runsc), "--json", edition="powershell", timeout=300)
    assert done.code == 0, str(done)
    steps = json.loads(done.text())["data"]["steps"]
    assert {step["action"] for step in steps} <= {"none"}, steps
    assert (ready.profile / ".wslconfig").read_bytes() == before


def test_exec_bytes_from_cmd(ready: Windows, workspace: Path) -> None:
    done = ready.cmd("exec", "-w", windows_path(str(workspace)), "--", "cat", stdin=BYTES)
    assert done.out == BYTES, str(done)[:300]


@pytest.mark.parametrize("code", [0, 1, 42, 125, 255])
def test_exit_codes(ready: Windows, workspace: Path, code: int) -> None:
    done = ready.file(
        "exec", "-w", windows_path(str(workspace)), "--", "sh", "-c", f"exit {code}", edition="powershell"
    )
    assert done.code == code, str(done)


def test_both_streams_and_arguments(ready: Windows, workspace: Path) -> None:
    place = windows_path(str(workspace))
    text = f"& $shim exec -w '{place}' -- sh -c 'printf \"<%s>\" \"$@\"; echo err >&2' sh 'a b' '' 'q\"r' -n:v -- --x\n"
    done = ready.script(text, "powershell")
    assert done.text() == '<a b><><q"r><-n:v><--><--x>', str(done)
    assert "err" in done.errors()


def test_status_in_a_pipeline(ready: Windows, workspace: Path) -> None:
    text = (
        f"$s = & $shim status -w '{windows_path(str(workspace))}' --json | ConvertFrom-Json\n\"$($s.ok) $($s.verb)\"\n"
    )
    assert ready.script(text).text() == "True status\n"


def test_the_box_of_the_current_folder(ready: Windows, workspace: Path) -> None:
    text = f"Set-Location -LiteralPath '{windows_path(str(workspace))}'\n& $shim exec -- pwd\n"
    assert ready.script(text, "powershell").text() == "/workspace\n"


def test_verify(ready: Windows, workspace: Path) -> None:
    done = ready.cmd("verify", "--workspace", windows_path(str(workspace)))
    assert done.code == 0, str(done)


def test_a_folder_of_windows_is_translated(ready: Windows) -> None:
    """Drive C is no real 9p mount here, so it is the owner that is refused, not the filesystem; the path is right."""
    done = ready.cmd("status", "--workspace", ready.path("work"))
    assert f"/mnt/c/{ready.name}/work" in done.errors(), str(done)


def test_stop(ready: Windows, workspace: Path) -> None:
    done = ready.file("stop", "--workspace", windows_path(str(workspace)))
    assert done.code == 0, str(done)
    assert "stopped" in done.text()
