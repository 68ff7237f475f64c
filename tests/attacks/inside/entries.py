"""Ways into the kernel that a filter for 64-bit calls may not see: 32-bit and x32 calls (x86_64 only)."""

import ctypes
import mmap
import os

from kernel import CLONE_NEWUSER, SCENE, Refused, in_child, raise_from

X32 = 0x40000000
GETPID_32, UNSHARE_32 = 20, 310
GETPID, UNSHARE = 39, 272


def machine_code(code: bytes) -> int:
    """Run machine code that returns in eax."""
    # below 4 GiB, because a 32-bit call takes 32-bit pointers
    place = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40, 7)
    place.write(code)
    function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(place)))
    return int(function())


def entered(code: bytes, what: str) -> str:
    """The result of machine code in a process of its own, so that a signal ends only that."""

    def act() -> None:
        result = machine_code(code)
        if result < 0:
            raise OSError(-result, what)

    raise_from(in_child(act), what)
    return what


def by_int80(number: int, first: int = 0) -> bytes:
    """`push rbx; mov eax, number; mov ebx, first; int 0x80; pop rbx; ret`."""
    return b"\x53\xb8" + number.to_bytes(4, "little") + b"\xbb" + first.to_bytes(4, "little") + b"\xcd\x80\x5b\xc3"


def by_syscall(number: int, first: int = 0) -> bytes:
    """`mov eax, number; mov edi, first; syscall; ret`."""
    return b"\xb8" + number.to_bytes(4, "little") + b"\xbf" + first.to_bytes(4, "little") + b"\x0f\x05\xc3"


def require_machine() -> None:
    """Other processors have other entries."""
    if os.uname().machine != "x86_64":
        raise Refused(f"there is no such entry on {os.uname().machine}")


def int80_getpid() -> str:
    """A harmless 32-bit call."""
    require_machine()
    return entered(by_int80(GETPID_32), "getpid through int 0x80")


def int80_unshare() -> str:
    """A new user namespace by its 32-bit number."""
    require_machine()
    return entered(by_int80(UNSHARE_32, CLONE_NEWUSER), "unshare through int 0x80")


def x32_getpid() -> str:
    """A harmless x32 call, or where the scene says so its plain twin, to show that the machine code is right."""
    require_machine()
    return entered(by_syscall(GETPID | x32_bit()), "getpid as an x32 call")


def x32_unshare() -> str:
    """A new user namespace as an x32 call, or its plain twin."""
    require_machine()
    return entered(by_syscall(UNSHARE | x32_bit(), CLONE_NEWUSER), "unshare as an x32 call")


def x32_bit() -> int:
    """The bit that makes a call an x32 one; 0 in a control run on a kernel without x32."""
    try:
        entered(by_syscall(GETPID | X32), "probe")
    except (OSError, Refused):
        return 0 if SCENE["control"] else X32
    return X32
