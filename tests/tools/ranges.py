"""A seccomp program that decides by ranges of call numbers: libseccomp's verdicts, in far fewer instructions.

gVisor allocates as much as a program is long for each call number whenever a task forks (pkg/sentry/kernel/seccomp.go,
populateCache), so a session's length is what every process that is started in it pays for.
"""

import struct
from collections.abc import Mapping
from typing import NamedTuple

import bpf

from aibox.seccomp import ArgumentRule

LAST_NUMBER = 0xFFFFFFFF
# how many instructions a conditional jump may skip
FARTHEST = 255
LOW_HALF = 16  # offset of the first argument's low half in struct seccomp_data
ALL_BITS = 0xFFFFFFFF


class ByArgument(NamedTuple):
    """A call that one argument decides about, and what it gets if not allowed."""

    rule: ArgumentRule
    refused: int


# what a call gets: what the program returns, or a look at an argument first
Outcome = int | ByArgument


def compile_ranges(arch: str, bad_arch: int, outcomes: Mapping[int, Outcome], default: int) -> bytes:
    """The program: `outcomes` by call number, and `default` for all others. Raises OverflowError if it is too long."""
    firsts = _firsts(outcomes, default)
    if arch == "x86_64":
        # the x32 entry: what libseccomp does there, but for -1, which it takes for a number like others
        firsts += [(bpf.X32_BIT, bad_arch), (LAST_NUMBER, default)]
    program = _Program()
    looks = {outcome for _, outcome in firsts if isinstance(outcome, ByArgument)}
    # from the end, because jumps only go forward: what is returned, looks at arguments, the tree of numbers
    returned = {outcome for _, outcome in firsts if isinstance(outcome, int)} | {bad_arch, bpf.ALLOW}
    for value in sorted(returned | {look.refused for look in looks}):
        program.put(value, bpf.GIVE, value)
    for look in sorted(looks, key=lambda one: one.rule.name):
        _look(program, look)
    _tree(program, firsts)
    program.put(None, bpf.LOAD, bpf.NUMBER)
    program.put(None, bpf.IF_EQUAL, bpf.ARCHITECTURES[arch], no=bad_arch)
    program.put(None, bpf.LOAD, bpf.ARCH)
    return program.code()


def _firsts(outcomes: Mapping[int, Outcome], default: int) -> list[tuple[int, Outcome]]:
    """Where each range of one outcome begins; calls that look at their arguments alike are alike."""
    found: list[tuple[int, Outcome]] = []
    alike: dict[tuple[object, ...], ByArgument] = {}
    for number in range(max(outcomes) + 2):
        outcome = outcomes.get(number, default)
        if isinstance(outcome, ByArgument):
            rule = outcome.rule
            outcome = alike.setdefault((rule.argument, rule.mask, rule.allows, rule.values, outcome.refused), outcome)
        if not found or found[-1][1] != outcome:
            found.append((number, outcome))
    return found


class _Program:
    """Instructions from the last to the first, and where each label stands, counted from the end."""

    def __init__(self) -> None:
        self.backwards: list[bytes] = []
        self.places: dict[object, int] = {}

    def put(self, label: object, code: int, constant: int, yes: object = None, no: object = None) -> None:
        """One instruction before the others; without a label a branch goes on with the next."""
        self.backwards.append(struct.pack("<HBBI", code, self._skip(yes), self._skip(no), constant))
        self.places[label] = len(self.backwards)

    def _skip(self, label: object) -> int:
        distance = len(self.backwards) - self.places[label] if label is not None else 0
        if distance > FARTHEST:
            raise OverflowError(f"a jump over {distance} instructions")
        return distance

    def code(self) -> bytes:
        return b"".join(reversed(self.backwards))


def _look(program: _Program, look: ByArgument) -> None:
    rule = look.rule
    hit, miss = (bpf.ALLOW, look.refused) if rule.allows else (look.refused, bpf.ALLOW)
    after: object = miss
    for value in reversed(rule.values):
        label = (look, value)
        program.put(label, bpf.IF_EQUAL, value, yes=hit, no=after)
        after = label
    if rule.mask != ALL_BITS:
        program.put((look, "mask"), bpf.AND, rule.mask)
    program.put(look, bpf.LOAD, LOW_HALF + 8 * rule.argument)


def _tree(program: _Program, firsts: list[tuple[int, Outcome]]) -> object:
    """A balanced tree over the ranges; the label of its root, which of two or more ranges is what was put last."""
    if len(firsts) == 1:
        return firsts[0][1]
    middle = len(firsts) // 2
    right = _tree(program, firsts[middle:])
    left = _tree(program, firsts[:middle])
    label = ("from", firsts[middle][0])
    program.put(label, bpf.IF_GREATER_EQUAL, firsts[middle][0], yes=right, no=left)
    return label
