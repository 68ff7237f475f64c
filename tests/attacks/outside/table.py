"""The table of attempts: what is tried, which controls stop it, how it ends in a box, and what shows that it would
otherwise work. `python3 tests/attacks/outside/table.py` prints it as Markdown."""

from typing import NamedTuple

RUNSC, RUNC = "runsc", "runc"
BOTH = (RUNSC, RUNC)
KERNEL = ("S4", "S8", "S10")
NOT_THERE = ("ENOENT", "ENXIO")
DENIED = ("EPERM",)
READ_ONLY_FILES = ("EROFS", "EACCES", "ENOENT", "EPERM")


class Attempt(NamedTuple):
    """One attempt. `program` is MODULE.FUNCTION of inside/; `refused` the ways in which a box may refuse it; `reached`
    errors in the control run that still show that the call got past the defence (this kernel, or these arguments, end
    it there). `succeeds` names the runtimes under which it is known to succeed, and `note` says why that is so.
    """

    id: str
    title: str
    controls: tuple[str, ...]
    program: str
    control_run: str
    refused: tuple[str, ...]
    reached: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = BOTH
    note: str = ""
    succeeds: tuple[str, ...] = ()


def program(module: str, name: str) -> str:
    """MODULE.FUNCTION, for a name that may already say its module."""
    return name if "." in name else f"{module}.{name}"


def _call(  # the shape that most rows share
    name: str,
    title: str,
    control_run: str,
    *,
    refused: tuple[str, ...] = DENIED,
    controls: tuple[str, ...] = ("S5",),
    reached: tuple[str, ...] = (),
    note: str = "",
) -> Attempt:
    return Attempt(f"call-{name.rpartition('.')[2].replace('_', '-')}", title, controls, program("calls", name),
                   control_run, refused, reached, note=note)  # fmt: skip


NO_MODULES = "a kernel without modules or kexec answers ENOSYS: the control run then only shows that it gets there"
MAPPED = "runsc of 2024 keeps noexec for execve only, not for mapping a file"
NAMESPACE = "through a new user namespace, as an exploit would"

