"""The OCI runtime that engines call for aibox's boxes: a folder of small files around runsc.

The folder's name and the plan carry the digest of its content, so a box keeps exactly the wrapper that it was made
with, and `aibox setup` of another version never changes a running box.
"""

import os
import sys
from typing import NamedTuple

from aibox import assets, jsonview, state
from aibox.errors import AiboxError
from aibox.jsonview import Json
from aibox.model import COMPANION, Runtime
from aibox.state import Paths

FLAGS = ("--network=none", "--oci-seccomp=true", "--host-uds=none", "--overlay2=none")
ROOTLESS_FLAGS = ("--ignore-cgroups=true",)
INIT_TITLE = "aibox-init"  # what PID 1 of a box calls itself


class Numbers(NamedTuple):
    """Syscall numbers of one architecture for the programs in the box (asm/unistd.h)."""

    prctl: int
    seccomp: int
    rt_sigprocmask: int
    rt_sigtimedwait: int


NUMBERS = {"x86_64": Numbers(157, 317, 14, 128), "aarch64": Numbers(167, 277, 135, 137)}


class Settings(NamedTuple):
    """What the wrapper is made for.

    `program` is runsc, or for the fallback runc or crun (`kind`); `apparmor` is the profile that runsc enters, or that
    the box's processes enter under runc and crun, or empty; `boxes` is for Docker alone: the folder in which aibox and
    the wrapper meet, a folder for each box.
    """

    program: str
    platform: str
    rootless: bool
    apparmor: str
    python: str
    machine: str
    kind: str = "runsc"
    boxes: str = ""

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags that the runtime gets on every call."""
        if self.kind != "runsc":
            return ()
        return (*FLAGS, f"--platform={self.platform}", *(ROOTLESS_FLAGS if self.rootless else ()))


def numbers(machine: str) -> Numbers:
    """Raises host-unsupported for an architecture that neither gVisor nor aibox knows."""
    try:
        return NUMBERS[machine]
    except KeyError:
        raise AiboxError(
            "host-unsupported",
            f"aibox does not know the processor architecture {machine}",
            why="gVisor runs on x86_64 and aarch64",
            fix="use a machine of one of these kinds",
        ) from None


def contents(settings: Settings, folder: str) -> dict[str, bytes]:
    """The files of the wrapper's folder, by name."""
    import shlex

    known = numbers(settings.machine)
    wrapper = _filled(
        assets.text("wrapper.sh"),
        HERE=shlex.quote(folder),
        PYTHON=shlex.quote(settings.python),
        PROGRAM=shlex.join((settings.program, *settings.flags)),
        DIRECT="" if settings.boxes else " | start",
    )
    record: dict[str, Json] = {
        "kind": settings.kind,
        "program": settings.program,
        "flags": list(settings.flags),
        "apparmor": settings.apparmor,
    }
    if settings.boxes:
        record["boxes"] = settings.boxes
    files = {
        wrapper_name(settings.kind): wrapper.encode(),
        "launch.py": assets.read("launch.py"),
        "settings.json": (jsonview.dump(record) + "\n").encode(),
    }
    if settings.boxes:
        files["dockerbox.py"] = assets.read("dockerbox.py")
    if settings.kind != "runsc":
        return files
    session = _filled(assets.text("session.pl"), PRCTL=str(known.prctl), SECCOMP=str(known.seccomp))
    return {
        **files,
        "session.pl": session.encode(),
        "session.bpf": assets.read(f"session-{settings.machine}.bpf"),
        "outer.bpf": assets.read(f"outer-{settings.machine}.bpf"),
    }


def wrapper_name(kind: str) -> str:
    """The program that engines call in place of the runtime."""
    return f"aibox-{kind}"


def python_program() -> str:
    """The interpreter for the wrapper: the system's, which stays, rather than one of a virtual environment."""
    return "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else os.path.realpath(sys.executable)


def init_program(machine: str) -> str:
    """The text of PID 1 for a box on this architecture."""
    known = numbers(machine)
    calls = {"SIGPROCMASK": str(known.rt_sigprocmask), "SIGTIMEDWAIT": str(known.rt_sigtimedwait)}
    return _filled(assets.text("init.pl"), TITLE=INIT_TITLE, **calls)


def _filled(template: str, **values: str) -> str:
    for name, value in values.items():
        template = template.replace(f"@{name}@", value)
    return template


def digest(files: dict[str, bytes]) -> str:
    """One SHA-256 for names and contents, in hex."""
    return state.sha256("".join(f"{name} {state.sha256(files[name])}\n" for name in sorted(files)).encode())


def folder_for(paths: Paths, settings: Settings) -> str:
    """The wrapper's folder: named after its content, so different wrappers live side by side."""
    return f"{paths.data}/runtimes/{digest(contents(settings, ''))[:16]}"


