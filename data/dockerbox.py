"""What Docker has no flag for, done by the wrapper around runsc: launch.py loads it for `create` and `start`.

`create`: the box gets its user namespace, its mounts get nosuid and nodev, and the runtime's Gofer, which is not root,
gets a way to what it serves. `start` is held until aibox, which waits at a pipe, has compared the OCI configuration
with the plan; where nobody waits (a `docker start` typed by hand) only a configuration that was checked may run.
Sources: the OCI runtime specification's config.md; mount(2), user_namespaces(7), fifo(7).
"""

import ctypes
import hashlib
import json
import os
import select
import signal
import stat
import time
from collections.abc import Mapping, Sequence
from typing import TypedDict

ANSWER_SECONDS = 150.0
ENDING_SECONDS = 0.3
MOST_BYTES = 64
LIBNETWORK = "libnetwork-setkey"
ENGINE_FILES = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf")
CLONE_NEWNS = 0x20000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_SLAVE = 2, 4, 8, 4096, 16384, 1 << 19


class Box(TypedDict):
    """What aibox notes of a box before it starts it: the range of host ids that the box is mapped to."""

    base: int
    size: int


class Namespace(TypedDict):
    """One namespace."""

    type: str


class Linux(TypedDict, total=False):
    """The part of the configuration that is about Linux."""

    namespaces: "list[Namespace]"
    uidMappings: "list[dict[str, int]]"
    gidMappings: "list[dict[str, int]]"


class Root(TypedDict):
    """The root filesystem."""

    path: str


class Mount(TypedDict, total=False):
    """One mount."""

    type: str
    source: str
    destination: str
    options: "list[str]"


class Hook(TypedDict, total=False):
    """A program that the runtime runs on the host."""

    path: str
    args: "list[str]"


class Config(TypedDict, total=False):
    """What is read and changed here of config.json."""

    linux: Linux
    root: Root
    mounts: "list[Mount]"
    hooks: "dict[str, list[Hook]]"


class RefusedError(Exception):
    """The box may not go on; the text says why."""


def folder_of(boxes: str, identifier: str) -> str:
    """The folder in which aibox and the wrapper meet for a box. Raises RefusedError."""
    folder = f"{boxes}/{identifier}"
    if not identifier or "/" in identifier or not os.path.isdir(folder):
        raise RefusedError(f"{identifier[:12]} is not a box that aibox made; start boxes with `aibox start`")
    return folder


def prepare(folder: str, bundle: str, pid_file: str) -> None:
    """Before `create`: complete the configuration, note where it is, and open the runtime's way to the files."""
    with open(f"{folder}/box.json", encoding="utf-8") as file:
        box: Box = json.load(file)
    path = os.path.join(os.path.abspath(bundle), "config.json")
    with open(path, encoding="utf-8") as file:
        config: Config = json.load(file)
    complete(config, box)
    write(path, config)
    write(f"{folder}/made.json", {"config": path, "pid_file": pid_file})
    mounts = [mount["source"] for mount in config.get("mounts") or [] if mount.get("type") == "bind"]
    open_the_way([config["root"]["path"], *mounts], box)


def complete(config: Config, box: Box) -> None:
    """Add to Docker's configuration what the box's controls ask for. Raises RefusedError."""
    linux = config["linux"]
    if any(entry["type"] == "user" for entry in linux["namespaces"]):
        raise RefusedError("Docker gave the container a user namespace already (userns-remap)")
    linux["namespaces"].append({"type": "user"})
    linux["uidMappings"] = [{"containerID": 0, "hostID": box["base"], "size": box["size"]}]
    linux["gidMappings"] = [{"containerID": 0, "hostID": box["base"], "size": box["size"]}]
    for hook in (hook for hooks in (config.pop("hooks", None) or {}).values() for hook in hooks or []):
        # without a network there is nothing that libnetwork's, which runs on the host, would have to do
        if (hook.get("args") or [""])[0] != LIBNETWORK:
            raise RefusedError(f"the container has a hook that runs on the host: {hook.get('path')}")
    for mount in config.get("mounts") or []:
        if mount["type"] == "bind" and mount["destination"] not in ENGINE_FILES:
            options = mount.setdefault("options", [])
            options += [option for option in ("nosuid", "nodev", "rprivate") if option not in options]