CALLS = (
    _call("ptrace", "attach to a process with ptrace", "unfiltered"),
    _call("mount", "mount a tmpfs", "unfiltered", controls=("S1", "S5"), note=NAMESPACE),
    _call("umount2", "unmount", "unfiltered", controls=("S1", "S5"), note=NAMESPACE),
    _call("pivot_root", "change the root with pivot_root", "unfiltered-runc", controls=("S1", "S5"), note=NAMESPACE),
    _call("chroot", "change the root folder with chroot", "unfiltered", controls=("S1", "S5"), note=NAMESPACE),
    _call("bpf", "make a BPF map", "outside-root", controls=("S1", "S5", "S8")),
    _call("userfaultfd", "handle page faults (userfaultfd)", "unfiltered-runc"),
    _call("unshare", "new user namespace (unshare)", "unfiltered"),
    _call("setns", "enter another user namespace (setns)", "unfiltered-runc"),
    _call(
        "init_module",
        "load a kernel module",
        "outside-root",
        controls=("S1", "S5"),
        reached=("ENOSYS", "ENOEXEC"),
        note=NO_MODULES,
    ),
    _call(
        "finit_module",
        "load a kernel module from a file",
        "outside-root",
        controls=("S1", "S5"),
        reached=("ENOSYS", "ENOEXEC"),
        note=NO_MODULES,
    ),
    _call(
        "kexec_load",
        "load another kernel (kexec)",
        "outside-root",
        controls=("S1", "S5"),
        reached=("ENOSYS",),
        note=NO_MODULES,
    ),
    _call("keyctl", "join a session keyring", "unfiltered"),
    _call("add_key", "add a key", "unfiltered-runc"),
    _call("request_key", "look for a key", "unfiltered-runc", reached=("ENOKEY", "ENOENT")),
    _call("clone_namespaces", "new user and network namespaces (clone)", "unfiltered"),
    _call("clone_high_bits", "the same with an ignored bit above 32", "unfiltered"),
    _call("clone3", "new user namespace (clone3, flags behind a pointer)", "unfiltered", refused=("ENOSYS",)),
    _call("io_uring_setup", "I/O rings (io_uring)", "unfiltered-runc"),
    _call(
        "open_by_handle_at",
        "open the disk's root by handle (shocker)",
        "outside-root",
        controls=("S1", "S5"),
        reached=("ESTALE",),
    ),
    _call("name_to_handle_at", "take a file's handle", "unfiltered-runc"),
    _call(
        "new_mount", "mount by fsopen, fsmount and move_mount", "unfiltered-runc", controls=("S1", "S5"), note=NAMESPACE
    ),
    _call("move_mount", "move a mount", "unfiltered-runc", controls=("S1", "S5"), note=NAMESPACE),
    _call("open_tree", "copy a tree of mounts (open_tree)", "unfiltered-runc", controls=("S1", "S5"), note=NAMESPACE),
    _call("mount_setattr", "change a mount's attributes", "unfiltered-runc", controls=("S1", "S5"), note=NAMESPACE),
    _call("morecalls.process_vm_readv", "read another process's memory", "unfiltered-runc"),
    _call("morecalls.process_vm_writev", "write another process's memory", "unfiltered-runc"),
    _call("morecalls.perf_event_open", "performance counters", "outside-root"),
    _call("morecalls.pidfd_getfd", "take another process's descriptor", "unfiltered-runc"),
    _call("morecalls.kcmp", "compare another process's resources", "unfiltered-runc", reached=("ENOSYS",)),
    _call("morecalls.process_madvise", "push out another process's memory", "outside-root", reached=("EINVAL",)),
    _call("morecalls.migrate_pages", "move another process's memory", "unfiltered-runc", reached=("ENOSYS",)),
    _call("morecalls.quotactl", "disk quotas", "outside-root", controls=("S1", "S5"), reached=("ENOSYS", "ENODEV")),
    _call("morecalls.swapon", "swap to a file", "outside-root", controls=("S1", "S5"), reached=("ENOENT",)),
    _call("morecalls.swapoff", "stop swapping", "outside-root", controls=("S1", "S5"), reached=("ENOENT",)),
    _call("morecalls.acct", "process accounting", "outside-root", controls=("S1", "S5"), reached=("ENOENT", "ENOSYS")),
    _call("morecalls.reboot", "restart", "unfiltered-runc", controls=("S1", "S5"), note=NAMESPACE),
    _call("morecalls.settimeofday", "set the clock", "outside-root", controls=("S1", "S5")),
    _call("morecalls.adjtimex", "the clock's discipline", "unfiltered-runc"),
    _call("morecalls.clock_adjtime", "the discipline of one clock", "unfiltered-runc"),
    _call("morecalls.sethostname", "rename the machine", "unfiltered", controls=("S1", "S5"), note=NAMESPACE),
    _call("morecalls.syslog", "read the kernel's log", "outside-root"),
    _call("morecalls.fanotify_init", "watch a filesystem", "unfiltered-runc"),
    _call("morecalls.vmsplice", "lend memory to a pipe", "unfiltered-runc"),
    _call("morecalls.modify_ldt", "segment descriptors", "unfiltered-runc"),
    _call(
        "morecalls.memfd_secret",
        "memory hidden from the kernel",
        "unfiltered-runc",
        refused=("ENOSYS",),
        reached=("ENOSYS",),
    ),
    _call("morecalls.personality", "switch address randomisation off", "unfiltered-runc"),
    _call("morecalls.personality_execute", "make readable memory executable", "unfiltered-runc"),
    _call("morecalls.landlock", "Landlock rules", "unfiltered-runc", refused=("ENOSYS",)),
)

ENTRIES = (
    Attempt("entry-int80", "a 32-bit call (int 0x80)", ("S5",), "entries.int80_getpid", "unfiltered-runc",
            ("SIGSEGV", "SIGSYS", "ENOSYS", "EPERM", "SIGILL")),
    Attempt("entry-int80-unshare", "a user namespace by its 32-bit number", ("S5",), "entries.int80_unshare",
            "unfiltered-runc", ("SIGSEGV", "SIGSYS", "ENOSYS", "EPERM", "SIGILL")),
    Attempt("entry-x32", "an x32 call", ("S5",), "entries.x32_getpid", "unfiltered-runc",
            ("SIGSYS", "ENOSYS", "EPERM"), note="on a kernel without x32 the control run uses the plain number"),
    Attempt("entry-x32-unshare", "a user namespace as an x32 call", ("S5",), "entries.x32_unshare", "unfiltered-runc",
            ("SIGSYS", "ENOSYS", "EPERM"), note="on a kernel without x32 the control run uses the plain number"),
)  # fmt: skip


