"""The seccomp filters: what the tables in data/ mean, and the profiles that engines read.

Pure. One table says what a box may call; from it come the profile for runc and crun, the one for gVisor, and (by
tests/tools/make_bpf.py) the program that is loaded into sessions. A second table is the outer filter around runsc.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from aibox import assets
from aibox.jsonview import Json

ALLOW = "SCMP_ACT_ALLOW"
ERRNO = "SCMP_ACT_ERRNO"
MASKED_EQUAL = "SCMP_CMP_MASKED_EQ"
EPERM = 1
ENOSYS = 38
RUNTIMES = ("native", "runsc")
ARCHITECTURES = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}


class Syscall(NamedTuple):
    """A row of data/syscalls.tsv. `numbers` has no entry for an architecture that lacks the call."""

    name: str
    verdict: str
    since: str
    numbers: dict[str, int]
    why: str


class ArgumentRule(NamedTuple):
    """A row of data/syscall-args.tsv: only the bits of `mask` count; `allows` says what a match means."""

    name: str
    argument: int
    mask: int
    allows: bool
    values: tuple[int, ...]
    why: str

    def permits(self, argument: int) -> bool:
        """Whether the call may go ahead with this 64-bit argument."""
        return (argument & self.mask in self.values) is self.allows


class Rule(NamedTuple):
    """One rule of a filter: `errno` 0 allows; `tests` is empty or one (argument, mask, value) that must hold."""

    name: str
    errno: int
    tests: tuple[tuple[int, int, int], ...] = ()


def syscalls() -> tuple[Syscall, ...]:
    """Every Linux system call of x86_64 and aarch64 with its verdict."""
    return tuple(
        Syscall(name, verdict, since, {arch: int(n) for arch, n in (("x86_64", x), ("aarch64", a)) if n != "-"}, why)
        for name, verdict, since, x, a, why in rows(assets.text("syscalls.tsv"))
    )


def argument_rules(which: str) -> dict[str, ArgumentRule]:
    """The argument rules of one filter, `box` or `outer`, by name."""
    return {
        name: ArgumentRule(
            name, int(argument), int(mask, 0), match == "allow", tuple(int(v, 0) for v in values.split(",")), why
        )
        for owner, name, argument, mask, match, values, why in rows(assets.text("syscall-args.tsv"))
        if owner == which
    }


def rows(table: str) -> Iterator[list[str]]:
    """The rows of a tab-separated table without its comments and its line of names."""
    lines = [line for line in table.splitlines() if line and not line.startswith("#")]
    return (line.split("\t") for line in lines[1:])


def complement(values: Iterable[int], mask: int) -> list[tuple[int, int]]:
    """Disjoint (mask, value) tests that hold for exactly the arguments whose masked bits are none of `values`.

    Filters can only ask "equal under a mask"; "not equal" compares all 64 bits, which a caller passes by setting one
    that the kernel ignores.
    """
    tests = []
    branches = [(0, 0, sorted(set(values)))]
    for bit in (1 << position for position in reversed(range(64)) if mask >> position & 1):
        split = []
        for tested, value, inside in branches:
            for side in (0, bit):
                members = [member for member in inside if member & bit == side]
                if members:
                    split.append((tested | bit, value | side, members))
                else:
                    tests.append((tested | bit, value | side))
        branches = split
    return tests


def argument_tests(rule: ArgumentRule, *, allowed: bool) -> list[tuple[int, int, int]]:
    """The tests, one of which holds exactly if the rule allows (or else refuses) the call."""
    if rule.allows is allowed:
        return [(rule.argument, rule.mask, value) for value in rule.values]
    return [(rule.argument, mask, value) for mask, value in complement(rule.values, rule.mask)]


def box_rules(runtime: str) -> list[Rule]:
    """The rules for a box under `runtime`, in the table's order; what they leave out gets `default_errno`.

    No two rules of a name overlap: engines and libseccomp differ in which of them would win.
    """
    default = default_errno(runtime)
    arguments = argument_rules("box")
    rules: list[Rule] = []
    for call in syscalls():
        if call.verdict == "allow" or (call.verdict == "fallback" and default == EPERM):
            rules.append(Rule(call.name, 0))
        elif call.verdict == "args":
            rule = arguments[call.name]
            rules += [Rule(call.name, 0, (test,)) for test in argument_tests(rule, allowed=True)]
            if default != EPERM:
                rules += [Rule(call.name, EPERM, (test,)) for test in argument_tests(rule, allowed=False)]
        elif call.verdict == "deny" and default != EPERM:
            rules.append(Rule(call.name, EPERM))
        elif call.verdict == "fallback":
            # said by name too: Docker 20.10 does not know the default's number
            rules.append(Rule(call.name, ENOSYS))
    return rules


def outer_rules() -> list[Rule]:
    """The refusals of the outer filter around runsc; everything else is allowed."""
    arguments = argument_rules("outer")
    rules: list[Rule] = []
    for name, verdict, _why in rows(assets.text("outer.tsv")):
        if verdict == "args":
            rules += [Rule(name, EPERM, (test,)) for test in argument_tests(arguments[name], allowed=False)]
        else:
            rules.append(Rule(name, EPERM))
    return rules


def default_errno(runtime: str) -> int:
    """The error of a call that no rule names. runsc turns every number into EPERM (its conversion ignores it)."""
    if runtime not in RUNTIMES:
        raise ValueError(f"no seccomp profile for {runtime}")
    return EPERM if runtime == "runsc" else ENOSYS


def profile(runtime: str) -> dict[str, Json]:
    """The profile in the engines' JSON form: `native` for runc and crun, `runsc` for gVisor's own OCI filter.

    The architectures stand in a map without sub-architectures: 32-bit and x32 entry points are never allowed.
    """
    default = default_errno(runtime)
    grouped: dict[tuple[int, tuple[tuple[int, int, int], ...]], list[Json]] = {}
    for rule in box_rules(runtime):
        grouped.setdefault((rule.errno, rule.tests), []).append(rule.name)
    return {
        "defaultAction": ERRNO,
        "defaultErrnoRet": default,
        "archMap": [{"architecture": arch, "subArchitectures": []} for arch in ARCHITECTURES.values()],
        "syscalls": [_json_rule(errno, tests, names) for (errno, tests), names in grouped.items()],
    }


def _json_rule(errno: int, tests: tuple[tuple[int, int, int], ...], names: list[Json]) -> dict[str, Json]:
    rule: dict[str, Json] = {"names": names, "action": ERRNO if errno else ALLOW}
    if errno:
        rule["errnoRet"] = errno
    if tests:
        rule["args"] = [
            {"index": index, "value": mask, "valueTwo": value, "op": MASKED_EQUAL} for index, mask, value in tests
        ]
    return rule
