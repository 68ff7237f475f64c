"""The tables of system calls: well formed, complete, and what the requirements and Linux's headers say."""

import re
import sys
from pathlib import Path

import demanded
import libseccomp
import pytest

from aibox import seccomp

VERDICTS = {"allow", "args", "deny", "absent", "native", "fallback"}
# SPEC S5, and what a box could use to get round it
FORBIDDEN = ("ptrace", "mount", "umount2", "pivot_root", "chroot", "bpf", "userfaultfd", "unshare", "setns",
             "init_module", "finit_module", "kexec_load", "keyctl", "add_key",
             "kexec_file_load", "request_key", "delete_module", "open_by_handle_at", "process_vm_readv",
             "process_vm_writev", "pidfd_getfd", "perf_event_open", "io_uring_setup", "fsopen", "fsconfig", "fsmount",
             "move_mount", "open_tree", "mount_setattr", "fspick", "syslog", "reboot", "swapon", "iopl", "ioperm",
             "settimeofday", "clock_settime", "sethostname", "modify_ldt", "fanotify_init")  # fmt: skip
# the first libseccomp that has a name for a call; measured with 2.5.4, 2.6.0 and 2.6.1 (Debian 12, 13 and sid)
NEEDS_2_6_0 = {"getxattrat", "listmount", "listxattrat", "lsm_get_self_attr", "lsm_list_modules", "lsm_set_self_attr",
               "mseal", "removexattrat", "setxattrat", "statmount", "uretprobe"}  # fmt: skip
NEEDS_2_6_1 = {"file_getattr", "file_setattr", "listns", "open_tree_attr", "rseq_slice_yield", "uprobe"}
# from linux/sched.h
NAMESPACE_FLAGS = {"NEWNS": 0x20000, "NEWCGROUP": 0x2000000, "NEWUTS": 0x4000000, "NEWIPC": 0x8000000,
                   "NEWUSER": 0x10000000, "NEWPID": 0x20000000, "NEWNET": 0x40000000}  # fmt: skip


@pytest.mark.parametrize("name", ["syscalls.tsv", "syscall-args.tsv", "outer.tsv"])
def test_table_is_rectangular_and_every_cell_says_something(name: str) -> None:
    heading, *rows = demanded.table(name)
    assert len(rows) > 5
    for row in rows:
        assert len(row) == len(heading), row
        assert all(cell and cell == cell.strip() for cell in row), row


@pytest.mark.parametrize("name", ["syscalls.tsv", "outer.tsv"])
def test_names_are_sorted_and_unique(name: str) -> None:
    names = [row[0] for row in demanded.table(name)[1:]]
    assert names == sorted(set(names))


def test_cells_are_of_their_kind() -> None:
    for row in demanded.calls():
        assert re.fullmatch(r"[a-z_0-9]+", row.name)
        assert row.verdict in VERDICTS, row
        assert re.fullmatch(r"\d+\.\d+(\.\d+)?", row.since), row
        assert re.fullmatch(r"\d+|-", row.x86_64), row
        assert re.fullmatch(r"\d+|-", row.aarch64), row
        assert (row.x86_64, row.aarch64) != ("-", "-")
        assert len(row.why) > 4, row
    assert {row[1] for row in demanded.table("outer.tsv")[1:]} == {"deny", "args"}


@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_numbers_are_unique(arch: str) -> None:
    found = [getattr(row, arch) for row in demanded.calls() if getattr(row, arch) != "-"]
    assert len(found) == len(set(found))
    assert len(found) > 300


def test_argument_rules_belong_to_calls_that_have_them() -> None:
    wanted = {("box", row.name) for row in demanded.calls() if row.verdict == "args"}
    wanted |= {("outer", row[0]) for row in demanded.table("outer.tsv")[1:] if row[1] == "args"}
    found = [(rule.filter, rule.name) for rule in demanded.rules()]
    assert sorted(found) == sorted(wanted)
    for rule in demanded.rules():
        mask = int(rule.mask, 16)
        assert rule.match in {"allow", "deny"}
        assert int(rule.argument) in range(6)
        assert all(int(value, 0) & ~mask == 0 for value in rule.values.split(",")), rule


