"""The part of aibox's OCI runtime that prepares `create`, `run`, `restore` and `exec`, then becomes runsc.

`create` and its kin enter the outer layer: AppArmor where the host has it, no_new_privs, a Landlock domain without TCP,
foreign abstract sockets and foreign signals, and a seccomp filter of what runsc never needs. `exec` is rewritten so
that a launcher in the box loads the seccomp filter before the session's program starts: runsc before 2026 leaves
sessions without one, and the one of later releases has to let clone3 through, with any namespace flag. For the
fallback, runc or crun, both are given the AppArmor profile of a box's processes instead, because a rootless engine does
not hand it on.

Runs isolated (`python3 -I -S`), from a folder that `aibox setup` wrote; every failure refuses the command.
Sources: landlock(7), seccomp(2), prctl(2), kernel Documentation/userspace-api/landlock.rst.
"""

from __future__ import annotations

import json
import os
import stat
import sys

# every session waits for this program, and `typing` is a third of what it would load
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import NoReturn, TypedDict

    class IdRow(TypedDict):
        """One row of a user namespace's map, as far as it is read here."""

        hostID: int
        size: int

    class Namespaces(TypedDict, total=False):
        """The part of the configuration that is about Linux."""

        uidMappings: list[IdRow] | None

    class Root(TypedDict):
        """The root filesystem."""

        path: str

    class Mount(TypedDict, total=False):
        """One mount."""

        type: str
        source: str

    class OciConfig(TypedDict, total=False):
        """What is read here of config.json (OCI runtime specification)."""

        annotations: dict[str, str] | None
        linux: Namespaces
        root: Root
        mounts: list[Mount] | None


HERE = os.path.dirname(os.path.abspath(__file__))
# per architecture: prctl, seccomp (asm/unistd.h)
SYSCALLS = {"x86_64": (157, 317), "aarch64": (167, 277)}
LANDLOCK_CREATE_RULESET, LANDLOCK_RESTRICT_SELF = 444, 446  # equal on all architectures
LANDLOCK_NET_ABI, LANDLOCK_SCOPE_ABI = 4, 6
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_SET_MODE_FILTER = 1
MAKING = ("create", "run", "restore")
BOX_UID = 1000
PERL = "/usr/bin/perl"
# annotations that steer a runtime; aibox/checks_engine.py has the same two tables and says why
STEERING = (
    "dev.gvisor.",
    "io.kubernetes.cri.",
    "io.kubernetes.cri-o.ContainerType",
    "io.kubernetes.cri-o.SandboxID",
    "krun.",
    "module.wasm.image/",
    "org.criu.",
    "org.systemd.property.",
    "run.oci.",
)
NOT_STEERING = ("org.systemd.property.KillSignal", "org.systemd.property.TimeoutStopUSec")


class RefusedError(Exception):
    """The command may not go on; the text says why."""


