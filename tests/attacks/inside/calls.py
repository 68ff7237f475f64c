"""System calls that a box may not make: the fourteen of the specification's control S5, and further ones."""

import ctypes
import os
import signal
import tempfile

from kernel import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    Refused,
    call,
    in_child,
    new_namespaces,
    raise_from,
    with_child,
)

AT_FDCWD = -100


def ptrace() -> str:
    """Attach to a process."""

    def attach(child: int) -> str:
        call("ptrace", 16, child, 0, 0)
        os.waitpid(child, 0)
        call("ptrace", 17, child, 0, 0)
        return "attached to a process and let it go"

    return with_child(attach)


def mount() -> str:
    """Mount a tmpfs, as root of a new namespace where there is one to be had."""
    new_namespaces(CLONE_NEWNS)
    place = tempfile.mkdtemp(dir="/tmp")
    call("mount", b"none", place.encode(), b"tmpfs", 0, b"")
    return f"mounted a tmpfs on {place}"


def umount2() -> str:
    """Unmount something."""
    new_namespaces(CLONE_NEWNS)
    place = tempfile.mkdtemp(dir="/tmp").encode()
    mounted = in_child(lambda: call("mount", b"none", place, b"tmpfs", 0, b"")) == 0
    if not mounted:
        place = b"/workspace"
    call("umount2", place, 2)
    return f"unmounted {place.decode()}"


def pivot_root() -> str:
    """Change the root to a folder of our own."""
    new_namespaces(CLONE_NEWNS)
    place = tempfile.mkdtemp(dir="/tmp").encode()
    in_child(lambda: call("mount", b"none", b"/", b"", 1 << 18 | 16384, 0))
    if in_child(lambda: call("mount", b"none", place, b"tmpfs", 0, b"")) == 0:
        os.mkdir(place + b"/old")
    call("pivot_root", place, place + b"/old")
    return "changed the root"


def chroot() -> str:
    """Change the root folder of this process."""
    new_namespaces(0)
    call("chroot", b"/tmp")
    return "changed the root folder"


def bpf() -> str:
    """Make a BPF map."""

    class Attributes(ctypes.Structure):
        _fields_ = [(name, ctypes.c_uint32) for name in ("kind", "key", "value", "entries", "flags")]

    attributes = Attributes(2, 4, 8, 1, 0)
    return f"a map, descriptor {call('bpf', 0, ctypes.byref(attributes), ctypes.sizeof(attributes))}"


def userfaultfd() -> str:
    """Take over page faults of user memory."""
    return f"descriptor {call('userfaultfd', 1)}"


def unshare() -> str:
    """Make a user namespace."""
    call("unshare", CLONE_NEWUSER)
    return "root of a new user namespace"


def setns() -> str:
    """Enter a user namespace that a child of ours made."""
    ready, going = os.pipe()
    child = os.fork()
    if child == 0:
        new_namespaces(0)
        os.write(going, b"x")
        signal.pause()
    os.read(ready, 1)
    try:
        descriptor = os.open(f"/proc/{child}/ns/user", os.O_RDONLY)
        call("setns", descriptor, CLONE_NEWUSER)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return "entered another user namespace"


def init_module() -> str:
    """Load a kernel module from memory."""
    call("init_module", b"\x7fELF" + bytes(60), 64, b"")
    return "the kernel took a module"


def finit_module() -> str:
    """Load a kernel module from a file."""
    with open("/etc/passwd", "rb") as file:
        call("finit_module", file.fileno(), b"", 0)
    return "the kernel took a module"


def kexec_load() -> str:
    """Unload the kernel for the next restart: the harmless half of loading one."""
    call("kexec_load", 0, 0, 0, 0)
    return "the kernel took it"


def keyctl() -> str:
    """Join a new session keyring."""
    return f"keyring {call('keyctl', 1, 0)}"


def add_key() -> str:
    """Put a key into the process's keyring."""
    return f"key {call('add_key', b'user', b'aibox-attack', b'x', 1, -2)}"


def request_key() -> str:
    """Look for a key."""
    return f"key {call('request_key', b'user', b'aibox-attack', 0, -2)}"


def clone_namespaces() -> str:
    """A new user and network namespace by the old clone."""
    child = call("clone", CLONE_NEWUSER | CLONE_NEWNET | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "a process in new namespaces"


def clone_high_bits() -> str:
    """The same with a bit set that the kernel ignores and a careless filter compares."""
    child = call("clone", 1 << 40 | CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "a process in a new user namespace"


def clone3() -> str:
    """A new user namespace by clone3, whose flags no filter can read."""
    arguments = (ctypes.c_uint64 * 8)(CLONE_NEWUSER, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    child = call("clone3", ctypes.byref(arguments), 64)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "a process in a new user namespace"


def io_uring_setup() -> str:
    """I/O rings, whose work no filter sees."""
    return f"descriptor {call('io_uring_setup', 4, ctypes.create_string_buffer(120))}"


def open_by_handle_at() -> str:
    """Open the filesystem's root folder by its handle (the `shocker` escape)."""
    with open("/etc/hostname", "rb") as file:
        handle = ctypes.create_string_buffer(136)
        ctypes.memmove(handle, (ctypes.c_uint32 * 4)(8, 1, 2, 0), 16)  # inode 2 of ext4
        descriptor = call("open_by_handle_at", file.fileno(), handle, os.O_RDONLY)
    return f"the root folder of the disk: {sorted(os.listdir(descriptor))[:4]}"


def name_to_handle_at() -> str:
    """Take a file's handle."""
    handle, mount_id = ctypes.create_string_buffer(136), ctypes.c_int()
    ctypes.memmove(handle, (ctypes.c_uint32 * 1)(128), 4)
    call("name_to_handle_at", AT_FDCWD, b"/tmp", handle, ctypes.byref(mount_id), 0)
    return f"a handle on mount {mount_id.value}"


def new_mount() -> str:
    """Mount a tmpfs by fsopen, fsconfig, fsmount and move_mount."""
    new_namespaces(CLONE_NEWNS)
    place = tempfile.mkdtemp(dir="/tmp")
    context = call("fsopen", b"tmpfs", 0)
    call("fsconfig", context, 6, 0, 0, 0)
    mounted = call("fsmount", context, 0, 0)
    call("move_mount", mounted, b"", AT_FDCWD, place.encode(), 4)
    return f"mounted a tmpfs on {place}"


def move_mount() -> str:
    """Move a mount: the last of the new calls alone."""
    new_namespaces(CLONE_NEWNS)
    place = tempfile.mkdtemp(dir="/tmp").encode()
    in_child(lambda: call("mount", b"none", b"/", b"", 1 << 18 | 16384, 0))
    in_child(lambda: call("mount", b"none", place, b"tmpfs", 0, b""))
    other = tempfile.mkdtemp(dir="/var/tmp").encode()
    call("move_mount", AT_FDCWD, place, AT_FDCWD, other, 0)
    return "moved a mount"


def open_tree() -> str:
    """Copy the tree of mounts."""
    new_namespaces(CLONE_NEWNS)
    return f"descriptor {call('open_tree', AT_FDCWD, b'/workspace', 0x8001)}"


def mount_setattr() -> str:
    """Change a mount's attributes."""
    new_namespaces(CLONE_NEWNS)
    in_child(lambda: call("mount", b"none", b"/", b"", 1 << 18 | 16384, 0))
    attributes = (ctypes.c_uint64 * 4)(2, 0, 0, 0)  # nosuid, which only takes away
    call("mount_setattr", AT_FDCWD, b"/workspace", 0, ctypes.byref(attributes), 32)
    return "changed /workspace"


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
