"""The kernel's own files and devices: what they give away and what writing them would do."""

import os
import tempfile

from kernel import Refused, call, new_namespaces


def open_for_writing(*paths: str) -> str:
    """Open the first of the files that is there for writing; nothing is written."""
    error: OSError = FileNotFoundError(2, "none of them is there")
    for path in paths:
        try:
            os.close(os.open(path, os.O_WRONLY))
        except FileNotFoundError:
            continue
        except OSError as met:
            error = met
            continue
        return f"{path} is open for writing"
    raise error


def sysrq() -> str:
    """The kernel's emergency keys, by file; where it was built without them, what it does after a panic."""
    return open_for_writing("/proc/sysrq-trigger", "/proc/sys/kernel/sysrq", "/proc/sys/kernel/panic")


def core_pattern() -> str:
    """The program that the kernel runs, as the host's root, when a process crashes."""
    return open_for_writing("/proc/sys/kernel/core_pattern")


def usermode_helper() -> str:
    """Other programs that the kernel runs as root."""
    return open_for_writing("/proc/sys/kernel/modprobe", "/proc/sys/kernel/hotplug", "/sys/kernel/uevent_helper",
                            "/proc/sys/kernel/poweroff_cmd")  # fmt: skip


def sysctl() -> str:
    """Settings of the kernel."""
    return open_for_writing("/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/pid_max", "/proc/sys/vm/drop_caches")


def hostname_file() -> str:
    """The machine's name, by file."""
    return open_for_writing("/proc/sys/kernel/hostname")


def release_agent() -> str:
    """Control groups: the release_agent escape, or moving processes where there is only version 2."""
    places = [place for place, _, _ in os.walk("/sys/fs/cgroup") if place.count("/") <= 5]
    found = [f"{place}/{name}" for place in places for name in ("release_agent", "cgroup.procs")]
    return open_for_writing(*sorted(found, key=lambda path: ("release_agent" not in path, path)))


def mount_cgroup() -> str:
    """Mount control groups of our own, to set a release_agent there."""
    new_namespaces(0x00020000 | 0x02000000)
    place = tempfile.mkdtemp(dir="/tmp").encode()
    error = OSError()
    for kind, options in ((b"cgroup2", b""), (b"cgroup", b"memory"), (b"cgroup", b"rdma")):
        try:
            call("mount", b"none", place, kind, 0, options)
        except OSError as met:
            error = met
            continue
        return f"mounted {kind.decode()}"
    raise error


def sys_writes() -> str:
    """Devices' settings."""
    return open_for_writing("/sys/kernel/mm/transparent_hugepage/enabled", "/sys/module/kernel/parameters/panic",
                            "/sys/power/state", "/sys/block/loop0/queue/nr_requests")  # fmt: skip


def kcore() -> str:
    """The kernel's memory as a file, or what it knows of each page."""
    error = OSError()
    for path in ("/proc/kcore", "/proc/kpageflags"):
        try:
            with open(path, "rb") as file:
                if head := file.read(8):
                    return f"read {head!r} from {path}"
                raise Refused("it is empty")
        except OSError as met:
            error = met
    raise error


def dev_mem() -> str:
    """Memory, kernel log and disks as devices."""
    return open_for_writing("/dev/mem", "/dev/kmsg", "/dev/port", "/dev/vda", "/dev/sda", "/dev/loop-control")


def dev_machines() -> str:
    """Devices that make machines and networks."""
    return open_for_writing("/dev/kvm", "/dev/vhost-vsock", "/dev/userfaultfd", "/dev/ppp", "/dev/loop-control")


def masked() -> str:
    """Kernel files that give away addresses or keys."""
    for path in ("/proc/kallsyms", "/proc/keys", "/proc/timer_list", "/sys/firmware/acpi/tables/DSDT"):
        try:
            with open(path, "rb") as file:
                line = file.readline()
        except OSError:
            continue
        if line.strip() and not line.startswith(b"0000000000000000"):
            return f"{path}: {line[:40]!r}"
    raise Refused("not there, empty or zeroed")
