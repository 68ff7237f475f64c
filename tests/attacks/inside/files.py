"""Privileged files, devices, the kernel's own files, and writing or running where a box may not."""

import ctypes
import os
import shutil
import stat
import struct
import subprocess
import tempfile

from kernel import MS_BIND, MS_REMOUNT, Refused, call, new_namespaces, text, texts
from kernelfiles import open_for_writing


def run_planted(path: str) -> str:
    """Run a program that the host's root left there, owned by the box's root and with the setuid bit."""
    done = subprocess.run([path, "-u"], capture_output=True, text=True, check=False)
    user = done.stdout.split()[:1]
    if user == ["0"]:
        return f"{path} ran as root"
    raise Refused(f"ran as {' '.join(user)}" if user else f"did not run: {done.stderr.strip()}")


def setuid_workspace() -> str:
    """In the workspace."""
    return run_planted("/workspace/.attack/planted/setuid")


def setuid_home() -> str:
    """In the home volume."""
    return run_planted("/home/dev/planted-setuid")


def file_capabilities() -> str:
    """Run a program to whose file the host's root gave capabilities."""
    show = ["/workspace/.attack/planted/capable", "^CapEff", "/proc/self/status"]
    done = subprocess.run(show, capture_output=True, text=True, check=False)
    effective = "".join(done.stdout.split()[1:])
    if effective and int(effective, 16):
        return f"effective capabilities {effective}"
    raise Refused(f"effective capabilities {effective}" if effective else f"did not run: {done.stderr.strip()}")


def make_setuid_root() -> str:
    """Make a setuid program and give it to root."""
    for folder in ("/workspace", "/home/dev", "/tmp"):
        path = f"{folder}/made-setuid"
        shutil.copy("/usr/bin/true", path)
        try:
            os.chown(path, 0, 0)
            os.chmod(path, 0o4755)
        finally:
            status = os.stat(path)
            os.unlink(path)
        if status.st_uid == 0 and status.st_mode & stat.S_ISUID:
            return f"{path} was root's, with the setuid bit"
    raise Refused("not root's")


def set_file_capabilities() -> str:
    """Give a file capabilities."""
    path = "/workspace/made-capable"
    shutil.copy("/usr/bin/true", path)
    try:
        value = struct.pack("<IIIIII", 0x03000001, 1 << 21, 0, 0, 0, 0)
        os.setxattr(path, "security.capability", value)
    finally:
        os.unlink(path)
    return "the file has CAP_SYS_ADMIN"


def device(kind: int, major: int, minor: int) -> str:
    """Make a device node and open it."""
    for folder in texts("writable"):
        path = f"{folder}/made-device"
        try:
            os.mknod(path, kind | 0o666, os.makedev(major, minor))
            os.close(os.open(path, os.O_RDONLY))
        finally:
            if os.path.lexists(path):
                os.unlink(path)
        return f"{path} is {major}:{minor}"
    raise Refused("nowhere to make it")


def mknod_character() -> str:
    """A character device: /dev/mem's or, harmless, /dev/zero's number."""
    return device(stat.S_IFCHR, 1, 5)


def mknod_block() -> str:
    """A block device: the first RAM disk or loop device, opened only if it is there."""
    path = f"{texts('writable')[0]}/made-block"
    try:
        os.mknod(path, stat.S_IFBLK | 0o666, os.makedev(7, 0))
    finally:
        if os.path.lexists(path):
            os.unlink(path)
    return f"{path} is 7:0"


def mknod_high_bits() -> str:
    """The same with a bit set in the mode that the kernel ignores and a careless filter compares."""
    path = f"{texts('writable')[0]}/made-odd"
    try:
        call("mknod", path.encode(), 1 << 40 | stat.S_IFCHR | 0o666, os.makedev(1, 5))
    finally:
        if os.path.lexists(path):
            os.unlink(path)
    return f"{path} is 1:5"


