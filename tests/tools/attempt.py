#!/usr/bin/env python3
"""Makes system calls by number, each in a child of its own, and prints how each ended, as JSON.

Usage: attempt.py [--filter FILE.bpf] < attempts.json     [[entry, number, [argument, ...]], ...]
entry: `native`, or `i386` (int 0x80 on x86_64). Arguments are numbers or text; text becomes a pointer to it.
Each outcome is the errno, 0 for success, or the negative number of the signal that ended the child.
"""

import contextlib
import ctypes
import json
import mmap
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

SECONDS = 2
PR_SET_NO_NEW_PRIVS, SECCOMP_SET_MODE_FILTER = 38, 1
PRCTL_SECCOMP = {"x86_64": (157, 317), "aarch64": (167, 277)}
# push rbx; mov eax, edi; xor ebx, ebx; xor ecx, ecx; xor edx, edx; int 0x80; pop rbx; ret
INT_80 = bytes.fromhex("53 89f8 31db 31c9 31d2 cd80 5b c3")
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long


def load_filter(program: bytes) -> None:
    """Set no_new_privs and put a filter on this process. Raises OSError."""

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))

    prctl, seccomp = PRCTL_SECCOMP[os.uname().machine]
    wanted = Program(len(program) // 8, program)
    one, zero = ctypes.c_long(1), ctypes.c_long(0)
    if LIBC.syscall(ctypes.c_long(prctl), ctypes.c_long(PR_SET_NO_NEW_PRIVS), one, zero, zero, zero) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")
    if LIBC.syscall(ctypes.c_long(seccomp), ctypes.c_long(SECCOMP_SET_MODE_FILTER), zero, ctypes.byref(wanted)) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


def native(number: int, arguments: Sequence[int | str]) -> int:
    """The errno of a call through this architecture's own entry."""
    words = [ctypes.c_char_p(word.encode()) if isinstance(word, str) else ctypes.c_ulong(word) for word in arguments]
    ctypes.set_errno(0)
    return ctypes.get_errno() if LIBC.syscall(ctypes.c_long(number), *words) == -1 else 0


def i386(number: int) -> int:
    """The errno of a call, with zeros for arguments, through the 32-bit entry."""
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(INT_80)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    result = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(address)(number)
    return -result if result < 0 else 0


def outcome(entry: str, number: int, arguments: Sequence[int | str]) -> int:
    """How a call ended, made in a child that has neither terminal nor standard files to harm."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(OSError):
            os.setsid()
            signal.alarm(SECONDS)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os._exit(native(number, arguments) if entry == "native" else i386(number))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(words: Sequence[str]) -> int:
    """Load the filter, make the attempts."""
    attempts = json.load(sys.stdin)
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    if words and words[0] == "--filter":
        load_filter(Path(words[1]).read_bytes())
    print(json.dumps([outcome(*attempt) for attempt in attempts]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
