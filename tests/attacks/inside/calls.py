"""System calls that a box may not make: the fourteen of the specification's control S5, and further ones."""

import ctypes
import os
import signal
import tempfile

from kernel import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWUSER,
    call,
    in_child,
    new_namespaces,
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
