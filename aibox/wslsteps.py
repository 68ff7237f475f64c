"""The steps of `aibox setup` that only WSL2 has: systemd, `.wslconfig`, AppArmor; and what root prepares for a user."""

import gzip
import os
import re

from aibox import fromwindows, runner, state, wsl, wslconfig
from aibox.errors import AiboxError
from aibox.setupsteps import STEPS, Setup, Step
from aibox.wslconfig import Change, Document

WSL_CONF = "/etc/wsl.conf"
SYSTEMD_RUNS = "/run/systemd/system"
KERNEL_CONFIG = "/proc/config.gz"
WINDOWS_SECONDS = 20.0
RESTART = (
    "in Windows: wsl --shutdown (it ends everything that runs in WSL; the change takes effect with the next start)"
)
_QUESTION = "(Get-CimInstance Win32_ComputerSystem).TotalPhysicalMemory; [Environment]::ProcessorCount"


def in_wsl(setup: Setup) -> bool:
    """Whether Windows is around: this is WSL2, or the Windows shim called."""
    return setup.host.kind == "wsl2" or fromwindows.PROFILE in setup.context.environ


def steps_for(setup: Setup) -> tuple[Step, ...]:
    """All steps of this host."""
    own = tuple(step for step in STEPS if step.engine in ("", setup.engine))
    return (*WSL_STEPS, *own) if in_wsl(setup) else own


def _missing_systemd(setup: Setup) -> str:
    del setup
    if os.path.isdir(SYSTEMD_RUNS):
        return ""
    wanted = wsl.systemd_wanted(state.read_bytes(WSL_CONF) or b"")
    return "" if wanted else f"systemd does not run, and {WSL_CONF} does not ask for it"


def _write_systemd(setup: Setup) -> None:
    state.write_atomically(WSL_CONF, wsl.with_systemd(state.read_bytes(WSL_CONF) or b""), 0o644)
    setup.say(f"systemd starts when the distribution is started anew; {RESTART}")


def windows_size(setup: Setup) -> tuple[int, int]:
    """Memory in bytes and processors of the Windows machine: the shim said it, or Windows is asked; else zeros."""
    environ = setup.context.environ
    told = environ.get("WINDOWS_MEMORY", ""), environ.get("WINDOWS_PROCESSORS", "")
    if told[0].isdecimal() and told[1].isdecimal():
        return int(told[0]), int(told[1])
    drive = fromwindows.surroundings().drives.get("C", "")
    program = f"{drive}/Windows/System32/WindowsPowerShell/v1.0/powershell.exe"
    if not drive or not os.path.exists(program):
        return 0, 0
    command = [program, "-NoProfile", "-NonInteractive", "-Command", _QUESTION]
    try:
        answer = runner.run(command, timeout=WINDOWS_SECONDS, env=setup.context.env, cwd=drive).text()
    except AiboxError:
        return 0, 0
    numbers = [int(word) for word in answer.split() if word.isdecimal()]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)


def _file(setup: Setup) -> str:
    """Path of .wslconfig, or nothing if the Windows profile is out of sight."""
    folder = wsl.profile_folder(setup.context.environ)
    return f"{folder}/.wslconfig" if folder and os.path.isdir(folder) else ""


def _document(path: str) -> Document:
    return wslconfig.parse(state.read_bytes(path) or b"")


def _size_changes(setup: Setup) -> list[Change]:
    path = _file(setup)
    memory, processors = windows_size(setup) if path else (0, 0)
    return wslconfig.proposal(_document(path), memory, processors) if memory else []


def _apparmor_changes(setup: Setup) -> list[Change]:
    """The kernel command line that turns AppArmor on, where the kernel has it compiled in and it is off."""
    path = _file(setup)
    if (
        not path
        or setup.host.confinement == "apparmor"
        or not kernel_has_apparmor(state.read_bytes(KERNEL_CONFIG) or b"")
    ):
        return []
    before = wslconfig.get(_document(path), "kernelCommandLine")
    after = wslconfig.apparmor_line(before)
    return [] if before == after else [Change("kernelCommandLine", before, after, "a second line around gVisor")]


