"""The seccomp filters: what the tables in data/ mean, and the profiles that engines read.

Pure. One table says what a box may call; from it come the profile for runc and crun, the one for gVisor, and (by
tests/tools/make_bpf.py) the program that is loaded into sessions. A second table is the outer filter around runsc.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from aibox import assets, jsonview
from aibox.jsonview import Json

ALLOW = "SCMP_ACT_ALLOW"
ERRNO = "SCMP_ACT_ERRNO"
MASKED_EQUAL = "SCMP_CMP_MASKED_EQ"
EPERM = 1
ENOSYS = 38
ARCHITECTURES = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}

# what a call without arguments rules returns in each filter, 0 for "goes ahead": `native` is the profile of runc and
# crun, `runsc` gVisor's own OCI filter (every error there is EPERM, whatever the profile says), `session` the program
# for gVisor's sessions, whose ENOSYS outranks that EPERM because it is loaded later
TARGETS = ("native", "runsc", "session")
VERDICTS: dict[str, tuple[int, int, int]] = {
    "allow": (0, 0, 0),
    "args": (EPERM, EPERM, EPERM),
    "deny": (EPERM, EPERM, EPERM),
    "absent": (ENOSYS, EPERM, ENOSYS),
    "native": (0, EPERM, ENOSYS),
    "fallback": (ENOSYS, 0, ENOSYS),
}


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


def box_rules(target: str) -> list[Rule]:
    """The rules of a box's filter, in the table's order; a call that they leave out gets `default_errno`.

    No two rules of a name overlap: engines and libseccomp differ in which of them would win.
    """
    default, arguments = default_errno(target), argument_rules("box")
    rules: list[Rule] = []
    for call in syscalls():
        errno = VERDICTS[call.verdict][TARGETS.index(target)]
        if call.verdict == "args":
            rule = arguments[call.name]
            rules += [Rule(call.name, 0, (test,)) for test in argument_tests(rule, allowed=True)]
            if errno != default:
                rules += [Rule(call.name, errno, (test,)) for test in argument_tests(rule, allowed=False)]
        elif errno != default:
            rules.append(Rule(call.name, errno))
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


def default_errno(target: str) -> int:
    """The error of a call that no rule names: the one of an absent call."""
    return VERDICTS["absent"][TARGETS.index(target)]


def profile(runtime: str) -> dict[str, Json]:
    """The profile in the engines' JSON form: `native` for runc and crun, `runsc` for gVisor's own OCI filter.

    The architectures stand in a map without sub-architectures: 32-bit and x32 entry points are never allowed.
    """
    grouped: dict[tuple[int, tuple[tuple[int, int, int], ...]], list[Json]] = {}
    for rule in box_rules(runtime):
        grouped.setdefault((rule.errno, rule.tests), []).append(rule.name)
    if runtime == "native":
        # by name as well as by default: Docker 20.10 reads only a rule's number, and libc needs these
        grouped[ENOSYS, ()] = [call.name for call in syscalls() if call.verdict == "fallback"]
    return {
        "defaultAction": ERRNO,
        "defaultErrnoRet": default_errno(runtime),
        "archMap": [{"architecture": arch, "subArchitectures": []} for arch in ARCHITECTURES.values()],
        "syscalls": [_json_rule(errno, tests, names) for (errno, tests), names in grouped.items()],
    }


def content(runtime: str) -> bytes:
    """The profile's file as setup writes it, for a kind of runtime."""
    return (jsonview.dump(profile("runsc" if runtime == "runsc" else "native")) + "\n").encode()


def _json_rule(errno: int, tests: tuple[tuple[int, int, int], ...], names: list[Json]) -> dict[str, Json]:
    rule: dict[str, Json] = {"names": names, "action": ERRNO if errno else ALLOW}
    if errno:
        rule["errnoRet"] = errno
    if tests:
        rule["args"] = [
            {"index": index, "value": mask, "valueTwo": value, "op": MASKED_EQUAL} for index, mask, value in tests
        ]
    return rule
