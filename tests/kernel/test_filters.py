"""The shipped programs loaded into real processes: every call by number, each with a control run without the filter."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import demanded
import pytest

TOOL = Path(__file__).resolve().parents[1] / "tools" / "attempt.py"
MACHINE = os.uname().machine
MINUS_ONE = (2**64 - 1,) * 6
EPERM, ENOSYS = 1, 38
THIRTEEN = ("ptrace", "mount", "umount2", "pivot_root", "chroot", "bpf", "userfaultfd", "unshare", "setns",
            "init_module", "finit_module", "kexec_load", "keyctl", "add_key")  # fmt: skip
# that end or stop the caller, or return to where it never was
NO_RETURN = {"exit", "exit_group", "pause", "rt_sigreturn", "rt_sigsuspend", "vfork"}
# kernels since 6.13 let no filter see these; they end who calls them from elsewhere than the kernel's own trampoline
UNSEEN = {"uprobe", "uretprobe"}
# arguments that do no harm where six times -1 might, or that reach further
HARMLESS: dict[str, tuple[int, ...]] = {
    "init_module": (0, 0, 0),
    "kill": (2**31 - 1, 0),
    "msgget": (2**64 - 1, 0),
    "unshare": (0,),
    "sync": (),
    "arch_prctl": (0x1003, 0),
    "clone": (17, 0, 0, 0, 0),  # as fork: SIGCHLD
    "socket": (1, 1, 0),
    "socketpair": (1, 1, 0, 0),
    "personality": (2**32 - 1,),
    "mknod": (0, 0x1000, 0),
    "mknodat": (2**64 - 1, 0, 0x1000, 0),
}
CLONE = {"CLONE_NEWNS": 0x20000, "CLONE_NEWCGROUP": 0x2000000, "CLONE_NEWUTS": 0x4000000, "CLONE_NEWIPC": 0x8000000,
         "CLONE_NEWUSER": 0x10000000, "CLONE_NEWPID": 0x20000000, "CLONE_NEWNET": 0x40000000}  # fmt: skip
Attempt = tuple[str, int, Sequence[int | str]]


@pytest.fixture(autouse=True, scope="module")
def root() -> None:
    """A control run without a filter must not fail for another reason."""
    assert os.geteuid() == 0, "run tests/run as root"


def made(attempts: Sequence[Attempt], program: str = "") -> list[int]:
    """The outcomes of attempts in one process, under a shipped program or without one."""
    command = [sys.executable, "-I", str(TOOL)]
    if program:
        command += ["--filter", str(demanded.DATA / f"{program}-{MACHINE}.bpf")]
    done = subprocess.run(command, input=json.dumps(attempts), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    outcomes: list[int] = json.loads(done.stdout)
    return outcomes


def shown(code: int) -> str:
    return errno.errorcode.get(code, str(code))


def number(name: str) -> int:
    return next(number for number, row in demanded.numbers(MACHINE).items() if row.name == name)


def all_calls() -> tuple[list[demanded.Row], list[Attempt]]:
    """Every call of the table that comes back, with harmless arguments."""
    rows = [row for row in demanded.numbers(MACHINE).values() if row.name not in NO_RETURN | UNSEEN]
    return rows, [("native", number(row.name), HARMLESS.get(row.name, MINUS_ONE)) for row in rows]


def test_session_program_on_every_call() -> None:
    """Denied: EPERM. Absent: ENOSYS. Allowed: exactly what happens without the filter."""
    rows, attempts = all_calls()
    free, filtered = made(attempts), made(attempts, "session")
    wrong = []
    for row, without, within in zip(rows, free, filtered, strict=True):
        wanted = {"deny": EPERM, "allow": without, "args": without}.get(row.verdict, ENOSYS)
        if within != wanted:
            wrong.append(f"{row.name} ({row.verdict}): {shown(within)}, without {shown(without)}")
    assert not wrong
    assert len(rows) > (370 if MACHINE == "x86_64" else 300)


def test_denied_calls_fail_only_because_of_the_filter() -> None:
    """The control: without the filter none of them answers EPERM, so the kernel would have gone on with the call."""
    rows, attempts = all_calls()
    denied = [(row.name, attempt) for row, attempt in zip(rows, attempts, strict=True) if row.verdict == "deny"]
    outcomes = made([attempt for _, attempt in denied])
    assert [name for (name, _), outcome in zip(denied, outcomes, strict=True) if outcome == EPERM] == []
    assert set(THIRTEEN) <= {name for name, _ in denied}


def test_outer_program_on_every_call() -> None:
    rows, attempts = all_calls()
    free, filtered = made(attempts), made(attempts, "outer")
    wrong = []
    for row, without, within in zip(rows, free, filtered, strict=True):
        arguments = [*HARMLESS.get(row.name, MINUS_ONE), *([0] * 6)]
        refused = demanded.of_outer(row.name, number(row.name), arguments)
        if within != (refused or without):
            wrong.append(f"{row.name}: {shown(within)}, without {shown(without)}")
    assert not wrong


@pytest.mark.parametrize("program", ["session", "outer"])
def test_calls_of_tomorrow_are_unknown(program: str) -> None:
    """457 and up: among them calls that this kernel may have and that no table could judge."""
    attempts: list[Attempt] = [("native", number, MINUS_ONE) for number in (*range(457, 520), 1000, 0x3FFFFFFF)]
    assert set(made(attempts, program)) == {ENOSYS}


def argument_attempts(folder: Path) -> dict[str, tuple[Attempt, bool]]:
    """Attempts by what they ask for, and whether the session program has to refuse them."""
    call = {name: number(name) for name in ("clone", "ioctl", "socket", "socketpair", "personality", "mknodat")}
    found: dict[str, tuple[Attempt, bool]] = {}
    for name, flag in CLONE.items():
        found[name] = ("native", call["clone"], (17 | flag, 0, 0, 0, 0)), True
    found["fork"] = ("native", call["clone"], (17, 0, 0, 0, 0)), False
    for name, request in {"TIOCSTI": 0x5412, "TIOCLINUX": 0x541C, "TIOCSTI with high bits": 0x5412 | 1 << 32}.items():
        found[name] = ("native", call["ioctl"], (0, request, 0)), True
    found["TCGETS"] = ("native", call["ioctl"], (0, 0x5401, 0)), False
    for name, family in {"UNIX": 1, "INET": 2, "INET6": 10, "NETLINK": 16}.items():
        found[f"AF_{name}"] = ("native", call["socket"], (family, 2 if family < 16 else 3, 0)), False
    for name, family in {"PACKET": 17, "KEY": 15, "ALG": 38, "VSOCK": 40, "BLUETOOTH": 31, "XDP": 44}.items():
        found[f"AF_{name}"] = ("native", call["socket"], (family, 3, 0)), True
    found["AF_ALG with high bits"] = ("native", call["socket"], (38 | 1 << 32, 5, 0)), True
    found["socketpair TIPC"] = ("native", call["socketpair"], (30, 1, 0, 0)), True
    for name, persona in {"PER_LINUX": 0, "PER_LINUX32": 8, "query": 0xFFFFFFFF}.items():
        found[f"personality {name}"] = ("native", call["personality"], (persona,)), False
    for name, persona in {"ADDR_NO_RANDOMIZE": 0x40000, "READ_IMPLIES_EXEC": 0x400000, "PER_BSD": 6}.items():
        found[f"personality {name}"] = ("native", call["personality"], (persona,)), True
    here = 2**64 - 100  # AT_FDCWD
    for name, mode in {"S_IFCHR": 0x2180, "S_IFBLK": 0x6180}.items():
        found[name] = ("native", call["mknodat"], (here, str(folder / name), mode, 0x103)), True
    found["S_IFIFO"] = ("native", call["mknodat"], (here, str(folder / "fifo"), 0x1180, 0)), False
    return found


def test_session_program_on_arguments(tmp_path: Path) -> None:
    attempts = argument_attempts(tmp_path)
    listed = [attempt for attempt, _ in attempts.values()]
    filtered = dict(zip(attempts, made(listed, "session"), strict=True))
    (tmp_path / "fifo").unlink()
    free = dict(zip(attempts, made(listed), strict=True))
    for name, (_, refused) in attempts.items():
        assert filtered[name] == (EPERM if refused else free[name]), f"{name}: without {shown(free[name])}"
    assert [name for name, (_, refused) in attempts.items() if refused and free[name] == EPERM] == []
    # the attempts that show most: they really succeed where nothing is in force
    for name in ("CLONE_NEWNS", "CLONE_NEWUSER", "fork", "AF_UNIX", "personality ADDR_NO_RANDOMIZE", "S_IFIFO"):
        assert free[name] == 0, f"{name}: {shown(free[name])}"


@pytest.mark.parametrize("program", ["session", "outer"])
def test_other_entries_are_closed(program: str) -> None:
    """x32 numbers, and on x86_64 int 0x80 (getpid, keyctl, mount), which without the filter reaches the kernel."""
    x32: list[Attempt] = [("native", 0x40000000 | number, MINUS_ONE) for number in (39, 250, 165, 512 + 8)]
    assert set(made(x32, program)) == {EPERM if MACHINE == "x86_64" else ENOSYS}
    if MACHINE == "x86_64":
        attempts: list[Attempt] = [("i386", number, ()) for number in (20, 288, 21)]
        free = made(attempts)
        assert free[0] == 0
        assert EPERM not in free
        assert set(made(attempts, program)) == {EPERM}


def test_process_under_the_program_can_do_no_better_by_a_second_filter() -> None:
    """A later filter that allows everything does not lift the first."""
    allow = (b"\x06\x00\x00\x00" + (0x7FFF0000).to_bytes(4, "little")).hex()
    script = (
        f"import sys; sys.path.insert(0, {str(TOOL.parent)!r}); import attempt;"
        f"attempt.load_filter(open({str(demanded.DATA / f'session-{MACHINE}.bpf')!r}, 'rb').read());"
        f"attempt.load_filter(bytes.fromhex('{allow}'));"
        f"print(attempt.native({number('keyctl')}, (0,)), open('/proc/self/status').read().count('Seccomp:\\t2'))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.split() == [str(EPERM), "1"], done.stderr