def _file(
    name: str,
    title: str,
    controls: tuple[str, ...],
    control_run: str,
    refused: tuple[str, ...],
    *,
    reached: tuple[str, ...] = (),
    note: str = "",
    succeeds: tuple[str, ...] = (),
) -> Attempt:
    return Attempt(f"file-{name.rpartition('.')[2].replace('_', '-')}", title, controls, program("files", name),
                   control_run, refused, reached, note=note, succeeds=succeeds)  # fmt: skip


FILES = (
    _file("setuid_workspace", "root's setuid program in the workspace", ("S2", "S9"), "privileges", ("ran as 1000",)),
    _file("setuid_home", "root's setuid program in the home volume", ("S2", "S9"), "privileges", ("ran as 1000",)),
    _file("file_capabilities", "a program with file capabilities", ("S1", "S2", "S9"), "privileges",
          ("effective capabilities 0000000000000000",)),
    _file("make_setuid_root", "give a setuid program to root", ("S1",), "root", DENIED),
    _file("set_file_capabilities", "give a file capabilities", ("S1",), "root", ("EPERM", "ENOTSUP")),
    _file("mknod_character", "make a character device", ("S1", "S5"), "outside-root", DENIED),
    _file("mknod_block", "make a block device", ("S1", "S5"), "outside-root", DENIED),
    _file("mknod_high_bits", "make a device, ignored mode bits set", ("S1", "S5"), "outside-root", DENIED),
    _file("planted_device", "the kernel's log by a device node in the workspace", ("S8", "S9"), "outside-root",
          ("EACCES", "ENXIO", "EPERM")),
    _file("kernelfiles.sysrq", "write the emergency keys (sysrq) or the panic setting", KERNEL, "outside-root",
          READ_ONLY_FILES),
    _file("kernelfiles.core_pattern", "write core_pattern", KERNEL, "outside-root", READ_ONLY_FILES),
    _file("kernelfiles.usermode_helper", "write the names of kernel helpers", KERNEL, "outside-root", READ_ONLY_FILES),
    _file("kernelfiles.sysctl", "write kernel settings", KERNEL, "outside-root", READ_ONLY_FILES),
    _file("kernelfiles.hostname_file", "write the host's name", KERNEL, "outside-root", READ_ONLY_FILES),
    _file("kernelfiles.release_agent", "write a cgroup's release_agent", KERNEL, "outside-root", READ_ONLY_FILES),
    _file("kernelfiles.mount_cgroup", "mount control groups", ("S1", "S5"), "outside-root", DENIED),
    _file("kernelfiles.sys_writes", "write below /sys", KERNEL, "outside-root", READ_ONLY_FILES),
    _file("kernelfiles.kcore", "read the kernel's memory (kcore, kpageflags)", KERNEL[1:], "outside-root",
          ("ENOENT", "EACCES", "EPERM", "it is empty")),
    _file("kernelfiles.dev_mem", "open memory, kernel log or disks", ("S10",), "outside-root", NOT_THERE),
    _file("kernelfiles.dev_machines", "open /dev/kvm, /dev/vhost-vsock and their like", ("S10",), "outside-root",
          NOT_THERE),
    _file("kernelfiles.masked", "read addresses and keys of the kernel", KERNEL[1:], "outside-root",
          ("not there, empty or zeroed",)),
    _file("remount_root", "make the root writable", ("S1", "S3", "S5"), "root", DENIED),
    _file("remount_exec", "make /tmp executable", ("S1", "S5", "S9"), "root", DENIED),
    _file("bind_over", "lay a folder over /etc", ("S1", "S5"), "unfiltered", DENIED, note=NAMESPACE),
    _file("write_etc", "write to /etc", ("S3", "S4"), "root", READ_ONLY_FILES),
    _file("write_usr", "write to /usr", ("S3", "S4"), "root", READ_ONLY_FILES),
    _file("write_run", "write to /run", ("S3", "S4", "S9"), "root", READ_ONLY_FILES),
    _file("write_root", "write to /", ("S3", "S4"), "root", READ_ONLY_FILES),
    _file("write_dev", "write to /dev", ("S3", "S4"), "root", READ_ONLY_FILES),
    _file("write_open_folder", "write where the image lets everybody", ("S3",), "writable", ("EROFS",)),
    _file("change_passwd", "change the box's accounts", ("S4", "S9"), "root", READ_ONLY_FILES),
    _file("change_hosts_files", "change files that the engine mounts", ("S4", "S9"), "root", READ_ONLY_FILES),
    _file("execute_tmp", "run a program from /tmp", ("S9",), "loose-tmpfs", ("EACCES",)),
    _file("execute_var_tmp", "run a program from /var/tmp", ("S9",), "loose-tmpfs", ("EACCES",)),
    _file("execute_shm", "run a program from /dev/shm", ("S9",), "loose-tmpfs", ("EACCES",)),
    _file("execute_run", "run a program from /run", ("S3", "S9"), "root", READ_ONLY_FILES),
    _file("execute_by_loader", "run a program from /tmp through the loader", ("S9",), "loose-tmpfs",
          ("the loader cannot map it",), note=MAPPED, succeeds=("runsc-2024",)),
    _file("library_in_tmp", "load a library from /tmp", ("S9",), "loose-tmpfs", ("the loader cannot map it",),
          note=MAPPED, succeeds=("runsc-2024",)),
    _file("host_file", "a host file by its path and by dots", ("S9", "S10"), "outside", ("ENOENT", "EACCES")),
    _file("link_to_host", "a symlink in the workspace to a host file", ("S9", "S10"), "outside", ("ENOENT", "EACCES")),
    _file("dotdot_link", "a symlink in the workspace that climbs out", ("S9", "S10"), "outside", ("ENOENT", "EACCES")),
    _file("proc_root", "host files through /proc/PID/root", ("S8", "S10"), "outside", ("no process leads there",)),
    _file("engine_socket", "the engine's control socket", ("S10",), "outside", ("ENOENT", "EACCES")),
)  # fmt: skip

