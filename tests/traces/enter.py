#!/usr/bin/env python3
"""Becomes a program in another root folder, as an ordinary user, under a filter. Runs in namespaces of its own.

Usage: enter.py SETTINGS, a JSON object: root, home, work (folders of the host), network, filter (a file or empty),
environment, command. The caller is `unshare --mount --net --pid --ipc --fork`.
"""

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

import attempt

UID = 1000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def mount(*words: str) -> None:
    """mount(8), which has to succeed."""
    subprocess.run(["mount", *words], check=True)


def bring_up_loopback() -> None:
    """As ip(8) does for `ip link set lo up`."""
    with socket.socket() as probe:
        request = fcntl.ioctl(probe, SIOCGIFFLAGS, struct.pack("16sH22x", b"lo", 0))
        flags = struct.unpack("16sH22x", request)[1] | IFF_UP
        fcntl.ioctl(probe, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags))


def main(text: str) -> None:
    """Mount, change the root, drop root, load the filter, exec."""
    settings = json.loads(text)
    root = settings["root"]
    program = Path(settings["filter"]).read_bytes() if settings["filter"] else b""
    mount("--make-rprivate", "/")
    if not settings["network"]:
        bring_up_loopback()
    if root == "/":
        mount("-t", "proc", "proc", "/proc")
        home, work = settings["home"], settings["work"]
    else:
        home, work = "/home/dev", "/workspace"
        mount("--bind", root, root)
        mount("-t", "proc", "proc", f"{root}/proc")
        mount("--rbind", "/dev", f"{root}/dev")
        mount("--rbind", "/sys", f"{root}/sys")
        mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", f"{root}/tmp")
        mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", f"{root}/dev/shm")
        mount("--bind", settings["home"], f"{root}{home}")
        mount("--bind", settings["work"], f"{root}{work}")
        if settings["network"]:
            Path(f"{root}/etc/resolv.conf").touch()
            mount("--bind", "/etc/resolv.conf", f"{root}/etc/resolv.conf")
        os.chroot(root)
        os.setgroups([])
        os.setresgid(UID, UID, UID)
        os.setresuid(UID, UID, UID)
    os.chdir(work)
    if program:
        attempt.load_filter(program)
    environment = {"HOME": home, "USER": "dev", **settings["environment"]}
    os.execvpe(settings["command"][0], settings["command"], environment)


if __name__ == "__main__":
    main(sys.argv[1])
