"""Further system calls that a box may not make: other processes, the machine, and new or odd parts of the kernel."""

import ctypes
import os
import signal

from kernel import CLONE_NEWPID, CLONE_NEWUTS, Refused, call, in_child, new_namespaces, raise_from, with_child


def process_vm_readv() -> str:
    """Read another process's memory."""
    secret = ctypes.create_string_buffer(b"secret", 7)

    def read(child: int) -> str:
        room = ctypes.create_string_buffer(7)
        mine = (ctypes.c_uint64 * 2)(ctypes.addressof(room), 7)
        theirs = (ctypes.c_uint64 * 2)(ctypes.addressof(secret), 7)
        call("process_vm_readv", child, ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0)
        return f"read {room.value!r}"

    return with_child(read)


def process_vm_writev() -> str:
    """Write another process's memory."""
    target = ctypes.create_string_buffer(b"secret", 7)

    def write(child: int) -> str:
        room = ctypes.create_string_buffer(b"broken", 7)
        mine = (ctypes.c_uint64 * 2)(ctypes.addressof(room), 7)
        theirs = (ctypes.c_uint64 * 2)(ctypes.addressof(target), 7)
        return f"wrote {call('process_vm_writev', child, ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0)} bytes"

    return with_child(write)


def perf_event_open() -> str:
    """Count the processor's clock for ourselves."""
    attributes = ctypes.create_string_buffer(128)
    ctypes.memmove(attributes, (ctypes.c_uint32 * 2)(1, 128), 8)
    attributes[40] = b"\x60"  # exclude_kernel, exclude_hv
    return f"descriptor {call('perf_event_open', attributes, 0, -1, -1, 0)}"


def pidfd_of(child: int) -> int:
    """A descriptor of a process, or a wrong one where the kernel has none (an older gVisor)."""
    try:
        return call("pidfd_open", child, 0)
    except OSError:
        return 0


def pidfd_getfd() -> str:
    """Take another process's file descriptor."""

    def take(child: int) -> str:
        pidfd = pidfd_of(child)
        return f"descriptor {call('pidfd_getfd', pidfd, 2, 0)}"

    return with_child(take)


def kcmp() -> str:
    """Compare another process's files with ours."""
    return with_child(lambda child: f"result {call('kcmp', os.getpid(), child, 0, 1, 1)}")


def process_madvise() -> str:
    """Push another process's memory out."""

    def push(child: int) -> str:
        pidfd = pidfd_of(child)
        room = ctypes.create_string_buffer(8192)
        start = (ctypes.addressof(room) + 4095) // 4096 * 4096
        vector = (ctypes.c_uint64 * 2)(start, 4096)
        return f"result {call('process_madvise', pidfd, ctypes.byref(vector), 1, 20, 0)}"

    return with_child(push)


def migrate_pages() -> str:
    """Move another process's memory between nodes."""
    nodes = (ctypes.c_uint64 * 1)(1)
    return with_child(
        lambda child: f"result {call('migrate_pages', child, 2, ctypes.byref(nodes), ctypes.byref(nodes))}"
    )


def quotactl() -> str:
    """Write all quotas to disk."""
    return f"result {call('quotactl', 0x800001 << 8, 0, 0, 0)}"


def swapon() -> str:
    """Swap to a file that is not there."""
    return f"result {call('swapon', b'/no-such-aibox-file', 0)}"


def swapoff() -> str:
    """Stop swapping to a file that is not there."""
    return f"result {call('swapoff', b'/no-such-aibox-file')}"


def acct() -> str:
    """Account processes in a file that is not there."""
    return f"result {call('acct', b'/no-such-aibox-file')}"


def reboot() -> str:
    """Restart, from the first process of a new process namespace where there is one to be had."""
    new_namespaces(CLONE_NEWPID)
    status = in_child(lambda: call("reboot", 0xFEE1DEAD, 672274793, 0x01234567, 0))
    if os.WIFSIGNALED(status):
        return f"the namespace was restarted: {signal.Signals(os.WTERMSIG(status)).name}"
    raise_from(status, "reboot")
    return "restarted"


def settimeofday() -> str:
    """Set the clock to nothing new."""
    return f"result {call('settimeofday', 0, 0)}"


def adjtimex() -> str:
    """Look at the clock's discipline."""
    return f"state {call('adjtimex', ctypes.create_string_buffer(512))}"


def clock_adjtime() -> str:
    """The same for one clock."""
    return f"state {call('clock_adjtime', 0, ctypes.create_string_buffer(512))}"


def sethostname() -> str:
    """Rename the machine, in a new namespace where there is one to be had."""
    new_namespaces(CLONE_NEWUTS)
    call("sethostname", b"attacked", 8)
    return f"named {os.uname().nodename}"


def syslog() -> str:
    """Read the kernel's log."""
    room = ctypes.create_string_buffer(4096)
    got = call("syslog", 3, room, 4096)
    return f"{got} bytes of the kernel's log"


def fanotify_init() -> str:
    """Watch a filesystem."""
    return f"descriptor {call('fanotify_init', 0x200, 0)}"


def vmsplice() -> str:
    """Lend memory to a pipe."""
    room = ctypes.create_string_buffer(b"x", 4096)
    vector = (ctypes.c_uint64 * 2)(ctypes.addressof(room), 4096)
    return f"{call('vmsplice', os.pipe()[1], ctypes.byref(vector), 1, 0)} bytes"


def modify_ldt() -> str:
    """Read the segment descriptors."""
    return f"{call('modify_ldt', 0, ctypes.create_string_buffer(64), 64)} bytes"


def memfd_secret() -> str:
    """Memory that even the kernel cannot see."""
    return f"descriptor {call('memfd_secret', 0)}"


def personality() -> str:
    """Switch address randomisation off."""
    call("personality", 0x0040000)
    return f"personality {call('personality', 0xFFFFFFFF):#x}"


def personality_execute() -> str:
    """Make everything that can be read executable."""
    call("personality", 0x0400000)
    return f"personality {call('personality', 0xFFFFFFFF):#x}"


def landlock() -> str:
    """Make rules for Landlock, a part of the kernel that a box has no need of."""
    return f"version {call('landlock_create_ruleset', 0, 0, 1)}"


def all_new_calls() -> str:
    """Every number above the newest that the tables know."""
    reached = []
    for number in range(472, 512):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.syscall(ctypes.c_long(number), -1, -1, -1, -1, -1)
        if ctypes.get_errno() not in (1, 38):
            reached.append(number)
    if not reached:
        raise Refused("EPERM or ENOSYS for each")
    return f"reached {reached}"
