"""Pseudo-terminals: a shell with job control, its size, Ctrl-C."""

import fcntl
import os
import pty
import struct
import termios
import time

child, master = pty.fork()
if not child:
    os.environ["PS1"] = "ready> "
    os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("4H", 33, 99, 0, 0))
told = b""


def until(text: bytes) -> None:
    global told
    end = time.monotonic() + 20
    while text not in told:
        assert time.monotonic() < end, told
        told += os.read(master, 4096)
    told = told[told.index(text) + len(text):]


until(b"ready> ")
os.write(master, b"stty size; tty\n")
until(b"33 99")
until(b"/dev/pts/")
os.write(master, b"sleep 100\n")
time.sleep(1)
os.write(master, b"\x03")
until(b"ready> ")
os.write(master, b"sleep 100 &\njobs; kill %1; wait; echo do''ne\n")
until(b"Running")
until(b"done")
os.write(master, b"exit 5\n")
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
