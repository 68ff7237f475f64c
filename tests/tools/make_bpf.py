#!/usr/bin/env python3
"""Compile the tables in data/ to the BPF programs that ship: `make_bpf.py` writes data/*.bpf, `--check` compares.

session-ARCH.bpf is the box's filter for exec sessions under gVisor; outer-ARCH.bpf lies around runsc on the host.
"""

import argparse
import struct
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import libseccomp  # noqa: E402
import ranges  # noqa: E402

from aibox import seccomp  # noqa: E402

# An error, not a kill: gVisor's stubs trap every call of the box with SECCOMP_RET_TRAP, which outranks an error but
# not a kill, so a box that tries a 32-bit call would otherwise lose its Sentry.
BAD_ARCHITECTURE = libseccomp.ERRNO | seccomp.EPERM
X32_BIT = 0x40000000
# futex_requeue of Linux 6.7: the last call that libseccomp 2.5.4 (Debian 12) has a name for, and what made the files
NEWEST = 456
MADE_WITH = "2.5.4"


def session(arch: str, without: str = "", errno: int = seccomp.ENOSYS) -> bytes:
    """The box's rules with ENOSYS for what they do not name; a call that is named here gets `errno` instead."""
    target = seccomp.TARGETS.index("session")
    arguments = seccomp.argument_rules("box")
    outcomes: dict[int, ranges.Outcome] = {}
    for call in seccomp.syscalls():
        if arch in call.numbers:
            given = _given(seccomp.VERDICTS[call.verdict][target])
            by_argument = call.verdict == "args"
            outcomes[call.numbers[arch]] = ranges.ByArgument(arguments[call.name], given) if by_argument else given
            if call.name == without:
                outcomes[call.numbers[arch]] = _given(errno)
    return ranges.compile_ranges(arch, BAD_ARCHITECTURE, outcomes, _given(seccomp.default_errno("session")))


def session_by_libseccomp(arch: str) -> bytes:
    """The same rules as libseccomp compiles them: what the tests compare with."""
    return _compile(arch, _given(seccomp.default_errno("session")), seccomp.box_rules("session"))


def outer(arch: str) -> bytes:
    """The refusals around runsc, and ENOSYS for calls newer than the table's author could name."""
    return _refuse_newer(arch, NEWEST) + _compile(arch, libseccomp.ALLOW, seccomp.outer_rules())


def _refuse_newer(arch: str, newest: int) -> bytes:
    # libseccomp has no words for "any number above"; jumps are relative, so this can stand before its program
    load_number, jump_greater_equal, jump_greater, give = 0x20, 0x35, 0x25, 0x06
    # x32 numbers are left to libseccomp's own part, which refuses them
    past_x32 = [(jump_greater_equal, 2, 0, X32_BIT)] if arch == "x86_64" else []
    instructions = [
        (load_number, 0, 0, 0),
        *past_x32,
        (jump_greater, 0, 1, newest),
        (give, 0, 0, libseccomp.ERRNO | seccomp.ENOSYS),
    ]
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in instructions)


def _given(errno: int) -> int:
    return libseccomp.ERRNO | errno if errno else libseccomp.ALLOW


def _compile(arch: str, default: int, rules: list[seccomp.Rule]) -> bytes:
    return libseccomp.compile_filter(
        arch, default, BAD_ARCHITECTURE, [(rule.name, _given(rule.errno), rule.tests) for rule in rules]
    )


def programs() -> dict[str, bytes]:
    """Every program by its file name under data/."""
    makers = {"session": session, "outer": outer}
    return {f"{kind}-{arch}.bpf": make(arch) for kind, make in makers.items() for arch in libseccomp.ARCH}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the files, write nothing")
    check = parser.parse_args().check
    different = 0
    for name, program in programs().items():
        path = ROOT / "data" / name
        same = path.exists() and path.read_bytes() == program
        different += not same
        if not check:
            path.write_bytes(program)
        print(f"{name}: {len(program) // 8} instructions, {'as it was' if same else 'different'}")
    return 1 if check and different else 0


if __name__ == "__main__":
    sys.exit(main())
