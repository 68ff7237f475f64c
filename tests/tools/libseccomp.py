"""libseccomp through ctypes: resolves names and compiles filters. Needs libseccomp.so.2, which runc and crun bring."""

import ctypes
import errno
import os
from collections.abc import Sequence

ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOW = 0x7FFF0000
ERRNO = 0x00050000
MASKED_EQUAL = 7
ATTRIBUTE_BAD_ARCHITECTURE = 2
ATTRIBUTE_OPTIMIZE = 8
BINARY_TREE = 2
NO_SUCH_NAME = -1
Tests = Sequence[tuple[int, int, int]]


class _Comparison(ctypes.Structure):
    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


class _Version(ctypes.Structure):
    _fields_ = (("major", ctypes.c_uint), ("minor", ctypes.c_uint), ("micro", ctypes.c_uint))


def load() -> ctypes.CDLL:
    """The library with its signatures. Raises SystemExit that says what to install."""
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        raise SystemExit("libseccomp.so.2 is missing: apt-get install libseccomp2") from error
    library.seccomp_version.restype = ctypes.POINTER(_Version)
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_release.argtypes = [ctypes.c_void_p]
    library.seccomp_release.restype = None
    library.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
    library.seccomp_arch_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.seccomp_arch_remove.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.seccomp_arch_exist.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(_Comparison)
    ]  # fmt: skip
    library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    library.seccomp_syscall_resolve_name_arch.argtypes = [ctypes.c_uint32, ctypes.c_char_p]
    library.seccomp_syscall_resolve_num_arch.argtypes = [ctypes.c_uint32, ctypes.c_int]
    library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_char_p
    return library


def version() -> str:
    """The library's version, as 2.5.4."""
    found = load().seccomp_version().contents
    return f"{found.major}.{found.minor}.{found.micro}"


def number(name: str, arch: str) -> int:
    """The number of a system call; NO_SUCH_NAME if the library does not know it, below that if `arch` lacks it."""
    return int(load().seccomp_syscall_resolve_name_arch(ARCH[arch], name.encode()))


def names(arch: str) -> dict[int, str]:
    """Every call that the library has a name for, by number."""
    library = load()
    found = {n: library.seccomp_syscall_resolve_num_arch(ARCH[arch], n) for n in range(1024)}
    return {n: name.decode() for n, name in found.items() if name}


def compile_filter(arch: str, default: int, bad_arch: int, rules: Sequence[tuple[str, int, Tests]]) -> bytes:
    """A filter for one architecture as BPF instructions. Raises OSError with the library's reason.

    A rule is a name, its action and masked-equal tests (argument, mask, value), all of which must hold.
    """
    library = load()
    context = library.seccomp_init(default)
    try:
        for native in ARCH.values():
            if native != ARCH[arch] and library.seccomp_arch_exist(context, native) == 0:
                _check(library.seccomp_arch_add(context, ARCH[arch]), "seccomp_arch_add")
                _check(library.seccomp_arch_remove(context, native), "seccomp_arch_remove")
        _check(library.seccomp_attr_set(context, ATTRIBUTE_BAD_ARCHITECTURE, bad_arch), "bad architecture")
        _check(library.seccomp_attr_set(context, ATTRIBUTE_OPTIMIZE, BINARY_TREE), "optimize")
        for name, action, tests in rules:
            call = library.seccomp_syscall_resolve_name(name.encode())
            if call == NO_SUCH_NAME:
                raise OSError(errno.ENOENT, f"libseccomp {version()} does not know {name}")
            comparisons = (_Comparison * len(tests))(
                *(_Comparison(i, MASKED_EQUAL, mask, value) for i, mask, value in tests)
            )
            _check(library.seccomp_rule_add_array(context, action, call, len(tests), comparisons), name)
        return _export(library, context)
    finally:
        library.seccomp_release(context)


def _export(library: ctypes.CDLL, context: int) -> bytes:
    handle = os.memfd_create("bpf")
    try:
        _check(library.seccomp_export_bpf(context, handle), "seccomp_export_bpf")
        return os.pread(handle, os.fstat(handle).st_size, 0)
    finally:
        os.close(handle)


def _check(result: int, what: str) -> None:
    if result < 0:
        raise OSError(-result, f"libseccomp: {what}: {os.strerror(-result)}")