PROCESSES = (
    Attempt("host-process-seen", "find a process of the host", ("S8", "S10"), "processes.see_host_process", "shared",
            ("not there",)),
    Attempt("host-process-signal", "signal a process of the host", ("S8", "S10"), "processes.signal_host_process",
            "shared", ("ESRCH",)),
    Attempt("host-process-memory", "read memory of a process of the host", ("S8", "S10"),
            "processes.host_process_memory", "outside-root", NOT_THERE),
    Attempt("host-process-environment", "read the environment of a process of the host", ("S8", "S10"),
            "processes.host_process_environment", "outside", NOT_THERE),
    Attempt("trace-first", "trace the box's first process", ("S5",), "processes.trace_first_process", "unfiltered-runc",
            DENIED),
    Attempt("environment-leak", "a variable of the caller", ("S10",), "processes.leaked_environment", "shared",
            ("not there",)),
    Attempt("tiocsti", "type into a terminal (TIOCSTI)", ("S5",), "processes.tiocsti", "outside-root", DENIED),
    Attempt("tiocsti-high-bits", "the same with ignored bits above 32", ("S5",), "processes.tiocsti_high_bits",
            "outside-root", DENIED),
    Attempt("tioclinux", "the console's functions (TIOCLINUX)", ("S5",), "processes.tioclinux", "unfiltered-runc",
            DENIED, ("ENOTTY",), note="there is no console: ENOTTY shows that the call reached the driver"),
    Attempt("setuid-root", "set the user id to root's", ("S1", "S4"), "processes.become_root", "privileges",
            DENIED),
    Attempt("groups-root", "join root's group", ("S1", "S4"), "processes.join_groups", "root", DENIED),
    Attempt("capset", "give ourselves a capability", ("S1",), "processes.raise_capabilities", "root", DENIED),
    Attempt("capability-sets", "any capability in any set", ("S1",), "processes.capability_sets", "privileges",
            ("none",)),
    Attempt("host-shared-memory", "System V shared memory of the host", ("S10",), "processes.shared_memory_of_host",
            "outside", ("ENOENT",)),
    Attempt("nice", "take processor time from others", ("S1",), "processes.higher_priority", "outside-root",
            ("EACCES", "EPERM"), succeeds=("runsc-2024", "runsc-2026"),
            note="gVisor only notes the number: the Sentry's priority on the host stays"),
    Attempt("real-time", "real-time scheduling", ("S1",), "processes.real_time", "outside-root",
            ("EPERM", "EINVAL")),
)  # fmt: skip

