#!/usr/bin/env python3
"""Classic BPF as seccomp uses it: decode, judge as the kernel's checker does, run, and list with names.

`bpf.py data/session-x86_64.bpf` prints a program for review. Source: kernel net/core/filter.c and kernel/seccomp.c.
"""

import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

# struct seccomp_data: int nr; u32 arch; u64 instruction_pointer; u64 args[6], little-endian here
NUMBER, ARCH, DATA_SIZE = 0, 4, 64
FIELDS = {NUMBER: "number", ARCH: "arch", 8: "ip.low", 12: "ip.high"} | {
    16 + 8 * index + 4 * half: f"arg{index}.{'high' if half else 'low'}" for index in range(6) for half in (0, 1)
}
LOAD, JUMP, IF_EQUAL, IF_GREATER, IF_GREATER_EQUAL, AND, GIVE = 0x20, 0x05, 0x15, 0x25, 0x35, 0x54, 0x06
BRANCHES = {IF_EQUAL: "==", IF_GREATER: ">", IF_GREATER_EQUAL: ">="}
MAX_INSTRUCTIONS = 4096
ACTIONS = {0x7FFF0000: "allow", 0x00050000: "errno"}
ERRORS = {1: "EPERM", 38: "ENOSYS"}
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
ARCHITECTURES = {"x86_64": 0xC000003E, "i386": 0x40000003, "aarch64": 0xC00000B7, "arm": 0x40000028}
X32_BIT = 0x40000000


class Instruction(NamedTuple):
    """struct sock_filter: code, jumps if true and false, and the constant."""

    code: int
    yes: int
    no: int
    constant: int


class MalformedError(Exception):
    """A program that the kernel would refuse, or that uses what these filters never use."""


def decode(program: bytes) -> list[Instruction]:
    """The instructions of a program. Raises MalformedError for what the kernel's checker refuses."""
    if not program or len(program) % 8 or len(program) // 8 > MAX_INSTRUCTIONS:
        raise MalformedError(f"{len(program)} bytes are not 1 to {MAX_INSTRUCTIONS} instructions")
    found = [Instruction(*fields) for fields in struct.iter_unpack("<HBBI", program)]
    for place, one in enumerate(found):
        left = len(found) - place - 1
        if one.code == LOAD and (one.constant % 4 or one.constant >= DATA_SIZE):
            raise MalformedError(f"{place}: reads outside of seccomp_data")
        if one.code == JUMP and one.constant >= left:
            raise MalformedError(f"{place}: jumps out of the program")
        if one.code in BRANCHES and max(one.yes, one.no) >= left:
            raise MalformedError(f"{place}: jumps out of the program")
        if one.code not in (LOAD, JUMP, AND, GIVE, *BRANCHES):
            raise MalformedError(f"{place}: code {one.code:#x}")
    if found[-1].code != GIVE:
        raise MalformedError("the last instruction does not return")
    return found


def run(
    program: Sequence[Instruction],
    *,
    arch: int,
    number: int,
    arguments: Sequence[int] = (),
    visited: set[int] | None = None,
) -> int:
    """What the filter returns for a call (number and arch as unsigned 32 bits, arguments as unsigned 64 bits).

    The places of the executed instructions are added to `visited`.
    """
    data = struct.pack("<IIQ6Q", number, arch, 0, *(*arguments, *([0] * (6 - len(arguments)))))
    place = accumulator = 0
    while True:
        code, yes, no, constant = program[place]
        if visited is not None:
            visited.add(place)
        place += 1
        if code == LOAD:
            accumulator = int.from_bytes(data[constant : constant + 4], "little")
        elif code == GIVE:
            return constant
        elif code == JUMP:
            place += constant
        elif code == AND:
            accumulator &= constant
        elif code == IF_EQUAL:
            place += yes if accumulator == constant else no
        elif code == IF_GREATER:
            place += yes if accumulator > constant else no
        else:
            place += yes if accumulator >= constant else no


def held_fields(program: Sequence[Instruction]) -> list[set[int]]:
    """For each instruction the fields (their offsets) that the accumulator may hold there."""
    held: list[set[int]] = [set() for _ in program]
    for place, one in enumerate(program):
        after = {one.constant} if one.code == LOAD else held[place]
        if one.code == GIVE:
            targets: tuple[int, ...] = ()
        elif one.code == JUMP:
            targets = (one.constant,)
        else:
            targets = (one.yes, one.no) if one.code in BRANCHES else (0,)
        for target in targets:  # all jumps go forward, so one pass is enough
            held[place + 1 + target] |= after
    return held


def number_bounds(program: Sequence[Instruction]) -> list[int]:
    """Numbers of which one lies in every range that the program can tell apart, so that running these runs all 2**32.

    Raises MalformedError if the number is looked at in another way than by comparing it whole.
    """
    bounds = {0, 0xFFFFFFFF}
    for one, fields in zip(program, held_fields(program), strict=True):
        if one.code == AND and NUMBER in fields:
            raise MalformedError("the number is masked")
        if one.code in BRANCHES and NUMBER in fields:
            bounds.update(value & 0xFFFFFFFF for value in (one.constant - 1, one.constant, one.constant + 1))
    return sorted(bounds)


def action(value: int) -> str:
    """What a return value means, as `allow` or `errno EPERM`."""
    kind, detail = value & 0xFFFF0000, value & 0xFFFF
    if kind == ERRNO:
        return f"errno {ERRORS.get(detail, detail)}"
    return ACTIONS.get(kind, f"{value:#010x}")


def listing(program: Sequence[Instruction], names: Mapping[int, str]) -> list[str]:
    """One line for each instruction; jump targets are line numbers, compared numbers carry their names."""
    lines = []
    for place, (one, fields) in enumerate(zip(program, held_fields(program), strict=True)):
        if one.code == LOAD:
            text = f"load {FIELDS[one.constant]}"
        elif one.code == AND:
            text = f"and {one.constant:#x}"
        elif one.code == GIVE:
            text = f"return {action(one.constant)}"
        elif one.code == JUMP:
            text = f"goto {place + 1 + one.constant}"
        else:
            field = "|".join(FIELDS[name] for name in sorted(fields))
            constant = f"{one.constant}" if fields == {NUMBER} and one.constant < X32_BIT else f"{one.constant:#x}"
            text = f"if {field} {BRANCHES[one.code]} {constant} goto {place + 1 + one.yes} else {place + 1 + one.no}"
            if fields == {NUMBER} and one.constant in names:
                text += f"  # {names[one.constant]}"
        lines.append(f"{place:4} {text}")
    return lines


def main(path: str) -> int:
    """Print the program in a file that is named KIND-ARCH.bpf."""
    file = Path(path)
    arch = file.stem.partition("-")[2]
    table = Path(__file__).resolve().parents[2] / "data" / "syscalls.tsv"
    rows = [line.split("\t") for line in table.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    column = rows[0].index(arch)
    names = {int(row[column]): row[0] for row in rows[1:] if row[column] != "-"}
    print("\n".join(listing(decode(file.read_bytes()), names)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
