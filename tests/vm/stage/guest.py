"""The guest: QEMU without KVM, a copy of the disk that is thrown away, and commands by the agents in it."""

import contextlib
import json
import os
import secrets
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recipe import disk, make_filesystem
from settings import PORTS, USERS

BOOT_SECONDS = 900
# with cx16 on, the emulator corrupts the guest's memory; la57 and pku only slow it down
PROCESSOR = "max,-cx16,-la57,-pku"
# one processor: with two, the emulator now and then runs an instruction that the kernel has just patched away, and the
# kernel dies of it (QEMU 7.2, in check_preempt_wakeup_fair, when the first group with a CPU limit appears)
PROCESSORS = "1"
# no_timer_check: on a busy host the emulated timer misses the kernel's check at boot, which then hangs
KERNEL = (
    "root=/dev/vda rw console=ttyS0 net.ifnames=0 mitigations=off nokaslr no_timer_check panic=1 quiet log_buf_len=16M "
    "systemd.show_status=0"
)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MEGABYTE = 1 << 20


@dataclass
class Done:
    """What a finished command left."""

    argv: list[str]
    code: int
    out: str
    err: str
    seconds: float = 0.0

    def __str__(self) -> str:
        head = f"{' '.join(self.argv)}\nexit {self.code} after {self.seconds:.1f} s"
        return f"{head}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class Guest:
    """A running guest. `payload` is a folder that it finds, read-only, under /payload."""

    def __init__(self, payload: Path, scratch: Path) -> None:
        self.scratch = Path(tempfile.mkdtemp(prefix="guest-", dir=scratch))
        self.token = secrets.token_hex(16)
        self.ports = {user: free_port() for user in PORTS}
        self.serial = self.scratch / "serial.log"
        (payload / "token").write_text(self.token)
        shutil.copy(Path(__file__).with_name("agent.py"), payload / "agent.py")
        size = sum(file.stat().st_size for file in payload.rglob("*") if file.is_file()) // MEGABYTE
        make_filesystem(payload, self.scratch / "payload", size + size // 8 + 64)
        self.child = subprocess.Popen(
            self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        # what runs beside it must not make aibox's time limits in the guest run out (sched(7), autogroup)
        with contextlib.suppress(OSError):
            Path(f"/proc/{self.child.pid}/autogroup").write_text("-10")

    def command(self) -> list[str]:
        """QEMU's command line."""
        place = disk()
        forward = ",".join(f"hostfwd=tcp:127.0.0.1:{self.ports[user]}-:{port}" for user, port in PORTS.items())
        drive = "if=virtio,format=raw,cache=unsafe"
        return [
            "qemu-system-x86_64", "-accel", "tcg,thread=multi,tb-size=1024", "-cpu", PROCESSOR,
            "-machine", "q35", "-smp", PROCESSORS, "-m", "6144", "-nodefaults", "-display", "none", "-no-reboot",
            "-kernel", str(place / "kernel"), "-initrd", str(place / "initrd"), "-append", KERNEL,
            "-drive", f"{drive},snapshot=on,file={place / 'disk'}",
            "-drive", f"{drive},readonly=on,file={self.scratch / 'payload'}",
            "-netdev", f"user,id=net,restrict=on,{forward}", "-device", "virtio-net-pci,netdev=net,romfile=",
            "-device", "virtio-rng-pci", "-serial", f"file:{self.serial}",
        ]  # fmt: skip

    def wait(self) -> float:
        """Wait until every user's agent answers; the seconds since the start."""
        began = time.monotonic()
        for user in PORTS:
            while True:
                if self.child.poll() is not None or time.monotonic() - began > BOOT_SECONDS:
                    raise AssertionError(f"the guest did not come up\n{self.console()}")
                with contextlib.suppress(OSError, ValueError):
                    if self.run(["true"], user=user, timeout=20).code == 0:
                        break
                time.sleep(0.5)
        return time.monotonic() - began

    def console(self) -> str:
        """The end of what the guest's kernel printed, and of QEMU's own words."""
        said = self.serial.read_text(errors="replace")[-3000:] if self.serial.exists() else ""
        if self.child.poll() is not None and self.child.stderr:
            said += self.child.stderr.read().decode(errors="replace")
        return said

    def stop(self) -> None:
        """End it; nothing of it stays."""
        self.child.kill()
        self.child.wait()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def run(
        self,
        argv: Sequence[str],
        *,
        user: str = "root",
        timeout: float = 120,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
    ) -> Done:
        """Run a command in the guest. Raises AssertionError if it does not end in time."""
        home = "/root" if user == "root" else f"/home/{user}"
        variables = {"HOME": home, "USER": user, "LOGNAME": user, "PATH": PATH, "LANG": "C.UTF-8"}
        if user != "root":
            runtime = f"/run/user/{USERS[user]}"
            variables |= {"XDG_RUNTIME_DIR": runtime, "DBUS_SESSION_BUS_ADDRESS": f"unix:path={runtime}/bus"}
        request = {
            "token": self.token, "argv": list(argv), "env": {**variables, **(environment or {})}, "cwd": home,
            "timeout": timeout, "stdin": len(stdin),
        }  # fmt: skip
        began = time.monotonic()
        received = {b"o": b"", b"e": b""}
        end: dict[str, int] = {}
        with socket.create_connection(("127.0.0.1", self.ports[user]), timeout=20) as connection:
            connection.settimeout(timeout + 30)
            connection.sendall(json.dumps(request).encode() + b"\n" + stdin)
            answer = connection.makefile("rb")
            while not end:
                head = answer.read(5)
                if len(head) < 5:
                    raise ConnectionError(f"the agent of {user} went away during {argv}")
                kind, content = head[:1], answer.read(struct.unpack(">I", head[1:])[0])
                if kind == b"x":
                    end = json.loads(content)
                else:
                    received[kind] += content
        done = Done(
            list(argv), end["code"], received[b"o"].decode("utf-8", "replace"),
            received[b"e"].decode("utf-8", "replace"), time.monotonic() - began,
        )  # fmt: skip
        assert not end["hangs"], f"hangs: {done}"
        return done

    def ok(self, argv: Sequence[str], *, user: str = "root", timeout: float = 120, stdin: bytes = b"") -> Done:
        """Run a command that has to succeed."""
        done = self.run(argv, user=user, timeout=timeout, stdin=stdin)
        assert done.code == 0, str(done)
        return done

    def sh(self, script: str, *, user: str = "root", timeout: float = 120) -> Done:
        """Run a shell script that has to succeed."""
        return self.ok(["sh", "-euc", script], user=user, timeout=timeout)

    def write(self, path: str, content: str, *, user: str = "root", mode: int = 0o644) -> None:
        """Write a file as that user."""
        script = 'mkdir -p "$(dirname "$1")" && cat > "$1" && chmod "$2" "$1"'
        self.ok(["sh", "-c", script, "sh", path, f"{mode:o}"], user=user, stdin=content.encode())


def free_port() -> int:
    """A TCP port of the loopback device that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    # for work by hand: a guest that stays, with the tree as payload; `guest.py FOLDER` prints ports and token
    import sys

    folder = Path(sys.argv[1])
    guest = Guest(folder, folder.parent)
    print(json.dumps({"ports": guest.ports, "token": guest.token, "pid": guest.child.pid}), flush=True)
    print(f"up after {guest.wait():.0f} s", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        guest.child.wait()
    del os
