"""Windows drives on real 9p and virtiofs mounts: seen, translated, refused as workspaces however they are reached."""

import base64
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ninep import WindowsGuest
from settings import ROOT

AIBOX = "/usr/local/bin/aibox"
USER = "dev1"
APP = "Users/me/my app"


@pytest.fixture(scope="module")
def windows() -> Iterator[WindowsGuest]:
    """The guest, its drives mounted, with the artifact built from this tree."""
    with tempfile.TemporaryDirectory(prefix="aibox-9p-", dir="/var/tmp") as folder:
        payload = Path(folder) / "payload"
        payload.mkdir()
        build = [sys.executable, str(ROOT / "build_zipapp.py"), "--output", str(payload / "aibox")]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        running = WindowsGuest(payload, Path(folder))
        try:
            running.wait()
            running.mount()
            running.sh(f"install /payload/aibox {AIBOX}")
            running.sh("mkdir -p ~/project ~/bound ~/deep/er; ln -s '/mnt/c/Users/me/my app' ~/link", user=USER)
            running.sh(f"ln -s /win/d/Users /home/{USER}/drive-d")
            running.sh(f"mount --bind '/mnt/c/{APP}' /home/{USER}/bound; mount --bind /mnt/e /home/{USER}/deep/er")
            yield running
        finally:
            running.stop()


def refusal(windows: WindowsGuest, workspace: str, *, environment: dict[str, str] | None = None) -> dict[str, str]:
    """How `start` refuses the folder."""
    argv = [AIBOX, "start", "--workspace", workspace, "--json"]
    done = windows.run(argv, user=USER, environment={"WSL_DISTRO_NAME": "Debian", **(environment or {})})
    error: dict[str, str] = json.loads(done.out)["error"]
    assert done.code == int(error["exit_code"]), str(done)
    return error


def test_the_mounts_are_real(windows: WindowsGuest) -> None:
    table = windows.ok(["findmnt", "--raw", "--noheadings", "--output", "TARGET,FSTYPE,SOURCE"]).out
    rows = {line.split()[0]: line.split()[1] for line in table.splitlines()}
    assert (rows["/mnt/c"], rows["/win/d"], rows["/mnt/e"]) == ("9p", "9p", "virtiofs"), table
    assert windows.ok(["cat", f"/mnt/c/{APP}/file"], user=USER).out == "of Windows\n"
    (windows.drives / "c" / APP / "new").write_text("from outside\n")
    assert windows.ok(["cat", f"/mnt/c/{APP}/new"], user=USER).out == "from outside\n"


@pytest.mark.parametrize(
    ("workspace", "filesystem"),
    [
        (f"/mnt/c/{APP}", "9p"),
        ("/win/d/Users/me", "9p"),
        (f"/mnt/e/{APP}", "virtiofs"),
        (f"/home/{USER}/link", "9p"),  # a symlink
        (f"/home/{USER}/drive-d/me/my app", "9p"),  # a symlink on the way
        (f"/home/{USER}/bound", "9p"),  # a bind mount
        (f"/home/{USER}/deep/er/Users/me", "virtiofs"),  # below a bind mount
    ],
)
def test_refused_however_it_is_reached(windows: WindowsGuest, workspace: str, filesystem: str) -> None:
    error = refusal(windows, workspace)
    assert (error["code"], int(error["exit_code"])) == ("workspace-filesystem", 2), error
    assert f"is on {filesystem}," in error["message"]
    assert error["fix"].startswith("cp -r ")
    assert f"/home/{USER}/" in error["fix"]
    assert f"\\\\wsl.localhost\\Debian\\home\\{USER}\\" in error["fix"]


def test_a_folder_of_linux_is_not(windows: WindowsGuest) -> None:
    """The control: here only gVisor is missing, and the folder is not what stands in the way."""
    assert refusal(windows, f"/home/{USER}/project")["code"] != "workspace-filesystem"


@pytest.mark.parametrize(
    ("typed", "linux"),
    [("C:\\Users\\me\\my app", f"/mnt/c/{APP}"), ("d:/Users/me", "/win/d/Users/me"), ("E:\\Users", "/mnt/e/Users")],
)
def test_windows_paths_lead_to_the_mounts(windows: WindowsGuest, typed: str, linux: str) -> None:
    """By the mount's source where it names the drive, else by its place."""
    words = ("1", "C:\\Users\\me", "C:\\Users\\me", "0", "start", "--workspace", typed, "--json")
    payload = base64.b64encode("\0".join(words).encode()).decode()
    done = windows.run([AIBOX, "--from-windows", payload], user=USER, environment={"WSL_DISTRO_NAME": "Debian"})
    error = json.loads(done.out)["error"]
    assert error["code"] == "workspace-filesystem", str(done)
    assert error["message"].startswith(f"{linux} is on "), error


def test_the_current_folder_of_windows(windows: WindowsGuest) -> None:
    """Called from a folder on drive C, without naming one."""
    words = ("1", f"C:\\{APP.replace('/', chr(92))}", "C:\\Users\\me", "0", "start", "--json")
    payload = base64.b64encode("\0".join(words).encode()).decode()
    done = windows.run([AIBOX, "--from-windows", payload], user=USER, environment={"WSL_DISTRO_NAME": "Debian"})
    assert json.loads(done.out)["error"]["message"].startswith(f"/mnt/c/{APP} is on 9p"), str(done)
