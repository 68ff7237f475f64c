"""What happens to hosts and workspaces: a reboot, a box removed by hand, a renamed folder, a full disk, Ctrl-C."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conmons import processes
from kills import descendants
from machines import Machine

MACHINES = pytest.mark.parametrize("machine", ["rootful-2024", "rootless-2024", "docker-2024"], indirect=True)
RUNTIME_FOLDERS = ("/run/aibox", "/run/containers", "/run/docker", "/run/libpod", "/run/runsc")
MEBIBYTE = 1 << 20
# seconds from the beginning of a command
MOMENTS = {signal.SIGINT: (0.05, 0.15, 0.3, 0.5, 0.8), signal.SIGTERM: (0.4,), signal.SIGHUP: (0.6,)}
# as the engines name it
STOPPED = ("exited", "stopped")


def start(machine: Machine, place: Path) -> dict[str, str]:
    """What `start` did."""
    told = json.loads(machine.ok("start", "--workspace", str(place), "--json", timeout=300).out)["data"]
    return {"box": told["box"], "action": told["action"]}


def state(machine: Machine, place: Path) -> str:
    """What `list` says of a workspace's box; empty if it has none."""
    rows = json.loads(machine.ok("list", "--json").out)["data"]["boxes"]
    return next((row["state"] for row in rows if row["workspace"] == str(place)), "")


def error(machine: Machine, *words: str) -> str:
    """The code of a command's error, which it has to have."""
    done = machine.aibox(words[0], "--json", *words[1:])
    assert done.code != 0, str(done)
    return str(json.loads(done.out)["error"]["code"])


@MACHINES
def test_stopped_and_removed_by_hand(machine: Machine) -> None:
    place = machine.workspace()
    where = ("--workspace", str(place))
    box = start(machine, place)["box"]
    machine.ok("exec", *where, "--", "sh", "-c", "echo kept > ~/by-hand")
    assert machine.run([machine.engine, "stop", box]).code == 0
    assert error(machine, "exec", *where, "--", "true") == "box-not-running"
    assert state(machine, place) in STOPPED
    assert start(machine, place)["action"] == "started"
    assert machine.run([machine.engine, "rm", "--force", box]).code == 0
    assert error(machine, "exec", *where, "--", "true") == "box-missing"
    assert start(machine, place)["action"] == "created"
    assert machine.ok("exec", *where, "--", "cat", "/home/dev/by-hand").out == "kept\n"
    # killed from outside, as the kernel does to what takes too much memory
    for pid, argv in processes().items():
        if os.path.basename(argv[0]) == "runsc-sandbox" and box_of(machine, box) in argv:
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while state(machine, place) == "running" and time.monotonic() < deadline:
        time.sleep(0.2)
    assert start(machine, place)["action"] in ("started", "created")
    assert machine.ok("exec", *where, "--", "cat", "/home/dev/by-hand").out == "kept\n"
    machine.ok("destroy", *where)


def box_of(machine: Machine, box: str) -> str:
    """The id of a box."""
    return machine.run([machine.engine, "inspect", "--format", "{{.Id}}", box]).out.strip()


@MACHINES
def test_a_renamed_workspace(machine: Machine) -> None:
    """Its box was the old path's: that one can still be stopped and removed, and the new path gets its own."""
    place = machine.workspace()
    start(machine, place)
    moved = place.rename(place.with_name(f"{place.name}-moved"))
    assert error(machine, "start", "--workspace", str(place)) == "workspace-missing"
    assert state(machine, place) == "running"
    again = start(machine, moved)
    assert again["action"] == "created"
    (moved / "file").write_text("new\n")
    assert machine.ok("exec", "--workspace", str(moved), "--", "cat", "file").out == "new\n"
    machine.ok("destroy", "--workspace", str(place))
    assert (state(machine, place), state(machine, moved)) == ("", "running")
    machine.ok("destroy", "--workspace", str(moved))


@contextlib.contextmanager
def small_disk(machine: Machine, mebibytes: int) -> Iterator[Path]:
    """A filesystem of its own in the machine's user's home, of that size."""
    place = machine.workspace("disk")
    image = place.with_suffix(".image")
    with open(image, "wb") as file:
        file.truncate(mebibytes * MEBIBYTE)
    owner = f"root_owner={machine.uid}:{machine.uid}"
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-E", owner, str(image)], check=True)
    assert machine.run(["mount", "-o", "loop", str(image), str(place)], root=True).code == 0
    if machine.rootless:
        # its namespace was made before, and this machine's mounts reach no other
        assert machine.run(["podman", "system", "migrate"]).code == 0
    try:
        yield place
    finally:
        assert machine.run(["umount", "-l", str(place)], root=True).code == 0
        image.unlink()


@MACHINES
def test_a_workspace_on_a_full_disk(machine: Machine) -> None:
    """The program in the box is told, and the box goes on; it can be stopped, started and destroyed."""
    with small_disk(machine, 8) as disk:
        place, where = disk / "project", ("--workspace", str(disk / "project"))
        assert machine.run(["mkdir", str(place)]).code == 0
        start(machine, place)
        done = machine.aibox("exec", *where, "--", "dd", "if=/dev/zero", "of=big", "bs=1M")
        assert done.code == 1
        assert "No space left on device" in done.err
        assert machine.ok("exec", *where, "--", "echo", "in").out == "in\n"
        machine.ok("stop", *where)
        assert start(machine, place)["action"] == "started"
        assert machine.ok("exec", *where, "--", "sh", "-c", "rm big && echo text > file && cat file").out == "text\n"
        machine.ok("destroy", *where)


