"""Other processes: of the host, of other boxes, and the box's first one; terminals and keyrings."""

import ctypes
import fcntl
import os
import pty
import signal
import struct
import termios

from kernel import Refused, call, number, text

TIOCLINUX = 0x541C


def see_host_process() -> str:
    """Find a process of the host by its command line."""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                line = file.read()
        except OSError:
            continue
        if text("marker").encode() in line and b"run.py" not in line:
            return f"process {name}"
    raise Refused("not there")


def marked_pid() -> int:
    """The host's process, which must be the one that is meant."""
    return number("marker_pid")


def signal_host_process() -> str:
    """Signal a process of the host by its number."""
    os.kill(marked_pid(), signal.SIGCONT)
    return f"signalled {marked_pid()}"


def host_process_memory() -> str:
    """Read the memory of a process of the host."""
    with open(f"/proc/{marked_pid()}/maps", encoding="ascii") as file:
        if not (line := file.readline()):
            raise Refused("nothing to see")
    start = int(line.split("-")[0], 16)
    with open(f"/proc/{marked_pid()}/mem", "rb") as memory:
        memory.seek(start)
        return f"read {memory.read(4)!r}"


def host_process_environment() -> str:
    """Read the environment of a process of the host."""
    with open(f"/proc/{marked_pid()}/environ", "rb") as file:
        return f"{len(file.read())} bytes"


def trace_first_process() -> str:
    """Attach to the box's first process."""
    call("ptrace", 0x4206, 1, 0, 0)  # PTRACE_SEIZE: does not stop it
    return "attached to process 1"


def write_first_process_memory() -> str:
    """Write the memory of the box's first process."""
    with open("/proc/1/maps", encoding="ascii") as file:
        line = next((row for row in file if " rw" in row), "")
    if not line:
        raise Refused("its memory map is empty")
    start = int(line.split("-")[0], 16)
    memory = os.open("/proc/1/mem", os.O_RDWR)
    old = os.pread(memory, 1, start)
    os.pwrite(memory, old, start)
    return "wrote a byte (the same one)"


def leaked_environment() -> str:
    """A variable of whoever started the box."""
    for path in ("/proc/self/environ", "/proc/1/environ"):
        with open(path, "rb") as file:
            if text("leak").encode() in file.read():
                return f"in {path}"
    raise Refused("not there")


def on_terminal(act: int, argument: bytes) -> str:
    """An ioctl on a terminal of our own that is this process's controlling one."""
    child, leader = pty.fork()
    if child == 0:
        try:
            fcntl.ioctl(0, act, argument)
        except OSError as error:
            os._exit(error.errno or 255)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    os.close(leader)
    code = os.waitstatus_to_exitcode(status)
    if code:
        raise OSError(code, "ioctl")
    return "done"


def tiocsti() -> str:
    """Type into a terminal."""
    return on_terminal(termios.TIOCSTI, b"x")


def tioclinux() -> str:
    """The console's special functions."""
    return on_terminal(TIOCLINUX, b"\x02")


def tiocsti_high_bits() -> str:
    """The same with bits above those that the kernel looks at."""
    leader, follower = os.openpty()
    child = os.fork()
    if child == 0:
        os.setsid()
        fcntl.ioctl(follower, termios.TIOCSCTTY, 0)
        try:
            call("ioctl", follower, 1 << 40 | termios.TIOCSTI, b"x")
        except OSError as error:
            os._exit(error.errno or 255)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    os.close(leader)
    if code := os.waitstatus_to_exitcode(status):
        raise OSError(code, "ioctl")
    return "typed"


def become_root() -> str:
    """Set the user id to root's."""
    os.setuid(0)
    return f"user id {os.getuid()}"


def join_groups() -> str:
    """Join root's group."""
    os.setgroups([0])
    return f"groups {os.getgroups()}"


def raise_capabilities() -> str:
    """Set capabilities for ourselves."""
    header = struct.pack("<Ii", 0x20080522, 0)
    data = struct.pack("<IIIIII", 1 << 21, 1 << 21, 1 << 21, 0, 0, 0)
    call("capset", ctypes.create_string_buffer(header), ctypes.create_string_buffer(data))
    return "CAP_SYS_ADMIN"


def capability_sets() -> str:
    """Any capability in any set, the bounding set included."""
    with open("/proc/self/status", encoding="ascii") as file:
        held = [line.strip() for line in file if line.startswith("Cap") and int(line.split()[1], 16)]
    if held:
        return "; ".join(held)
    raise Refused("none")


def shared_memory_of_host() -> str:
    """System V shared memory that a process of the host made."""
    identifier = call("shmget", number("shm_key"), 0, 0)
    return f"segment {identifier}"


def higher_priority() -> str:
    """Take processor time from others."""
    os.setpriority(os.PRIO_PROCESS, 0, -10)
    return f"priority {os.getpriority(os.PRIO_PROCESS, 0)}"


def real_time() -> str:
    """Real-time scheduling, which starves others."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    return "SCHED_FIFO"


def oom_protect() -> str:
    """Have the kernel end others first when memory is short."""
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("-1000")
    return "oom_score_adj -1000"