def kernel_has_apparmor(packed: bytes) -> bool:
    """Whether /proc/config.gz says that AppArmor is compiled in."""
    try:
        return b"\nCONFIG_SECURITY_APPARMOR=y\n" in gzip.decompress(packed)
    except (OSError, EOFError):
        return False


def _write_changes(setup: Setup, changes: list[Change]) -> None:
    path = _file(setup)
    before = state.read_bytes(path)
    values = {change.key: wslconfig.quoted(change.after) for change in changes}
    backup = wslconfig.write(path, before, wslconfig.dump(wslconfig.set_values(wslconfig.parse(before or b""), values)))
    setup.say(f"{path} written{f'; what was there is in {backup}' if backup else ''}; {RESTART}")


def _commands(setup: Setup, changes: list[Change]) -> list[str]:
    return [f"write {_file(setup)}: {line}" for line in wslconfig.describe(changes)]


def _told(changes: list[Change]) -> str:
    return f".wslconfig lacks {', '.join(change.key for change in changes)}" if changes else ""


WSL_STEPS: tuple[Step, ...] = (
    Step(
        "wsl-systemd",
        "systemd",
        "rootless boxes need it to hold their limits",
        _missing_systemd,
        lambda _setup: [f"set systemd=true under [boot] in {WSL_CONF}"],
        _write_systemd,
        needs_root=True,
        optional=True,
    ),
    Step(
        "wsl-memory",
        "memory of WSL2",
        "all distributions of this Windows user share what .wslconfig gives them",
        lambda setup: _told(_size_changes(setup)),
        lambda setup: _commands(setup, _size_changes(setup)),
        lambda setup: _write_changes(setup, _size_changes(setup)),
        optional=True,
    ),
    Step(
        "wsl-apparmor",
        "AppArmor in WSL2's kernel",
        "it confines gVisor's own processes; all distributions share the kernel",
        lambda setup: _told(_apparmor_changes(setup)),
        lambda setup: _commands(setup, _apparmor_changes(setup)),
        lambda setup: _write_changes(setup, _apparmor_changes(setup)),
        optional=True,
    ),
)


def preparation(user: str) -> tuple[Step, ...]:
    """What root does for `user` before that user's own setup: systemd, engine, ids, and profiles if there is AppArmor.

    Raises usage for a strange name.
    """
    if not re.fullmatch(r"[a-z_][a-z0-9_.-]*\$?", user):
        raise AiboxError("usage", f"{user!r} is not a user's name", fix="aibox setup")
    ids = Step(
        "ids",
        f"user and group ids of {user}",
        "rootless Podman maps a box's users to ids of its own",
        lambda _setup: _missing_ids(user),
        lambda _setup: [runner.printable(_ids(user))],
        lambda setup: setup.command(_ids(user)),
        needs_root=True,
    )
    engine, profiles = (next(step for step in STEPS if step.id == name) for name in ("engine", "apparmor"))
    installed = engine._replace(missing=lambda setup: engine.missing(setup) or _missing_uidmap())
    return (WSL_STEPS[0], installed, ids, profiles)


def _missing_uidmap() -> str:
    return "" if runner.find_program("newuidmap") else "newuidmap, which rootless Podman needs, is not installed"


def _missing_ids(user: str) -> str:
    lacking = []
    for path in ("/etc/subuid", "/etc/subgid"):
        lines = (state.read_bytes(path) or b"").decode("utf-8", "replace").splitlines()
        if user not in {line.split(":")[0] for line in lines}:
            lacking.append(path)
    return f"{' and '.join(lacking)} give {user} no range of ids" if lacking else ""


def _ids(user: str) -> list[str]:
    program = runner.find_program("usermod") or "/usr/sbin/usermod"
    return [program, "--add-subuids", "100000-165535", "--add-subgids", "100000-165535", user]