def install(paths: Paths, settings: Settings) -> Runtime:
    """Write the wrapper's files (atomically, each only if it differs) and return the runtime that engines call."""
    folder = folder_for(paths, settings)
    files = contents(settings, folder)
    for name in sorted(files):
        mode = 0o755 if name == wrapper_name(settings.kind) else 0o644
        path = f"{folder}/{name}"
        if state.read_bytes(path) != files[name] or os.stat(path).st_mode & 0o7777 != mode:
            state.write_atomically(path, files[name], mode)
    path = f"{folder}/{wrapper_name(settings.kind)}"
    return Runtime(settings.kind, path, digest(files), settings.program, settings.platform, settings.apparmor)


def slot(entry: str, kind: str) -> str:
    """Where setup's record keeps `entry` for a kind of runtime: gVisor's and each fallback's lie side by side."""
    return entry if kind == "runsc" else f"{entry}-{kind}"


def check(record: dict[str, Json], kind: str = "runsc") -> Runtime:
    """The runtime of setup's record, each of its files still what setup wrote or chose.

    Raises runtime-missing or runtime-tampered.
    """
    kept = jsonview.fields(record, slot("runtime", kind))
    path, program = jsonview.text(kept, "path"), jsonview.text(kept, "program")
    if not path:
        raise AiboxError(
            "runtime-missing",
            f"{'gVisor' if kind == 'runsc' else kind} is not set up for this user",
            why="aibox setup has not finished here yet",
            fix="aibox setup" if kind == "runsc" else f"aibox setup --runtime {kind}",
        )
    check_wrapper(kept)
    check_program(kept, kind)
    return Runtime(
        kind,
        path,
        jsonview.text(kept, "digest"),
        program,
        jsonview.text(kept, "platform"),
        jsonview.text(kept, "apparmor"),
    )


def check_wrapper(kept: dict[str, Json]) -> None:
    """The wrapper's files are those that setup wrote, and nobody else can write them. Raises runtime-tampered."""
    folder = os.path.dirname(jsonview.text(kept, "path"))
    files = {name: state.read_bytes(f"{folder}/{name}") for name in jsonview.texts(kept, "files")}
    lost = sorted(name for name, content in files.items() if content is None)
    if lost or not files:
        raise _tampered(f"{folder} lacks {', '.join(lost) or 'its files'}", "a file was removed")
    if digest({name: content or b"" for name, content in files.items()}) != jsonview.text(kept, "digest"):
        raise _tampered(f"a file in {folder} is not what setup wrote", "its SHA-256 differs")
    _require_owner(folder, *(f"{folder}/{name}" for name in files))
    if not os.access(jsonview.text(kept, "path"), os.X_OK):
        raise _tampered(f"{jsonview.text(kept, 'path')} may not be executed", "its mode was changed")


def check_program(kept: dict[str, Json], kind: str = "runsc") -> None:
    """The runtime itself is the one that setup proved. Raises runtime-tampered."""
    program = jsonview.text(kept, "program")
    if program_identity(program) != jsonview.text(kept, "program_identity"):
        found = program_digest(program)
        if found != jsonview.text(kept, "program_sha256"):
            why = "it was removed" if not found else "its SHA-256 differs: it was updated or exchanged"
            raise _tampered(f"{program} is not the {kind} that setup proved", why)


def program_files(program: str) -> list[str]:
    """runsc and what it needs beside it."""
    companion = f"{os.path.dirname(program)}/{COMPANION}"
    try:
        return [program, *(f"{companion}/{name}" for name in sorted(os.listdir(companion)))]
    except OSError:
        return [program]


def program_identity(program: str) -> str:
    """Inode, size and change time of runsc's files: equal as long as nobody wrote to them. Empty if one is gone."""
    try:
        known = [os.stat(path) for path in program_files(program)]
    except OSError:
        return ""
    return " ".join(f"{one.st_ino}:{one.st_size}:{one.st_mtime_ns}:{one.st_ctime_ns}" for one in known)


def program_digest(program: str) -> str:
    """SHA-256 of runsc; with a companion folder, of all its files' sums. Empty if it cannot be read."""
    try:
        sums = [(os.path.basename(path), state.sha256_file(path)) for path in program_files(program)]
    except OSError:
        return ""
    return sums[0][1] if len(sums) == 1 else state.sha256("".join(f"{name} {sum_}\n" for name, sum_ in sums).encode())


def folder_digest(folder: str) -> str:
    """The digest of the wrapper's files as they are on disk; empty if the folder is gone."""
    try:
        names = sorted(name for name in os.listdir(folder) if not name.endswith(".new"))
    except OSError:
        return ""
    return digest({name: state.read_bytes(f"{folder}/{name}") or b"" for name in names})


def _require_owner(*files: str) -> None:
    for path in files:
        status = os.stat(path)
        if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
            raise _tampered(f"{path} could have been changed by somebody else", "its owner or mode lets others write")


def _tampered(what: str, why: str) -> AiboxError:
    return AiboxError("runtime-tampered", what, why=why, fix="aibox setup")
