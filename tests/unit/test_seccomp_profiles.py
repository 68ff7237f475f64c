"""The profiles that engines read: their form, and what every call gets from them, compared with the tables."""

import random
from collections.abc import Sequence

import demanded
import pytest

from aibox import jsonview, seccomp
from aibox.jsonview import Json, fields, items, number, text, texts

EPERM, ENOSYS = 1, 38


def verdict(profile: Json, name: str, arguments: Sequence[int]) -> int:
    """The errno by a profile, as engines read it: all tests of a rule must hold, at most one rule may match."""
    matching = []
    for rule in items(profile, "syscalls"):
        tests = items(rule, "args")
        holds = [arguments[number(test, "index")] & number(test, "value") == number(test, "valueTwo") for test in tests]
        if name in texts(rule, "names") and all(holds):
            matching.append(0 if text(rule, "action") == seccomp.ALLOW else number(rule, "errnoRet"))
    assert len(matching) < 2, (name, arguments)
    return matching[0] if matching else number(profile, "defaultErrnoRet")


@pytest.mark.parametrize("runtime", ["native", "runsc"])
def test_every_call_gets_what_the_tables_say(runtime: str) -> None:
    profile = seccomp.profile(runtime)
    source = random.Random(20240729)
    for row in demanded.calls():
        samples = [[0] * 6, [source.getrandbits(64) for _ in range(6)]]
        if row.verdict == "args":
            rule = demanded.rule("box", row.name)
            values = [int(value, 0) for value in rule.values.split(",")]
            for value in {*values, *range(64), *(value ^ 1 << bit for value in values for bit in range(32))}:
                for high in (0, 1 << 32, 1 << 63):
                    arguments = [source.getrandbits(64) for _ in range(6)]
                    arguments[int(rule.argument)] = value | high
                    samples.append(arguments)
        for arguments in samples:
            wanted = demanded.of_box(row, arguments, target=runtime)
            assert verdict(profile, row.name, arguments) == wanted, (row.name, arguments)


@pytest.mark.parametrize(("runtime", "unknown"), [("native", ENOSYS), ("runsc", EPERM)])
def test_form(runtime: str, unknown: int) -> None:
    profile = seccomp.profile(runtime)
    assert list(profile) == ["defaultAction", "defaultErrnoRet", "archMap", "syscalls"]
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert profile["defaultErrnoRet"] == unknown
    # no sub-architecture: 32-bit and x32 entry points stay closed
    assert profile["archMap"] == [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []},
    ]
    for rule in items(profile, "syscalls"):
        # LOG, NOTIFY and the KILL actions make runsc's create fail
        assert text(rule, "action") in {"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"}
        assert ("errnoRet" in fields(rule)) == (text(rule, "action") == "SCMP_ACT_ERRNO")
        assert texts(rule, "names")
        assert len(items(rule, "args")) <= 1
        for test in items(rule, "args"):
            # "not equal" compares 64 bits where the kernel reads 32
            assert text(test, "op") == "SCMP_CMP_MASKED_EQ"
    assert jsonview.parse(jsonview.dump(profile).encode()) == profile


def test_runc_and_crun_tell_unknown_from_forbidden() -> None:
    profile = seccomp.profile("native")
    for name in ("ptrace", "mount", "umount2", "pivot_root", "chroot", "bpf", "userfaultfd", "unshare", "setns",
                 "init_module", "finit_module", "kexec_load", "keyctl", "add_key"):  # fmt: skip
        assert verdict(profile, name, [0] * 6) == EPERM, name
    for name in ("clone3", "statmount", "mseal", "landlock_create_ruleset", "a_call_of_tomorrow"):
        assert verdict(profile, name, [0] * 6) == ENOSYS, name
    for name in ("openat2", "fchmodat2", "rseq", "statx", "close_range", "read"):
        assert verdict(profile, name, [0] * 6) == 0, name


def test_clone3_is_named_for_docker_20() -> None:
    """Docker 20.10 has no defaultErrnoRet: an unnamed clone3 would give EPERM there, which libc does not forgive."""
    rules = [rule for rule in items(seccomp.profile("native"), "syscalls") if "clone3" in texts(rule, "names")]
    assert rules == [{"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS}]


def test_gvisor_lets_through_what_libc_falls_back_from() -> None:
    """There every error is EPERM, so clone3 must reach the Sentry, which answers ENOSYS itself."""
    profile = seccomp.profile("runsc")
    assert verdict(profile, "clone3", [0] * 6) == 0
    for name in ("faccessat2", "statx", "rseq", "close_range"):
        assert verdict(profile, name, [0] * 6) == 0, name
    for name in ("keyctl", "openat2", "fchmodat2", "statmount"):
        assert verdict(profile, name, [0] * 6) == EPERM, name


def test_sockets_are_allowed_by_family() -> None:
    rules = [rule for rule in items(seccomp.profile("native"), "syscalls") if "socket" in texts(rule, "names")]
    allowed = {
        number(test, "valueTwo") for rule in rules if text(rule, "action") == seccomp.ALLOW
        for test in items(rule, "args")
    }  # fmt: skip
    assert allowed == {1, 2, 10, 16}
    assert all(test for rule in rules for test in [items(rule, "args")])


@pytest.mark.parametrize(("values", "mask"), [((0,), 0x7E020000), ((1, 2, 10, 16), 0xFFFFFFFF), ((0, 3), 3), ((), 1)])
def test_complement_and_values_share_nothing_and_miss_nothing(values: tuple[int, ...], mask: int) -> None:
    tests = seccomp.complement(values, mask)
    source = random.Random(mask)
    samples = [*values, *range(256), *(value ^ 1 << bit for value in values for bit in range(64))]
    samples += [source.getrandbits(64) for _ in range(500)]
    for sample in samples:
        holding = [test for test in tests if sample & test[0] == test[1]]
        inside = sample & mask in values
        assert len(holding) == (0 if inside else 1), hex(sample)