@MACHINES
def test_aiboxs_own_folder_on_a_full_disk(machine: Machine) -> None:
    """A command that can note nothing says so, changes nothing, and works when there is room again."""
    # whose lines leave a little room in the last block of the log
    before, place = machine.workspace(), machine.workspace()
    start(machine, before)
    machine.ok("destroy", "--workspace", str(before))
    with small_disk(machine, 4) as disk:
        # again, because not all blocks are there for the asking before they are counted
        fill = f"for n in 1 2 3; do dd if=/dev/zero of={disk}/full-$n bs=512 conv=fsync; done"
        fill = f"cp -a {machine.data}/. {disk}; {fill}; mount --bind {disk} {machine.data}"
        assert machine.run(["sh", "-c", fill], root=True).code == 0
        try:
            assert error(machine, "start", "--workspace", str(place)) == "state-unwritable"
            assert boxes(machine, place) == []
            assert machine.run(["sh", "-c", f"rm {disk}/full-*"], root=True).code == 0
            assert start(machine, place)["action"] == "created"
            machine.ok("destroy", "--workspace", str(place))
        finally:
            assert machine.run(["umount", "-l", machine.data], root=True).code == 0


def boxes(machine: Machine, place: Path) -> list[str]:
    """The engine's boxes for a workspace."""
    argv = [machine.engine, "ps", "--all", "--quiet", "--filter", f"label=io.aibox.workspace={place}"]
    return machine.run(argv, timeout=180).out.split()


@MACHINES
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_interrupted_at_any_moment(machine: Machine, number: signal.Signals, request: pytest.FixtureRequest) -> None:
    """As Ctrl-C and a closing terminal do it, to all of the foreground: no half-made box, and the next one works."""
    place = machine.workspace()
    where = ("--workspace", str(place))
    moments = [0.04 * step for step in range(1, 40)] if request.config.getoption("--full") else MOMENTS[number]
    for seconds in moments:
        for verb in ("start", "stop", "start", "destroy"):
            child = subprocess.Popen(
                machine.inside([str(machine.zipapp), verb, *where]),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
            time.sleep(seconds)
            os.killpg(child.pid, number)
            _, told = child.communicate(timeout=120)
            # Python itself may be interrupted before it runs aibox's first line
            assert b"Traceback" not in told or b"__main__.py" not in told, told.decode()
            assert child.returncode in (0, 5, 128 + number, -number), told.decode()
            found = state(machine, place)
            assert len(boxes(machine, place)) == (1 if found else 0)
        start(machine, place)
        assert machine.ok("exec", *where, "--", "echo", "in").out == "in\n"
        machine.ok("destroy", *where)
        assert boxes(machine, place) == []


def reboot(machine: Machine) -> None:
    """What a reboot leaves: no process, no mount, nothing in /run; all that is on disk."""
    assert machine.holder is not None
    namespace = os.readlink(f"/proc/{machine.holder.pid}/ns/mnt")
    tops = []
    for pid in processes():
        with contextlib.suppress(OSError):
            own = machine.rootless and os.stat(f"/proc/{pid}").st_uid == machine.uid
            if pid != machine.holder.pid and (own or os.readlink(f"/proc/{pid}/ns/mnt") == namespace):
                tops.append(pid)
    for pid in {each for top in tops for each in (top, *descendants(top))}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if machine.daemon:
        machine.daemon.wait()
    script = """
        unmount() {
            awk -v top="$1/" 'index($5, top) == 1 {print $5}' /proc/self/mountinfo | sort -r | xargs -r umount -l
        }
        unmount /var/lib/docker
        unmount /var/lib/containers
        for top in "$@"; do
            unmount "$top"
            find "$top" -mindepth 1 -xdev -delete
        done
        rm -f /run/docker.pid /run/docker.sock
    """
    done = machine.run(["sh", "-c", script, "sh", *RUNTIME_FOLDERS, f"/run/user/{machine.uid}"], root=True)
    assert "Device or resource busy" not in done.err, str(done)
    locks = Path(f"/dev/shm/libpod_rootless_lock_{machine.uid}")
    locks.unlink(missing_ok=True)
    if machine.daemon:
        machine.start_daemon()


@MACHINES
def test_a_rebooted_host(machine: Machine) -> None:
    place = machine.workspace()
    where = ("--workspace", str(place))
    start(machine, place)
    machine.ok("exec", *where, "--", "sh", "-c", "echo kept > ~/before; echo kept > before")
    reboot(machine)
    assert error(machine, "exec", *where, "--", "true") == "box-not-running"
    # Podman names it as one that never ran
    assert state(machine, place) in (*STOPPED, "created")
    assert start(machine, place)["action"] in ("started", "created")
    assert machine.ok("exec", *where, "--", "cat", "/home/dev/before", "before").out == "kept\nkept\n"
    machine.ok("verify", *where)
    machine.ok("destroy", *where)