def planted_device() -> str:
    """Read the kernel's log by a device node (/dev/kmsg's) that the host's root left in the workspace."""
    descriptor = os.open("/workspace/.attack/planted/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    return f"read {os.read(descriptor, 8192)[:20]!r}"


def remount_root() -> str:
    """Make the root writable."""
    call("mount", b"none", b"/", b"", MS_REMOUNT | MS_BIND, 0)
    return "remounted /"


def remount_exec() -> str:
    """Make /tmp executable."""
    call("mount", b"none", b"/tmp", b"", MS_REMOUNT | MS_BIND, 0)
    return "remounted /tmp"


def bind_over() -> str:
    """Lay a folder of ours over /etc."""
    new_namespaces(0x00020000)
    place = tempfile.mkdtemp(dir="/workspace")
    try:
        call("mount", place.encode(), b"/etc", b"", MS_BIND, 0)
        return f"/etc holds {os.listdir('/etc')}"
    finally:
        os.rmdir(place)


def write(path: str) -> str:
    """Make a file."""
    with open(path, "x", encoding="ascii") as file:
        file.write("x")
    os.unlink(path)
    return f"wrote {path}"


def write_etc() -> str:
    """The system's settings."""
    return write("/etc/attack")


def write_usr() -> str:
    """The system's programs."""
    return write("/usr/bin/attack")


def write_run() -> str:
    """Run-time files."""
    return write("/run/attack")


def write_root() -> str:
    """The root folder."""
    return write("/attack")


def write_dev() -> str:
    """The folder of devices."""
    return write("/dev/attack")


def write_open_folder() -> str:
    """Folders of the image that everybody may write, where only the read-only root says no."""
    found = []
    for root in ("/run/lock", "/var/mail", "/var/lib", "/var/local", "/var/cache", "/opt", "/srv", "/mnt"):
        for place, _, _ in os.walk(root):
            if os.path.isdir(place) and os.stat(place).st_mode & 0o002:
                found.append(place)
    if not found:
        raise Refused("the image has no such folder")
    return write(f"{found[0]}/attack")


def change_passwd() -> str:
    """The box's accounts, which the engine mounts from a file of its own on the host."""
    return open_for_writing("/etc/passwd", "/etc/group")


def change_hosts_files() -> str:
    """The other files that the engine mounts from the host."""
    return open_for_writing("/etc/hostname", "/etc/resolv.conf", "/etc/hosts", "/run/.containerenv")


def execute_in(folder: str) -> str:
    """Run a program from there."""
    path = f"{folder}/attack-true"
    try:
        shutil.copy("/usr/bin/true", path)
        os.chmod(path, 0o755)
        status = subprocess.run([path], check=False).returncode
    finally:
        if os.path.exists(path):
            os.unlink(path)
    return f"{path} ran, exit code {status}"


def execute_tmp() -> str:
    """Run a program from /tmp."""
    return execute_in("/tmp")


def execute_var_tmp() -> str:
    """Run a program from /var/tmp."""
    return execute_in("/var/tmp")


def execute_shm() -> str:
    """Run a program from /dev/shm."""
    return execute_in("/dev/shm")


def execute_run() -> str:
    """Run a program from /run."""
    return execute_in("/run")


def execute_by_loader() -> str:
    """Run a program in /tmp by naming it to the dynamic loader."""
    path = "/tmp/attack-loaded"
    shutil.copy("/usr/bin/true", path)
    loader = next(
        place for place in ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1") if os.path.exists(place)
    )
    done = subprocess.run([loader, path], capture_output=True, text=True, check=False)
    os.unlink(path)
    if done.returncode:
        raise Refused("the loader cannot map it" if "map" in done.stderr else done.stderr.strip())
    return "it ran"


def library_in_tmp() -> str:
    """Load a library from /tmp."""
    path = "/tmp/attack.so"
    # a library that nothing here has loaded; a copy has another name, so the loader has to map it anew
    with open("/proc/self/maps", encoding="utf-8") as maps:
        folder = next(os.path.dirname(line.split()[-1]) for line in maps if "libc.so.6" in line)
    shutil.copy(f"{folder}/libm.so.6", path)
    try:
        root = ctypes.CDLL(path).sqrt
        root.argtypes, root.restype = [ctypes.c_double], ctypes.c_double
        return f"its function returned {root(1764.0)}"
    except OSError as error:
        raise Refused("the loader cannot map it") from error
    finally:
        os.unlink(path)


def hide_setuid_in_tmp() -> str:
    """Whether the kernel honours a setuid bit in /tmp at all: a program of another user is not needed to see it."""
    for place in ("/tmp", "/var/tmp", "/dev/shm"):
        if not os.statvfs(place).f_flag & os.ST_NOSUID:
            return f"{place} is mounted without nosuid"
    raise Refused("nosuid")


def host_file() -> str:
    """A file of the host outside the workspace, by its host path and by dots."""
    error = OSError()
    for path in (text("secret"), f"/workspace/../../../../../..{text('secret')}"):
        try:
            with open(path, encoding="utf-8") as file:
                return f"{path}: {file.read().strip()}"
        except OSError as met:
            error = met
    raise error


def link_to_host() -> str:
    """A symlink in the workspace that names a file of the host."""
    link = "/workspace/.attack/planted/link"
    with open(link, encoding="utf-8") as file:
        return f"{os.readlink(link)}: {file.read().strip()}"


def dotdot_link() -> str:
    """A symlink in the workspace that climbs out of it by dots."""
    with open("/workspace/.attack/planted/dots", encoding="utf-8") as file:
        return file.read().strip()


def proc_root() -> str:
    """The host's files through the root of another process."""
    for process in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        for link in (f"/proc/{process}/root", f"/proc/{process}/cwd"):
            try:
                with open(link + text("secret"), encoding="utf-8") as file:
                    return f"{link}: {file.read().strip()}"
            except OSError:
                continue
    raise Refused("no process leads there")


def engine_socket() -> str:
    """The engine's control socket."""
    import socket

    error = OSError()
    for path in texts("engine_sockets"):
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(path)
        except OSError as met:
            error = met
            continue
        return f"connected to {path}"
    raise error