def test_outer_names_are_calls() -> None:
    assert {row[0] for row in demanded.table("outer.tsv")[1:]} <= {row.name for row in demanded.calls()}


def test_what_the_requirements_forbid_is_denied() -> None:
    verdicts = {row.name: row.verdict for row in demanded.calls()}
    assert {name: verdicts[name] for name in FORBIDDEN} == dict.fromkeys(FORBIDDEN, "deny")


def test_argument_rules_are_what_the_headers_say() -> None:
    clone = demanded.rule("box", "clone")
    assert int(clone.mask, 16) == sum(NAMESPACE_FLAGS.values())
    assert (clone.argument, clone.match, clone.values) == ("0", "allow", "0")
    ioctl = demanded.rule("box", "ioctl")
    assert (ioctl.argument, ioctl.match, ioctl.values) == ("1", "deny", "0x5412,0x541c")  # asm-generic/ioctls.h
    for name in ("socket", "socketpair"):
        families = demanded.rule("box", name)
        assert (families.argument, families.match, families.values) == ("0", "allow", "1,2,10,16")
        assert (demanded.rule("outer", name).match, demanded.rule("outer", name).values) == ("allow", "1")
    for name in ("mknod", "mknodat"):
        assert demanded.rule("box", name).values == "0x2000,0x6000"  # S_IFCHR, S_IFBLK of linux/stat.h


def test_numbers_are_those_of_the_kernel_headers() -> None:
    """Where the headers are newer than the table, their calls must be in it; the wrong number would be a hole."""
    header = next((path for path in (Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),) if path.exists()), None)
    assert header, "linux-libc-dev is missing"
    found = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", header.read_text())}
    known = {row.name: row.x86_64 for row in demanded.calls()}
    assert len(found) > 350
    assert {name: str(number) for name, number in found.items()} == {name: known.get(name) for name in found}


@pytest.mark.parametrize("arch", list(libseccomp.ARCH))
def test_names_resolve_to_the_numbers_of_the_table(arch: str) -> None:
    version = tuple(map(int, libseccomp.version().split(".")))
    unknown = (NEEDS_2_6_0 if version < (2, 6, 0) else set()) | (NEEDS_2_6_1 if version < (2, 6, 1) else set())
    for row in demanded.calls():
        number, listed = libseccomp.number(row.name, arch), getattr(row, arch)
        if row.name in unknown and number == libseccomp.NO_SUCH_NAME:
            continue
        assert number != libseccomp.NO_SUCH_NAME, row
        assert str(number) == listed if listed != "-" else number < 0, row


def test_no_filter_needs_a_name_that_the_oldest_libseccomp_lacks() -> None:
    """Engines skip a name that their libseccomp does not know: only absent calls, which no rule names, may be such."""
    needed = {rule.name for target in seccomp.TARGETS for rule in seccomp.box_rules(target)}
    needed |= {rule.name for rule in seccomp.outer_rules()}
    assert not needed & (NEEDS_2_6_0 | NEEDS_2_6_1)
    for name in sorted(needed):
        known = {libseccomp.number(name, arch) for arch in libseccomp.ARCH}
        assert known != {libseccomp.NO_SUCH_NAME}, name


def test_the_library_knows_no_call_that_the_table_lacks() -> None:
    for arch in libseccomp.ARCH:
        known = demanded.numbers(arch)
        missing = {name for number, name in libseccomp.names(arch).items() if number not in known}
        # 424 and up are equal everywhere: a call newer than the table may be named by a newer library
        assert missing <= {name for number, name in libseccomp.names(arch).items() if number > 471}, (arch, missing)


def test_aibox_reads_the_tables_as_they_stand() -> None:
    read = {call.name: (call.verdict, call.since, call.numbers, call.why) for call in seccomp.syscalls()}
    for row in demanded.calls():
        numbers = {arch: int(text) for arch in ("x86_64", "aarch64") if (text := getattr(row, arch)) != "-"}
        assert read.pop(row.name) == (row.verdict, row.since, numbers, row.why)
    assert not read
    assert sys.byteorder == "little"  # the programs' argument halves are laid out for it
