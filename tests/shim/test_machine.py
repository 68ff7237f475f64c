"""`aibox setup --backend machine` against strict stand-ins of Podman machine: made, started, filled, and then left alone."""

import hashlib
import subprocess

import pytest
from machinehost import NAME, MachineHost
from shimhost import Host

SETUP = ("setup", "--backend", "machine", "--yes")
RUNSC = b"\x7fELF runsc"
IMAGE = b"image \0 of the kit"


@pytest.fixture
def podman(host: Host) -> MachineHost:
    """A Windows with Podman, without any distribution."""
    return MachineHost(host).make()


def test_a_machine_is_made_started_and_filled(podman: MachineHost) -> None:
    shim = podman.host.folder / "shim"
    (shim / "runsc").write_bytes(RUNSC)
    (shim / "image.tar").write_bytes(IMAGE)
    done = podman.host.shim(*SETUP, "--memory", "2G")
    assert done.code == 0, str(done)
    made, started = [call for call in podman.podman_calls() if call[1] in ("init", "start")]
    assert (made[:2], made[-1]) == (["machine", "init"], NAME)
    assert started == ["machine", "start", NAME]
    (machine,) = podman.machines().values()
    assert machine["state"] == "running"
    assert 1 <= int(machine["cpus"]) <= 8
    assert 1024 <= int(machine["memory"]) <= 16384
    assert int(machine["memory"]) % 1024 == 0
    assert machine["disk-size"] == "100"
    programs = podman.machine / "usr/local/bin"
    assert (programs / "aibox").read_bytes() == (shim / "aibox").read_bytes()
    assert (programs / "runsc").read_bytes() == RUNSC
    assert [path.stat().st_mode & 0o777 for path in sorted(programs.iterdir())] == [0o755, 0o755]
    assert podman.lines("loaded") == [f"user {hashlib.sha256(IMAGE).hexdigest()}"]
    assert podman.inside_calls() == [
        ("root", ["setup", "--prepare-for", "user", "--yes"]),
        ("user", ["setup", "--yes", "--memory", "2G"]),
    ]
    assert int(podman.settings()["WINDOWS_PROCESSORS"]) >= 1
    assert f"distribution = {NAME}" in (podman.host.folder / "local/aibox/shim.conf").read_text()
    podman.host.shim("status")
    assert podman.inside_calls()[-1] == ("user", ["status"]), "every later call goes into the machine"


def test_a_second_run_changes_nothing(podman: MachineHost) -> None:
    (podman.host.folder / "shim" / "runsc").write_bytes(RUNSC)
    (podman.host.folder / "shim" / "image.tar").write_bytes(IMAGE)
    assert podman.host.shim(*SETUP).code == 0
    before = len(podman.podman_calls())
    files = {path: path.stat().st_mtime_ns for path in (podman.machine / "usr/local/bin").iterdir()}
    done = podman.host.shim("setup", "--backend=machine")  # without consent, so every change would stop it
    assert done.code == 0, str(done)
    assert podman.podman_calls()[before:] == [["machine", "inspect", "--format", "{{.State}}", NAME]]
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert len(podman.lines("loaded")) == 1, "the image is there"
    assert "will:" not in done.err
    (podman.host.folder / "shim" / "image.tar").write_bytes(IMAGE + b" newer")
    assert podman.host.shim(*SETUP).code == 0
    assert len(podman.lines("loaded")) == 2, "another image is loaded"
    (podman.host.folder / "loaded").unlink()
    assert podman.host.shim(*SETUP).code == 0
    assert len(podman.lines("loaded")) == 1, "an image that was removed is loaded again"


def test_a_stopped_machine_is_started_not_made_again(podman: MachineHost) -> None:
    assert podman.host.shim(*SETUP).code == 0
    subprocess.run([podman.host.folder / "podman.exe", "machine", "stop", NAME], check=True)
    before = len(podman.podman_calls())
    assert podman.host.shim(*SETUP).code == 0
    assert [call[1] for call in podman.podman_calls()[before:]] == ["inspect", "start"]


def test_a_machine_of_somebody_else_is_left_alone(podman: MachineHost) -> None:
    mine = "podman-machine-default"
    subprocess.run([podman.host.folder / "podman.exe", "machine", "init", mine], check=True, capture_output=True)
    assert podman.host.shim(*SETUP).code == 0
    assert podman.machines()[mine] == {"state": "stopped"}
    assert not any(mine in call for call in podman.wsl_calls())


def test_dry_run_only_names(podman: MachineHost) -> None:
    done = podman.host.shim("setup", "--backend", "machine", "--dry-run")
    assert done.code == 0, str(done)
    assert "would: podman machine init --cpus" in done.err
    assert podman.podman_calls() == []


def test_consent_is_needed(podman: MachineHost) -> None:
    done = podman.host.shim("setup", "--backend", "machine")
    assert done.code == 4
    assert "[consent-needed]" in done.err
    assert podman.podman_calls() == []


@pytest.mark.parametrize(
    ("refused", "what", "fix"),
    [
        ("init", "the Podman machine was not made", "podman machine init --cpus"),
        ("start", "the Podman machine did not start", f"podman machine start {NAME}"),
    ],
)
def test_what_podman_refuses_is_named(podman: MachineHost, refused: str, what: str, fix: str) -> None:
    (podman.host.folder / "refuses").write_text(refused)
    done = podman.host.shim(*SETUP)
    lines = done.err.splitlines()
    assert done.code == 4, str(done)
    assert "Error: the hypervisor said no" in lines
    assert f"aibox: {what} [machine-failed]" in lines
    assert fix in lines[-1]
    assert podman.inside_calls() == []


def test_podman_is_missing_and_a_backend_unknown(podman: MachineHost) -> None:
    (podman.host.folder / "podman.exe").unlink()
    done = podman.host.shim(*SETUP)
    assert "[podman-missing]" in done.err
    assert done.err.splitlines()[-1] == "  fix: winget install RedHat.Podman"
    assert "[usage]" in podman.host.shim("setup", "--backend", "hyperv").err


def test_a_bad_image_is_named(podman: MachineHost) -> None:
    (podman.host.folder / "shim" / "image.tar").write_bytes(b"junk")
    done = podman.host.shim(*SETUP)
    assert done.code == 4
    assert "aibox: the image was not loaded [setup-failed]" in done.err


def test_the_exit_code_of_the_setup_inside_is_kept(podman: MachineHost) -> None:
    (podman.host.folder / "setup-code").write_text("5")
    assert podman.host.shim(*SETUP).code == 5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("machine", "init", "--cpu", "2"), "unknown flag: --cpu"),
        (("machine", "init", "--memory", "2G"), "invalid argument"),
        (("machine", "begin"), "unrecognized command"),
        (("mach", "init"), "unrecognized command"),
        (("machine", "start", "nothing"), "VM does not exist"),
        (("machine", "init", "a", "b"), "accepts at most 1"),
    ],
)
def test_the_stand_in_is_strict(podman: MachineHost, words: tuple[str, ...], said: str) -> None:
    """Control: a wrong word of the shim's would not pass."""
    done = subprocess.run([podman.host.folder / "podman.exe", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 125
    assert said in done.stderr
    wsl = [str(podman.host.folder / "System32/wsl.exe"), "--lst"]
    assert subprocess.run(wsl, capture_output=True, check=False).returncode == 255
