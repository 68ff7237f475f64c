"""What the host offers to be attacked: listeners, a process, shared memory and a secret file. All end with it."""

import ctypes
import os
import secrets
import socket
import subprocess
import threading
from pathlib import Path

from controlruns import WAITING

IPC_CREAT, IPC_RMID = 0o1000, 0


class HostSide:
    """What no box may reach. `uid` is who a box's user is on the host, so that ids protect nothing."""

    def __init__(self, folder: Path, uid: int) -> None:
        self.token = secrets.token_hex(6)
        self.marker = f"aibox-marker-{self.token}"
        self.leak = f"leaked-{self.token}"
        self.secret = folder / f"secret-{self.token}"
        self.secret.write_text("the host's secret\n")
        os.chown(self.secret, uid, uid)
        self.tcp = socket.create_server(("", 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract.bind(f"\0aibox-host-{self.token}")
        self.abstract.listen(64)
        self.paths: list[socket.socket] = []
        self.ending = False
        threading.Thread(target=self._answer, daemon=True).start()
        command = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "bash", "-c",
                   f"exec -a {self.marker} sleep {WAITING}"]  # fmt: skip
        self.process = subprocess.Popen(command, env={"PATH": os.environ["PATH"]}, cwd="/")
        self.shm_key = secrets.randbelow(1 << 30) + 1
        self.shm = ctypes.CDLL(None, use_errno=True).shmget(self.shm_key, 4096, IPC_CREAT | 0o666)
        assert self.shm >= 0

    def _answer(self) -> None:
        while not self.ending:
            try:
                question, asker = self.udp.recvfrom(512)
                self.udp.sendto(question, asker)
            except OSError:
                return

    def listen(self, path: Path) -> None:
        """A socket with a path, open to everybody."""
        listener = socket.socket(socket.AF_UNIX)
        here = os.getcwd()
        os.chdir(path.parent)  # the name of a socket may have 107 bytes at most
        try:
            listener.bind(path.name)
        finally:
            os.chdir(here)
        listener.listen(64)
        os.chmod(path, 0o777)
        self.paths.append(listener)

    def address(self) -> str:
        """An address of this host besides loopback."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(("192.0.2.1", 9))
            except OSError:
                return "127.0.0.2"
            return str(probe.getsockname()[0])

    def describe(self) -> dict[str, object]:
        """The part of the scene that attempts need."""
        return {
            "marker": self.marker,
            "marker_pid": self.process.pid,
            "leak": self.leak,
            "secret": str(self.secret),
            "tcp_port": self.tcp.getsockname()[1],
            "udp_port": self.udp.getsockname()[1],
            "abstract": f"aibox-host-{self.token}",
            "address": self.address(),
            "shm_key": self.shm_key,
        }

    def end(self) -> None:
        """Close and remove everything."""
        self.ending = True
        for each in (self.tcp, self.udp, self.abstract, *self.paths):
            each.close()
        self.process.kill()
        self.process.wait()
        ctypes.CDLL(None).shmctl(self.shm, IPC_RMID, 0)
        self.secret.unlink(missing_ok=True)