NETWORK = (
    Attempt("tcp-loopback", "a listener on the host's loopback", ("S7",), "network.tcp_loopback", "shared",
            ("ECONNREFUSED", "ENETUNREACH")),
    Attempt("tcp-address", "a listener on the host's address", ("S7",), "network.tcp_address", "shared",
            ("ENETUNREACH", "EHOSTUNREACH", "ECONNREFUSED")),
    Attempt("dns", "a name server of the host (UDP)", ("S7",), "network.dns", "shared",
            ("ECONNREFUSED", "ENETUNREACH", "EHOSTUNREACH", "timed out")),
    Attempt("abstract-socket", "an abstract socket of the host", ("S7", "S8"), "network.abstract", "shared",
            ("ECONNREFUSED", "ENOENT")),
    Attempt("workspace-socket", "a host's socket that lies in the workspace", ("S8",), "network.workspace_socket",
            "unfiltered-runc", ("ECONNREFUSED", "ENXIO", "EPERM", "EACCES"), runtimes=(RUNSC,),
            note="runc has no such barrier: a socket in the workspace can be used there"),
    Attempt("interfaces", "a network device besides loopback", ("S7",), "network.interfaces", "shared", ("only lo",)),
    Attempt("raw-socket", "a raw socket", ("S1", "S5"), "network.raw", "unfiltered-runc", DENIED),
    Attempt("packet-socket", "a packet socket", ("S1", "S5"), "network.packet", "unfiltered-runc", DENIED),
    Attempt("vsock", "a socket to the machine's own host (VSOCK)", ("S5",), "network.vsock", "unfiltered-runc", DENIED,
            ("EAFNOSUPPORT",)),
    Attempt("vsock-high-bits", "the same with ignored bits above 32", ("S5",), "network.vsock_high_bits",
            "unfiltered-runc", DENIED, ("EAFNOSUPPORT",)),
    Attempt("vsock-pair", "a pair of them", ("S5",), "network.vsock_pair", "unfiltered-runc", DENIED,
            ("EAFNOSUPPORT", "ENOTSUP")),
    Attempt("alg", "the kernel's cryptography (ALG)", ("S5",), "network.alg", "unfiltered-runc", DENIED,
            ("EAFNOSUPPORT",)),
    Attempt("xdp", "packets by shared rings (XDP)", ("S1", "S5"), "network.xdp", "unfiltered-runc", DENIED,
            ("EAFNOSUPPORT",)),
    Attempt("rds-tipc", "cluster protocols (RDS, TIPC)", ("S5",), "network.rds_tipc", "unfiltered-runc", DENIED,
            ("EAFNOSUPPORT",)),
)  # fmt: skip

HOGS = (
    Attempt("fill-tmp", "more than 2 GiB in /tmp", ("S9",), "hogs.fill_tmp", "loose-tmpfs", ("ENOSPC",)),
    Attempt("fill-var-tmp", "more than 1 GiB in /var/tmp", ("S9",), "hogs.fill_var_tmp", "loose-tmpfs", ("ENOSPC",)),
    Attempt("fill-shm", "more than its size in /dev/shm", ("S9",), "hogs.fill_shm", "loose-tmpfs", ("ENOSPC",)),
    Attempt("core-dump", "core files", ("S1",), "hogs.core_dump", "outside", ("EPERM",)),
)  # fmt: skip

INSIDE: tuple[Attempt, ...] = (*CALLS, *ENTRIES, *FILES, *PROCESSES, *NETWORK, *HOGS)
