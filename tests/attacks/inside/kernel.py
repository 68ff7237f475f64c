"""System calls by number, and small helpers that the attempts share."""

import contextlib
import ctypes
import os
import signal
from collections.abc import Callable

SCENE: dict[str, object] = {}  # what the outside tells; see run.py
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18


def text(name: str) -> str:
    """A word of the scene."""
    return str(SCENE[name])


def number(name: str) -> int:
    """A number of the scene."""
    return int(str(SCENE[name]))


def texts(name: str) -> list[str]:
    """A list of the scene."""
    found = SCENE[name]
    assert isinstance(found, list)
    return [str(item) for item in found]


class Refused(Exception):  # noqa: N818 - it is what the attempt meets, and no error of the program
    """The attempt was stopped by something else than an error of the kernel; the text says by what."""


def number_of(name: str) -> int:
    """The number of a system call on this machine."""
    calls = SCENE["calls"]
    assert isinstance(calls, dict)
    return int(calls[name])


def call(name: str, *arguments: object) -> int:
    """The system call `name`. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    result = int(libc.syscall(ctypes.c_long(number_of(name)), *words))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


def new_namespaces(flags: int) -> None:
    """Become root of a new user namespace with further namespaces if that works: how exploits gain capabilities."""
    uid, gid = os.getuid(), os.getgid()
    try:
        call("unshare", CLONE_NEWUSER | flags)
    except OSError:
        with contextlib.suppress(OSError):  # a root that has the capability needs no user namespace
            call("unshare", flags)
        return
    for name, content in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with contextlib.suppress(OSError), open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(content)


def with_child(act: Callable[[int], str]) -> str:
    """`act` on a process of our own that just waits."""
    child = os.fork()
    if child == 0:
        signal.pause()
    try:
        return act(child)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def in_child(act: Callable[[], object]) -> int:
    """The wait status of a process that does `act` and exits with 0, or with the error's number."""
    child = os.fork()
    if child == 0:
        try:
            act()
        except OSError as error:
            os._exit(error.errno or 255)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def raise_from(status: int, what: str) -> None:
    """Raise what `in_child` met, if it met something."""
    code = os.waitstatus_to_exitcode(status)
    if code > 0:
        raise OSError(code, what)
    if code < 0:
        raise Refused(signal.Signals(-code).name)