def open_the_way(sources: Sequence[str], box: Box) -> None:
    """Let the box's root reach what it is given, in a mount namespace of the runtime's own.

    Docker's folders are closed to everybody but root, and stay so: over the topmost closed one lies an empty folder
    that holds nothing but the way to these sources.
    """
    tops = {source: closed_above(source, box) for source in sources}
    covered = sorted({top for top in tops.values() if top})
    if not covered:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    checked(libc.unshare(CLONE_NEWNS), "a mount namespace")
    # what the host unmounts later goes here, too
    checked(libc.mount(None, b"/", None, MS_REC | MS_SLAVE, None), "private mounts")
    # opened in this namespace, because nothing can be bound from another one
    handles = {source: os.open(source, os.O_PATH | os.O_CLOEXEC) for source, top in tops.items() if top}
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    before = os.umask(0)
    for top in covered:
        checked(libc.mount(b"none", os.fsencode(top), b"tmpfs", flags, b"mode=0711,size=1m"), top)
    for source, handle in handles.items():
        place = f"/proc/self/fd/{handle}"
        is_folder = stat.S_ISDIR(os.stat(place).st_mode)
        os.makedirs(source if is_folder else os.path.dirname(source), mode=0o711, exist_ok=True)
        if not is_folder:
            os.close(os.open(source, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        checked(libc.mount(os.fsencode(place), os.fsencode(source), None, MS_BIND | MS_REC, None), source)
        os.close(handle)
    os.umask(before)


def closed_above(path: str, box: Box) -> str:
    """The topmost folder above `path` that the box's root may not pass; empty if there is none."""
    mine = range(box["base"], box["base"] + box["size"])
    closed = ""
    folder = os.path.dirname(path)
    while folder != "/":
        status = os.stat(folder)
        others = stat.S_IXGRP if status.st_gid in mine else stat.S_IXOTH
        bit = stat.S_IXUSR if status.st_uid in mine else others
        if not status.st_mode & bit:
            closed = folder
        folder = os.path.dirname(folder)
    return closed


def checked(result: int, what: str) -> None:
    """Raise OSError if a call of the C library failed."""
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def hold(folder: str) -> None:
    """Before `start`: have aibox check the box, or find that this very configuration was checked before.

    Raises RefusedError, and ends what `create` set up: Docker would keep it, and never start the box again.
    """
    with open(f"{folder}/made.json", encoding="utf-8") as file:
        made: Mapping[str, str] = json.load(file)
    with open(made["pid_file"], encoding="ascii") as file:
        pid = int(file.read())
    try:
        ask(folder, made["config"], pid)
    except (RefusedError, OSError, ValueError):
        os.kill(pid, signal.SIGKILL)
        time.sleep(ENDING_SECONDS)  # so that the engine hears of the end before it hears of the refusal
        raise


def ask(folder: str, config: str, pid: int) -> None:
    """Ask aibox; where nobody waits at the other end, the configuration has to be a known one. Raises RefusedError."""
    try:
        question = os.open(f"{folder}/ask", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        require_known(folder, config)
        return
    answer = os.open(f"{folder}/answer", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.write(question, (json.dumps({"config": config, "pid": pid}) + "\n").encode())
    os.close(question)
    if reply(answer) != b"go\n":
        raise RefusedError("aibox did not let the box start: a check failed, or the command was ended")


def reply(answer: int) -> bytes:
    """aibox's answer; empty when it ended, or said nothing in time."""
    waiting = select.poll()
    waiting.register(answer, select.POLLIN)
    if not waiting.poll(ANSWER_SECONDS * 1000):
        return b""
    try:
        return os.read(answer, MOST_BYTES)
    except BlockingIOError:
        return b""


def require_known(folder: str, path: str) -> None:
    """Only a configuration that aibox has checked may run without it. Raises RefusedError."""
    with open(path, encoding="utf-8") as file:
        found = digest(json.load(file))
    try:
        with open(f"{folder}/checked", encoding="ascii") as file:
            known = file.read().strip()
    except OSError:
        known = ""
    if found != known:
        raise RefusedError("this box was not checked by aibox as it is now; start it with `aibox start`")


def digest(config: Config) -> str:
    """The SHA-256 of a configuration, free of its layout and of the order of mounts, which changes from run to run."""
    mounts = sorted(canonical(mount) for mount in config.get("mounts") or [])
    return hashlib.sha256(canonical({**config, "mounts": mounts}).encode()).hexdigest()


def canonical(value: object) -> str:
    """JSON in which equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def write(path: str, content: object) -> None:
    """Write a JSON file anew, so that nobody sees half of it."""
    temporary = f"{path}.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file)
    os.replace(temporary, path)
