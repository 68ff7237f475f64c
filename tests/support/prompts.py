"""A prompt on a terminal in which a person types, and a wsl.exe that hands Ctrl-C on as WSL does."""

import os
import pty
import select
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from shimhost import Host

# The command runs in a session of its own, Ctrl-C is handed on to it as SIGINT, and when wsl.exe itself is ended, the
# command is hung up on. `enter` is what stands before the command.
RELAY = r"""#!/usr/bin/python3 -I
import ctypes, os, signal, subprocess, sys
enter, home = {enter!r}, {home!r}
words = sys.argv[1:]
if words[0] == "--list":
    print("* Debian Stopped 2")
    sys.exit()
child = subprocess.Popen(
    [*enter, *words[words.index("--exec") + 1 :]], start_new_session=True, env={{**os.environ, "HOME": home}},
    preexec_fn=lambda: ctypes.CDLL(None).prctl(1, signal.SIGHUP),
)
signal.signal(signal.SIGINT, lambda *_: os.killpg(child.pid, signal.SIGINT))
sys.exit(child.wait() & 255)
"""


def relay(host: Host, enter: Sequence[str] = (), home: str = "") -> None:
    """Put that wsl.exe in the shim's way."""
    text = RELAY.format(enter=list(enter), home=home or str(host.folder / "home"))
    (host.folder / "System32" / "wsl.exe").write_text(text)


class Prompt:
    """A shell on a terminal, in which a person types."""

    def __init__(self, host: Host) -> None:
        variables = {
            "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/root"), "LANG": "C.UTF-8", "TERM": "dumb",
            "SystemRoot": str(host.folder), "LOCALAPPDATA": str(host.folder / "local"), "AIBOX_DISTRIBUTION": "Debian",
            "PS1": "prompt> ",
        }  # fmt: skip
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve("/bin/bash", ["bash", "--norc", "--noprofile", "-i"], variables)
        self.shown = ""
        self.until("prompt> ")

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self.fd, text.encode())

    def until(self, text: str, seconds: float = 90) -> str:
        """Read until the text comes; what came before it."""
        end = time.monotonic() + seconds
        while text not in self.shown:
            assert time.monotonic() < end, f"no {text!r} in {self.shown!r}"
            if select.select([self.fd], [], [], 0.2)[0]:
                self.shown += os.read(self.fd, 65536).decode("utf-8", "replace")
        before, _, self.shown = self.shown.partition(text)
        return before

    def close(self) -> None:
        """Hang up."""
        os.close(self.fd)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def alive(pid: str) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def gone(pids: Sequence[str], seconds: float = 20) -> bool:
    """Whether all of them end in time."""
    end = time.monotonic() + seconds
    while any(alive(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.1)
    return not any(alive(pid) for pid in pids)
