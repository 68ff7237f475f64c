"""The shipped BPF programs: made from the tables, well formed, and run over every call number of every entry point."""

import random
import re
from itertools import product

import bpf
import demanded
import make_bpf
import pytest
from hypothesis import given
from hypothesis import strategies as st

ARCHITECTURES = ("x86_64", "aarch64")
KINDS = ("session", "outer")
FOREIGN = {"x86_64": ("i386", "aarch64", "arm"), "aarch64": ("arm", "x86_64", "i386")}
# what callers put into 32-bit arguments to slip past a filter that compares 64 bits
HIGH_BITS = (0, 1 << 32, 1 << 63, 0xFFFFFFFF << 32)


def shipped(kind: str, arch: str) -> list[bpf.Instruction]:
    """A program of data/, decoded."""
    return bpf.decode((demanded.DATA / f"{kind}-{arch}.bpf").read_bytes())


def errno_of(program: list[bpf.Instruction], arch: str, number: int, arguments: tuple[int, ...] = ()) -> int:
    """What a call gets: 0 for "goes ahead", else the errno; anything else fails."""
    value = bpf.run(program, arch=bpf.ARCHITECTURES[arch], number=number, arguments=arguments)
    if value == bpf.ALLOW:
        return 0
    assert value & 0xFFFF0000 == bpf.ERRNO, hex(value)
    return value & 0xFFFF


def wanted(kind: str, arch: str, number: int, arguments: tuple[int, ...]) -> int:
    """What the tables say about a call."""
    row = demanded.numbers(arch).get(number)
    arguments = (*arguments, *([0] * (6 - len(arguments))))
    if kind == "session":
        return demanded.of_box(row, arguments, target="session")
    return demanded.of_outer(row.name if row else "", number, arguments)


def test_files_are_what_the_tables_compile_to() -> None:
    made = make_bpf.programs()
    assert sorted(made) == sorted(path.name for path in demanded.DATA.glob("*.bpf"))
    for name, program in made.items():
        assert (demanded.DATA / name).read_bytes() == program, f"{name} is stale: run tests/tools/make_bpf.py"


@pytest.mark.parametrize(("kind", "arch"), list(product(KINDS, ARCHITECTURES)))
def test_every_number_gets_what_the_tables_say(kind: str, arch: str) -> None:
    """All numbers of the native entry: one in each range that the program can tell apart, and all below 1024 anyway."""
    program, table = shipped(kind, arch), demanded.numbers(arch)
    verdicts = {row[0]: row[1] for row in demanded.table("outer.tsv")[1:]}
    tried = sorted({*bpf.number_bounds(program), *range(1024)})
    for number in tried:
        row = table.get(number)
        name = row.name if row else ""
        if (row.verdict if row and kind == "session" else verdicts.get(name)) == "args":
            continue  # below
        if number >= bpf.X32_BIT:
            continue  # x32, below
        assert errno_of(program, arch, number) == wanted(kind, arch, number, ()), (number, name)
        # without a rule about them, arguments decide nothing
        noise = tuple(random.Random(number).getrandbits(64) for _ in range(6))
        assert errno_of(program, arch, number, noise) == wanted(kind, arch, number, ()), (number, name, noise)


@pytest.mark.parametrize(("kind", "arch"), list(product(KINDS, ARCHITECTURES)))
def test_x32_and_huge_numbers_are_refused(kind: str, arch: str) -> None:
    program = shipped(kind, arch)
    numbers = [number | bpf.X32_BIT for number in range(1024)]
    numbers += [number for number in bpf.number_bounds(program) if number >= bpf.X32_BIT]
    for number in numbers:
        got = errno_of(program, arch, number)
        if number == 0xFFFFFFFF and (kind, arch) == ("outer", "x86_64"):
            assert got == 0  # number -1: what tracers leave for "skipped"; the kernel itself has no such call
        else:
            assert got != 0, hex(number)


@pytest.mark.parametrize(("kind", "arch"), list(product(KINDS, ARCHITECTURES)))
def test_foreign_entry_points_are_refused(kind: str, arch: str) -> None:
    program = shipped(kind, arch)
    for foreign in FOREIGN[arch]:
        for number in {*bpf.number_bounds(program), *range(1024)}:
            assert errno_of(program, foreign, number) in {1, 38}, (foreign, number)


ARGUMENT_RULES = [
    pytest.param(rule, arch, id=f"{rule.filter}-{rule.name}-{arch}")
    for rule in demanded.rules()
    for arch in ARCHITECTURES
    if any(row.name == rule.name for row in demanded.numbers(arch).values())
]


def number_of(name: str, arch: str) -> int:
    return next(number for number, row in demanded.numbers(arch).items() if row.name == name)


def near(rule: demanded.Arguments) -> list[int]:
    """The values that a rule names, those one bit away, and small ones."""
    values = [int(value, 0) for value in rule.values.split(",")]
    flipped = {value ^ 1 << bit for value in values for bit in range(32)}
    return sorted({*values, *flipped, *range(64), int(rule.mask, 16), 0xFFFFFFFF})


@pytest.mark.parametrize(("rule", "arch"), ARGUMENT_RULES)
def test_argument_rules_hold_whatever_the_other_bits_are(rule: demanded.Arguments, arch: str) -> None:
    kind = "session" if rule.filter == "box" else "outer"
    program, number, position = shipped(kind, arch), number_of(rule.name, arch), int(rule.argument)
    outcomes = set()
    for value, high, filling in product(near(rule), HIGH_BITS, (0, 2**64 - 1)):
        arguments = [filling] * 6
        arguments[position] = value | high
        expected = demanded.rule(rule.filter, rule.name).lets(arguments)
        assert errno_of(program, arch, number, tuple(arguments)) == (0 if expected else 1), [hex(a) for a in arguments]
        outcomes.add(expected)
    assert outcomes == {True, False}


