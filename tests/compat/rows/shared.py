"""Shared memory: POSIX (/dev/shm), System V, and an anonymous mapping shared with a child."""

import ctypes
import mmap
import os
from multiprocessing import shared_memory

libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
libc.shmdt.argtypes = [ctypes.c_void_p]


def by_child(act: object) -> None:
    child = os.fork()
    if not child:
        act()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


block = shared_memory.SharedMemory(create=True, size=1 << 20)
assert os.path.exists(f"/dev/shm/{block.name.lstrip('/')}")
by_child(lambda: block.buf.__setitem__(5, 42))
assert block.buf[5] == 42
block.close()
block.unlink()

anonymous = mmap.mmap(-1, 1 << 20)
by_child(lambda: anonymous.write(b"child"))
assert anonymous[:5] == b"child"

number = libc.shmget(0, 1 << 20, 0o1600)
assert number >= 0, os.strerror(ctypes.get_errno())
place = libc.shmat(number, None, 0)
assert place not in {None, ctypes.c_void_p(-1).value}
by_child(lambda: ctypes.memset(place, 7, 10))
assert ctypes.string_at(place, 10) == b"\7" * 10
assert libc.shmdt(place) == 0
assert libc.shmctl(number, 0, None) == 0
