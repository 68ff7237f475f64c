"""What the seccomp tables demand of a call, read and applied without aibox's code: tests compare filters with it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

DATA = Path(__file__).resolve().parents[2] / "data"
EPERM, ENOSYS = 1, 38
NEWEST_OF_OUTER = 456


class Row(NamedTuple):
    """A row of data/syscalls.tsv; numbers as text by architecture, `-` for none."""

    name: str
    verdict: str
    since: str
    x86_64: str
    aarch64: str
    why: str


class Arguments(NamedTuple):
    """A row of data/syscall-args.tsv."""

    filter: str
    name: str
    argument: str
    mask: str
    match: str
    values: str
    why: str

    def lets(self, arguments: Sequence[int]) -> bool:
        """Whether a call with these arguments may go on."""
        looked_at = arguments[int(self.argument)] & int(self.mask, 16)
        listed = looked_at in [int(value, 0) for value in self.values.split(",")]
        return listed if self.match == "allow" else not listed


def table(name: str) -> list[list[str]]:
    """The rows of a table, the line of column names first."""
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")]


def calls() -> list[Row]:
    """The rows of data/syscalls.tsv."""
    return [Row(*row) for row in table("syscalls.tsv")[1:]]


def rules() -> list[Arguments]:
    """The rows of data/syscall-args.tsv."""
    return [Arguments(*row) for row in table("syscall-args.tsv")[1:]]


def rule(owner: str, name: str) -> Arguments:
    """The argument rule of a call in one filter."""
    return next(one for one in rules() if (one.filter, one.name) == (owner, name))


def numbers(arch: str) -> dict[int, Row]:
    """The calls of an architecture by number."""
    return {int(number): row for row in calls() if (number := getattr(row, arch)) != "-"}


def of_box(row: Row | None, arguments: Sequence[int], *, target: str) -> int:
    """The errno (0: goes ahead) that a box's call gets; `target` is native, runsc or session."""
    unknown = EPERM if target == "runsc" else ENOSYS  # gVisor's own filter can say nothing else
    if row is None:
        return unknown
    if row.verdict == "args":
        return 0 if rule("box", row.name).lets(arguments) else EPERM
    goes_ahead = {"allow": True, "native": target == "native", "fallback": target == "runsc"}.get(row.verdict, False)
    return 0 if goes_ahead else EPERM if row.verdict == "deny" else unknown


def of_outer(name: str, number: int, arguments: Sequence[int]) -> int:
    """The errno that a call of runsc's own gets from the outer filter."""
    if number > NEWEST_OF_OUTER:
        return ENOSYS
    verdicts = {row[0]: row[1] for row in table("outer.tsv")[1:]}
    match verdicts.get(name):
        case None:
            return 0
        case "args":
            return 0 if rule("outer", name).lets(arguments) else EPERM
    return EPERM
