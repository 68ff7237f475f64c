"""`aibox setup --backend machine`, with a program in podman.exe's place that keeps a record and makes a distribution."""

from pathlib import Path

import pytest
from shimhost import LISTING, Host

PODMAN = r"""#!/bin/sh
d=${0%/podman.exe}
printf '%s ' "$@" >>"$d/podman-calls"; echo >>"$d/podman-calls"
case "$1 $2" in
    "machine init") [ ! -e "$d/init-fails" ] || exit 125
        printf '  podman-machine-aibox  Stopped  2\r\n' >>"$d/listing" ;;
    "machine start") echo running >"$d/machine-state" ;;
    "machine inspect") cat "$d/machine-state" 2>/dev/null || echo stopped ;;
esac
"""
# in the machine: every command is noted, and what setup asks about is there
MACHINE = r"""
case "$*" in
    *"id -un"*) echo root; exit 0 ;;
    *sys.version_info*) exit 0 ;;
    *"sha256sum /usr/local/bin/aibox 2>"*) cat "$d/digest" 2>/dev/null; exit 0 ;;
    *"cat >/usr/local/bin/aibox.new"*) sha256sum | tee "$d/digest"; exit 0 ;;
esac
exit 0
"""


@pytest.fixture
def podman(host: Host) -> Host:
    """A host with Podman for Windows, and a machine that answers."""
    place = host.folder / "podman.exe"
    place.write_text(PODMAN)
    place.chmod(0o755)
    stand_in = host.folder / "System32" / "wsl.exe"
    stand_in.write_text(stand_in.read_text().partition("[ -e")[0] + MACHINE)
    (host.folder / "shim" / "aibox").write_bytes(b"the artifact")
    host.environment["PATH"] = f"{host.folder}:/usr/local/bin:/usr/bin:/bin"
    return host


def record(host: Host) -> list[str]:
    path = host.folder / "podman-calls"
    return [line.strip() for line in path.read_text().splitlines()] if path.exists() else []


def test_machine_is_made_started_and_set_up(podman: Host) -> None:
    done = podman.shim("setup", "--backend", "machine", "--yes", "--memory", "2G")
    assert done.code == 0, str(done)
    made, *rest = record(podman)
    words = made.split()
    assert words[:2] == ["machine", "init"]
    assert words[-1] == "podman-machine-aibox"
    assert {"--cpus", "--memory", "--disk-size"} <= set(words)
    assert rest[-1] == "machine start podman-machine-aibox"
    assert podman.forwarded()[-1] == ["setup", "--yes", "--memory", "2G"]
    assert podman.calls()[-1][:2] == ["-d", "podman-machine-aibox"]
    conf = podman.folder / "local" / "aibox" / "shim.conf"
    assert "distribution = podman-machine-aibox" in conf.read_text()
    podman.forget()
    podman.shim("status")
    assert podman.calls()[-1][:2] == ["-d", "podman-machine-aibox"]


def test_a_running_machine_is_left_as_it_is(podman: Host) -> None:
    podman.shim("setup", "--backend=machine", "--yes")
    before = len(record(podman))
    done = podman.shim("setup", "--backend=machine", "--yes")
    assert done.code == 0, str(done)
    assert record(podman)[before:] == ["machine inspect --format {{.State}} podman-machine-aibox"]


def test_dry_run_only_names(podman: Host) -> None:
    done = podman.shim("setup", "--backend", "machine", "--dry-run")
    assert done.code == 0
    assert "would: podman machine init --cpus" in done.err
    assert record(podman) == []


def test_consent_is_needed(podman: Host) -> None:
    done = podman.shim("setup", "--backend", "machine")
    assert done.code != 0
    assert "[consent-needed]" in done.err
    assert record(podman) == []


def test_failures_are_named(podman: Host) -> None:
    (podman.folder / "init-fails").touch()
    assert "[machine-failed]" in podman.shim("setup", "--backend", "machine", "--yes").err
    Path(podman.folder / "podman.exe").unlink()
    done = podman.shim("setup", "--backend", "machine", "--yes")
    assert "[podman-missing]" in done.err
    assert "winget install RedHat.Podman" in done.err
    assert "[usage]" in podman.shim("setup", "--backend", "hyperv").err
    assert LISTING