@pytest.mark.parametrize(("rule", "arch"), ARGUMENT_RULES)
@given(data=st.data())
def test_argument_rules_hold_for_any_value(rule: demanded.Arguments, arch: str, data: st.DataObject) -> None:
    program = shipped("session" if rule.filter == "box" else "outer", arch)
    arguments = data.draw(st.lists(st.integers(0, 2**64 - 1), min_size=6, max_size=6))
    expected = 0 if rule.lets(arguments) else 1
    assert errno_of(program, arch, number_of(rule.name, arch), tuple(arguments)) == expected


@pytest.mark.parametrize(
    ("name", "argument", "value", "refused"),
    [
        *(("clone", 0, flag, True) for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000)),
        ("clone", 0, 0x40000000, True),
        ("clone", 0, 0x40000000 | 1 << 40, True),
        ("clone", 0, 0x3D0F00, False),  # what pthread_create asks for
        ("clone", 0, 0x1200011, False),  # what fork(3) asks for
        ("ioctl", 1, 0x5412, True),  # TIOCSTI
        ("ioctl", 1, 0x541C, True),  # TIOCLINUX
        ("ioctl", 1, 0xFFFFFFFF00005412, True),
        ("ioctl", 1, 0x5401, False),  # TCGETS
        *(("socket", 0, family, False) for family in (1, 2, 10, 16)),
        *(("socket", 0, family, True) for family in (0, 3, 4, 5, 9, 15, 17, 29, 31, 38, 40, 41, 44, 45)),
        ("socketpair", 0, 17, True),
        *(("personality", 0, persona, False) for persona in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)),
        *(("personality", 0, persona, True) for persona in (0x40000, 0x400000, 0x100000, 6, 0x0800000)),
        ("mknodat", 2, 0x21FF, True),  # a character device
        ("mknodat", 2, 0x61FF, True),  # a block device
        ("mknodat", 2, 0x11FF, False),  # a FIFO
    ],
)
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_well_known_arguments(name: str, argument: int, value: int, refused: bool, arch: str) -> None:
    arguments = [0] * 6
    arguments[argument] = value
    assert errno_of(shipped("session", arch), arch, number_of(name, arch), tuple(arguments)) == int(refused)


@pytest.mark.parametrize(("kind", "arch"), list(product(KINDS, ARCHITECTURES)))
def test_programs_disassemble(kind: str, arch: str) -> None:
    program = shipped(kind, arch)
    lines = bpf.listing(program, {number: row.name for number, row in demanded.numbers(arch).items()})
    assert len(lines) == len(program) > 100
    text = "\n".join(lines)
    assert f"if arch == {bpf.ARCHITECTURES[arch]:#x} goto" in text
    returns = {line[5:].removeprefix("return ") for line in lines if line[5:].startswith("return")}
    assert returns == {"allow", "errno EPERM", "errno ENOSYS"}
    for name in ("ioctl", "clone", "socket") if kind == "session" else ("bpf", "keyctl", "io_uring_setup"):
        assert re.search(rf"if number [=>]+ \d+ goto \d+ else \d+  # {name}$", text, re.MULTILINE), name
    # every fork under gVisor pays for a session's length (docs/performance.md); the kernel's limit is far above both
    assert len(program) < (130 if kind == "session" else 250)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_sessions_get_what_libseccomp_compiles(arch: str) -> None:
    """The program by ranges is not libseccomp's; it says the same to every call, whatever its entry and arguments."""
    mine, its = shipped("session", arch), bpf.decode(make_bpf.session_by_libseccomp(arch))
    numbers = {*bpf.number_bounds(mine), *bpf.number_bounds(its), *range(1024)}
    numbers |= {number | bpf.X32_BIT for number in range(1024)}
    entries = [bpf.ARCHITECTURES[name] for name in (arch, *FOREIGN[arch])]
    looked_at = {number_of(rule.name, arch): near(rule) for rule in demanded.rules() if rule.filter == "box"
                 and rule.name in {row.name for row in demanded.numbers(arch).values()}}  # fmt: skip
    for entry, number in product(entries, sorted(numbers)):
        for value in looked_at.get(number, [0]) if entry == entries[0] else [0]:
            got, wished = (bpf.run(one, arch=entry, number=number, arguments=(value,) * 6) for one in (mine, its))
            assert got == wished, (entry, number, value)


@pytest.mark.parametrize(("kind", "arch"), list(product(KINDS, ARCHITECTURES)))
def test_these_tests_reach_every_instruction(kind: str, arch: str) -> None:
    """Otherwise a wrong one could hide; what no call can reach is only the default after exhaustive argument rules."""
    program, visited = shipped(kind, arch), set[int]()
    for number in {*bpf.number_bounds(program), *range(1024)}:
        bpf.run(program, arch=bpf.ARCHITECTURES[arch], number=number, visited=visited)
    bpf.run(program, arch=0, number=0, visited=visited)
    for rule in demanded.rules():
        if rule.name not in {row.name for row in demanded.numbers(arch).values()}:
            continue
        for value in near(rule):
            arguments = [0] * 6
            arguments[int(rule.argument)] = value
            number = number_of(rule.name, arch)
            bpf.run(program, arch=bpf.ARCHITECTURES[arch], number=number, arguments=arguments, visited=visited)
    missed = [program[place] for place in range(len(program)) if place not in visited]
    assert [one for one in missed if one.code != bpf.GIVE] == []