def main(verb: str, arguments: Sequence[str]) -> None:
    """Prepare `verb` and become runsc with `arguments`."""
    with open(f"{HERE}/settings.json", encoding="utf-8") as file:
        settings = json.load(file)
    try:
        if verb == "check":
            report_attempts(settings)
            return
        if verb == "exec":
            prepare_session(arguments, settings)
        elif verb == "start" and settings.get("boxes"):
            hold_docker_box(arguments, settings)
        elif verb not in MAKING:
            raise RefusedError("neither a command nor an option that a box's runtime is called with")
        else:
            bundle = value_of(arguments, "bundle", "b") or "."
            config = check_bundle(bundle)
            if settings.get("boxes"):
                prepare_docker_box(arguments, settings, bundle)
            elif settings["kind"] == "runsc":
                open_the_way(bundle, config)
            if settings["kind"] == "runsc":
                enter_outer_layer(settings)
            else:
                confine_bundle(f"{bundle}/config.json", settings["apparmor"])
        os.execv(settings["program"], [settings["program"], *settings["flags"], *arguments])
    except (RefusedError, OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        refuse(f"aibox-{settings['kind']} {verb}: {error}", arguments)


def prepare_docker_box(arguments: Sequence[str], settings: Mapping[str, str], bundle: str) -> None:
    """What Docker has no flag for. Raises RefusedError."""
    sys.path.insert(0, HERE)  # isolated, so that only this folder's file is found
    import dockerbox

    try:
        folder = dockerbox.folder_of(settings["boxes"], arguments[-1])
        dockerbox.prepare(folder, bundle, value_of(arguments, "pid-file") or "")
    except dockerbox.RefusedError as error:
        raise RefusedError(str(error)) from error


def hold_docker_box(arguments: Sequence[str], settings: Mapping[str, str]) -> None:
    """Keep a box from running until it is checked. Raises RefusedError."""
    sys.path.insert(0, HERE)
    import dockerbox

    try:
        dockerbox.hold(dockerbox.folder_of(settings["boxes"], arguments[-1]))
    except dockerbox.RefusedError as error:
        raise RefusedError(str(error)) from error


def values_of(arguments: Sequence[str], *names: str) -> list[str]:
    """The values of an option given as `--name VALUE` or `--name=VALUE` (one dash or two)."""
    found: list[str] = []
    for position, argument in enumerate(arguments):
        name, equals, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and name in names:
            found += [value] if equals else arguments[position + 1 : position + 2]
    return found


def value_of(arguments: Sequence[str], *names: str) -> str | None:
    """The value of an option, or None.

    Raises RefusedError if it is given twice: what is judged here would not be what the runtime takes.
    """
    found = values_of(arguments, *names)
    if len(found) > 1:
        raise RefusedError(f"--{names[0]} is given {len(found)} times")
    return found[0] if found else None


def check_bundle(bundle: str) -> OciConfig:
    """Refuse annotations that steer the runtime; everything else is judged by `aibox start` and `aibox verify`.

    Returns the OCI configuration.
    """
    with open(f"{bundle}/config.json", encoding="utf-8") as file:
        config: OciConfig = json.load(file)
    names = config.get("annotations") or {}
    steering = sorted(name for name in names if name.startswith(STEERING) and name not in NOT_STEERING)
    if steering:
        raise RefusedError(f"the container carries {', '.join(steering)}, which could switch off its controls")
    return config


def open_the_way(bundle: str, config: OciConfig) -> None:
    """Let the Gofer pass through the engine's own folders (o+x) where their owner is not in the box's user namespace.

    The Gofer opens what it serves by path, as the box's root. Podman 4.3 opened the way by itself; Podman 5 hands
    open files to crun and runc instead and leaves its folders closed, so that gVisor could not start.
    """
    mapped = [(row["hostID"], row["size"]) for row in config.get("linux", {}).get("uidMappings") or []]
    mounts = config.get("mounts") or []
    sources = [config["root"]["path"], *(mount["source"] for mount in mounts if mount.get("type") == "bind")]
    own = f"-containers/{os.path.basename(os.path.dirname(bundle))}/userdata"
    # <store>/overlay-containers/<id>/userdata: the engine's storage and its runtime folder, and what they lie in
    heads = {source.partition(own)[0] for source in (bundle, *sources) if own in source}
    stores = {os.path.dirname(os.path.dirname(head)) for head in heads}
    for source in sources:
        store = next((place for place in stores if source.startswith(f"{place}/")), None)
        path = source
        while mapped and store and len(path) >= len(store):
            status = os.stat(path)
            strange = not any(first <= status.st_uid < first + count for first, count in mapped)
            if strange and stat.S_ISDIR(status.st_mode) and not status.st_mode & stat.S_IXOTH:
                os.chmod(path, stat.S_IMODE(status.st_mode) | stat.S_IXOTH)
            path = os.path.dirname(path)


def confine_bundle(path: str, profile: str) -> None:
    """Have the runtime start the box's first process in the AppArmor profile."""
    if not profile:
        raise RefusedError("without an AppArmor profile a box may not run on this host's kernel")
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    config["process"]["apparmorProfile"] = profile
    replace(path, config)


def enter_outer_layer(settings: Mapping[str, str]) -> None:
    """Confine this process, and with it the runsc that it becomes. Raises OSError or RefusedError."""
    import ctypes

    prctl, seccomp = SYSCALLS[os.uname().machine]
    if settings["apparmor"]:
        enter_apparmor(settings["apparmor"])
    call(prctl, *(ctypes.c_long(value) for value in (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)))
    enter_landlock()
    with open(f"{HERE}/outer.bpf", "rb") as file:
        code = file.read()

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]

    program = Program(len(code) // 8, code)
    call(seccomp, ctypes.c_long(SECCOMP_SET_MODE_FILTER), ctypes.c_long(0), ctypes.byref(program))


def call(number: int, *values: object) -> int:
    """A system call by number. Raises OSError."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.syscall(ctypes.c_long(number), *values)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"syscall {number}: {os.strerror(code)}")
    return result


def enter_apparmor(profile: str) -> None:
    """Have the kernel change to `profile` at the next exec, as aa-exec(1) does."""
    for place in ("/proc/self/attr/apparmor/exec", "/proc/self/attr/exec"):
        if os.path.exists(place):
            with open(place, "w", encoding="ascii") as file:
                file.write(f"exec {profile}")
            return
    raise RefusedError(f"the AppArmor profile {profile} cannot be entered: the kernel offers no attr/exec")


def landlock_abi() -> int:
    """The version of this kernel's Landlock; 0 without any, which setup, doctor, status and verify say."""
    import ctypes

    try:
        return call(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    except OSError:
        return 0


def enter_landlock() -> None:
    """No TCP, no abstract sockets and no signals to processes outside, as far as this kernel's Landlock reaches."""
    import ctypes

    abi = landlock_abi()
    if abi < LANDLOCK_NET_ABI:
        return
    net = 1 | 2  # bind and connect
    scoped = 1 | 2 if abi >= LANDLOCK_SCOPE_ABI else 0  # abstract sockets, signals
    rules = (ctypes.c_uint64 * 3)(0, net, scoped)
    size = ctypes.c_size_t(24 if scoped else 16)
    ruleset = call(LANDLOCK_CREATE_RULESET, ctypes.byref(rules), size, ctypes.c_uint(0))
    call(LANDLOCK_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0))
    os.close(ruleset)


def report_attempts(settings: Mapping[str, str]) -> None:
    """Enter the outer layer as runsc does, try what it has to refuse, and print what happened as JSON."""
    import signal
    import socket

    name = b"\0aibox-check-" + os.urandom(8).hex().encode()
    outside = socket.socket(socket.AF_UNIX)
    outside.bind(name)
    outside.listen(1)
    tcp = socket.socket(socket.AF_INET)  # made before, so that Landlock and not the filter has to refuse its use
    waiting, ending = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ending)
        os.read(waiting, 1)
        os._exit(0)
    abi = landlock_abi()
    try:
        enter_outer_layer(settings)
        machine = {"x86_64": (250, 425, 323), "aarch64": (219, 425, 282)}[os.uname().machine]
        attempts = {
            "tcp-connect": lambda: tcp.connect(("127.0.0.1", 9)),
            "tcp-bind": lambda: tcp.bind(("127.0.0.1", 0)),
            "tcp-socket": lambda: socket.socket(socket.AF_INET),
            "packet-socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
            "abstract-socket": lambda: socket.socket(socket.AF_UNIX).connect(name),
            "signal": lambda: os.kill(child, signal.SIGTERM),
            "keyctl": lambda: call(machine[0]),
            "io_uring_setup": lambda: call(machine[1]),
            "userfaultfd": lambda: call(machine[2]),
        }
        told = {name: outcome(attempt) for name, attempt in attempts.items()}
    finally:
        os.close(ending)  # the child ends by this, because it can no longer be signalled
        os.waitpid(child, 0)
    net, scoped = ("tcp-connect", "tcp-bind"), ("abstract-socket", "signal")
    lacking = [*(net if abi < LANDLOCK_NET_ABI else ()), *(scoped if abi < LANDLOCK_SCOPE_ABI else ())]
    print(json.dumps({"landlock_abi": abi, "lacking": lacking, "attempts": told, "label": label()}))


