"""The whole way: cmd.exe or PowerShell, the shim, wsl.exe, the built zipapp, and a real box under gVisor."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import stagehost
import winsessions
from hosts import build, make, require_host
from machines import Machine
from stagehost import Done, Windows, windows_path

BYTES = b"a\0b\r\n\xff" + bytes(range(256)) * 40
DOORS = ("aibox.cmd", "aibox.ps1 in PowerShell 7", "aibox.ps1 in 5.1")


def call(windows: Windows, door: str, *words: str, stdin: bytes = b"", timeout: float = stagehost.PATIENCE) -> Done:
    """Call aibox through one of the front doors."""
    if door == "aibox.cmd":
        return windows.cmd(*words, stdin=stdin, timeout=timeout)
    edition = "powershell" if door.endswith("5.1") else "pwsh"
    return windows.file(*words, edition=edition, stdin=stdin, timeout=timeout)


@pytest.fixture(scope="module")
def zipapp() -> Iterator[Path]:
    """The artifact."""
    require_host()
    yield from build()


@pytest.fixture(scope="module")
def machine(zipapp: Path) -> Iterator[Machine]:
    """A rootless machine, as a WSL2 user's distribution is; its folder for programs is its own, and so is /etc/wsl.conf."""
    for made in make("rootless-2024", zipapp):
        for name in ("local-bin", "etc", "etc-work"):
            (made.folder / name).mkdir()
        for line in (
            f"mount --bind {made.folder}/local-bin /usr/local/bin",
            f"mount -t overlay -o lowerdir=/etc,upperdir={made.folder}/etc,workdir={made.folder}/etc-work overlay /etc",
            f"mount --bind {made.folder}/state/etc-aibox /etc/aibox",
            f"mount --bind {made.folder}/state/etc-containers /etc/containers",
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
    assert (machine.folder / "etc" / "wsl.conf").exists(), "the distribution's /etc is this machine's own"
    assert any("--terminate Debian" in call for call in ready.calls())


def test_setup_wrote_wslconfig(ready: Windows) -> None:
    text = (ready.profile / ".wslconfig").read_bytes()
    assert text.startswith(b"[wsl2]\r\nmemory=")
    assert b"processors=" in text


@pytest.mark.parametrize("door", DOORS)
def test_setup_again_changes_nothing(ready: Windows, machine: Machine, door: str) -> None:
    before = (ready.profile / ".wslconfig").read_bytes()
    done = call(ready, door, "setup", "--yes", "--runsc", str(machine.runsc), "--json", timeout=300)
    assert done.code == 0, str(done)
    steps = json.loads(done.text())["data"]["steps"]
    assert {step["action"] for step in steps} <= {"none"}, steps
    assert (ready.profile / ".wslconfig").read_bytes() == before


@pytest.mark.parametrize("door", DOORS)
def test_the_life_of_a_box(ready: Windows, machine: Machine, door: str) -> None:
    """start, status, exec with bytes, streams and every kind of exit code, stop: through each front door."""
    place = windows_path(str(machine.workspace("life of a box")))
    done = call(ready, door, "start", "--workspace", place)
    assert done.code == 0, str(done)
    assert "under gVisor" in done.text()
    document = json.loads(call(ready, door, "status", "--workspace", place, "--json").text())
    assert (document["ok"], document["data"]["state"]) == (True, "running"), document
    done = call(ready, door, "exec", "-w", place, "--", "cat", stdin=b"a\0b")
    assert (done.code, done.out) == (0, b"a\0b"), str(done)
    done = call(ready, door, "exec", "-w", place, "--", "cat", stdin=BYTES)
    assert done.out == BYTES, str(done)[:300]
    for code in (0, 1, 42, 125, 255):
        done = call(ready, door, "exec", "-w", place, "--", "sh", "-c", f"exit {code}")
        assert done.code == code, str(done)
    done = call(ready, door, "exec", "-w", place, "--", "sh", "-c", "echo out; echo err >&2")
    assert (done.out, done.errors()) == (b"out\n", "err\n"), str(done)
    done = call(ready, door, "stop", "--workspace", place)
    assert done.code == 0, str(done)
    assert "stopped" in done.text()
    done = call(ready, door, "exec", "-w", place, "--", "true")
    assert (done.code, "[box-not-running]" in done.errors()) == (125, True), str(done)
    call(ready, door, "destroy", "--workspace", place)


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


def test_sessions_of_the_page(ready: Windows, machine: Machine) -> None:
    """The sessions that docs/windows.md shows are run as they stand there, each prompt's line by its own shell."""
    place = Path(machine.home) / "project"
    place.mkdir()
    os.chown(place, machine.uid, machine.uid)
    (place / "hello.txt").write_text("a file of the project\n")
    blocks = winsessions.sessions((winsessions.ROOT / "docs/windows.md").read_text("utf-8"))
    assert len(blocks) >= 3
    for block in blocks:
        got = winsessions.played(ready, [line for line, _ in block], machine.home)
        for (line, wanted), printed in zip(block, got, strict=True):
            assert winsessions.normal(printed, machine.home) == winsessions.normal(wanted, "/home/you"), line


def test_stop(ready: Windows, workspace: Path) -> None:
    done = ready.file("stop", "--workspace", windows_path(str(workspace)))
    assert done.code == 0, str(done)
    assert "stopped" in done.text()
