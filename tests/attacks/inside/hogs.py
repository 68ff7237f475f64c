"""Taking more of memory, disk and processes than a box is given."""

import contextlib
import os
import signal

from kernel import Refused


def fill(folder: str, size: int) -> str:
    """Put `size` bytes into a file there."""
    path = f"{folder}/attack-fill"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
        return f"{os.fstat(descriptor).st_size >> 20} MiB in {folder}"
    finally:
        os.close(descriptor)
        os.unlink(path)


def fill_tmp() -> str:
    """More than 2 GiB."""
    return fill("/tmp", (2 << 30) + (64 << 20))


def fill_var_tmp() -> str:
    """More than 1 GiB."""
    return fill("/var/tmp", (1 << 30) + (64 << 20))


def fill_shm() -> str:
    """More than what the box was started with."""
    return fill("/dev/shm", 80 << 20)


def forks(count: int) -> str:
    """Make `count` processes that stay."""
    children = []
    try:
        for _ in range(count):
            child = os.fork()
            if child == 0:
                signal.pause()
                os._exit(0)
            children.append(child)
        return f"{count} processes at once"
    finally:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def fork_bomb() -> str:
    """More processes than the box was started with."""
    return forks(150)


def memory() -> str:
    """More memory than the box was started with."""
    piece, held = 16 << 20, []
    for _ in range(40):
        held.append(os.urandom(16) * (piece // 16))
    if len(held) != 40:
        raise Refused("less")
    return f"{40 * piece >> 20} MiB"


def core_dump() -> str:
    """Leave a core file: a program that crashes must not write the host's disk full."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard == 0:
        try:
            resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20))
        except ValueError as error:
            raise PermissionError(1, "not allowed") from error
    return f"core files of up to {max(soft, hard, 1 << 20)} bytes"