def outcome(attempt: Callable[[], object]) -> str:
    """How an attempt ended: `refused` for EPERM and EACCES, else `succeeded` or the other error."""
    try:
        attempt()
    except PermissionError as error:
        return f"refused ({error.strerror})"
    except OSError as error:
        return f"reached the kernel ({error.strerror})"
    return "succeeded"


def label() -> str:
    """This process's AppArmor label, empty without AppArmor."""
    try:
        with open("/proc/self/attr/apparmor/current", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def prepare_session(arguments: Sequence[str], settings: Mapping[str, str]) -> None:
    """Rewrite the process file of `exec` in place: the launcher first, the session's own environment as words."""
    path = value_of(arguments, "process", "p")
    if not path:
        raise RefusedError("a session without a process file cannot be given its seccomp filter")
    with open(path, encoding="utf-8") as file:
        process = json.load(file)
    user = process.get("user") or {}
    if user.get("uid", 0) != BOX_UID or user.get("gid", 0) != BOX_UID:
        raise RefusedError(f"a box's sessions run as {BOX_UID}:{BOX_UID} and no other user")
    held = [name for names in (process.get("capabilities") or {}).values() for name in names or []]
    if held:
        raise RefusedError(f"a box's sessions hold no capability ({', '.join(sorted(set(held)))} asked for)")
    process["noNewPrivileges"] = True
    process.pop("apparmorProfile", None)
    if settings["kind"] != "runsc":
        process["apparmorProfile"] = settings["apparmor"]
    else:
        with open(f"{HERE}/session.bpf", "rb") as file:
            code = file.read().hex()
        with open(f"{HERE}/session.pl", encoding="utf-8") as file:
            launcher = file.read()
        # nothing of the session's environment may reach the launcher, or it could run code before the filter is on
        environment = process.get("env") or []
        process["args"] = [PERL, "-e", launcher, code, str(len(environment)), *environment, *process["args"]]
        process["env"] = []
    replace(path, process)


def replace(path: str, content: object) -> None:
    """Write a JSON file anew, so that nobody sees half of it."""
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "x", encoding="utf-8", opener=private) as file:
        json.dump(content, file)
    os.replace(temporary, path)


def private(path: str, flags: int) -> int:
    """An opener that makes files for their owner only."""
    return os.open(path, flags, 0o600)


def refuse(message: str, arguments: Sequence[str]) -> NoReturn:
    """Tell the engine in its log, and the caller on standard error, and fail."""
    for log in values_of(arguments, "log")[-1:]:
        with open(log, "a", encoding="utf-8") as file:
            file.write(json.dumps({"level": "error", "msg": message}) + "\n")
    sys.stderr.write(message + "\n")
    sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
