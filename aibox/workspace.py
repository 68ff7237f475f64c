"""Which folders may be a workspace. `find` looks at the host; the rules below it are pure."""

import os
import stat
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aibox import mountinfo
from aibox.errors import AiboxError
from aibox.model import Developer, Identity, Workspace

SYSTEM_TREES = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/run",
    "/var/spool",
]
OPEN_TREES = ("/run/media", "/usr/src", "/usr/local/src")
CROWDED_FOLDERS = ("/", "/home", "/media", "/mnt", "/opt", "/root", "/srv", "/tmp", "/var", "/var/home", "/var/tmp")
KEY_FOLDERS = (".aws", ".azure", ".docker", ".gnupg", ".kube", ".mozilla", ".password-store", ".ssh")
GOOD_FILESYSTEMS = ("btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs")
WINDOWS_FILESYSTEMS = ("9p", "drvfs", "exfat", "fuseblk", "msdos", "ntfs", "ntfs3", "vfat", "virtiofs")
_HOME_FIX = "choose a folder of its own, for example: aibox start --workspace ~/project"


class Places(NamedTuple):
    """Folders that workspaces must keep away from: the developer's home, and state of aibox and the engine."""

    home: str
    state: tuple[str, ...]


def places(environ: Mapping[str, str], own: Sequence[str], home: str) -> Places:
    """Where aibox and the engines keep their state, for this user and for the system."""
    data = environ.get("XDG_DATA_HOME") or f"{home}/.local/share"
    config = environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    cache = environ.get("XDG_CACHE_HOME") or f"{home}/.cache"
    mine = (f"{data}/containers", f"{data}/docker", f"{config}/containers", f"{config}/docker", f"{cache}/aibox")
    system = ("/var/lib/containers", "/var/lib/docker", "/etc/containers", "/var/lib/aibox", "/etc/aibox", "/run/aibox")
    return Places(home, tuple(dict.fromkeys((*own, *mine, *system))))


def find(given: str, away: Places, *, caller: Developer) -> Workspace:
    """Check the folder that the user named and return what it is.

    Symlinks are resolved once, here; the identity of what was found travels with the plan and is compared with what
    was mounted. Raises workspace-missing, -not-folder, -name, -forbidden or -filesystem.
    """
    check_name(os.path.abspath(given))
    try:
        real = os.path.realpath(given, strict=True)
        status = os.stat(real)
    except FileNotFoundError as error:
        raise AiboxError(
            "workspace-missing",
            f"the workspace {given} does not exist",
            why="aibox uses a folder that is there; it clones and creates nothing",
            fix=f"mkdir -p {_quoted(given)}",
        ) from error
    except OSError as error:
        raise AiboxError(
            "workspace-missing", f"the workspace {given} cannot be opened", why=error.strerror or str(error)
        ) from error
    if not stat.S_ISDIR(status.st_mode):
        raise AiboxError(
            "workspace-not-folder",
            f"the workspace {given} is not a folder",
            why="a box works in a folder and everything below it",
            fix=f"aibox start --workspace {_quoted(os.path.dirname(real))}",
        )
    check_name(real)
    check_place(real, away)
    filesystem = _filesystem(real)
    check_filesystem(real, filesystem, home=away.home, distribution=os.environ.get("WSL_DISTRO_NAME", ""))
    owner = caller if caller.uid != 0 else _owner(status.st_uid, status.st_gid)
    return Workspace(real, Identity(status.st_dev, status.st_ino), owner, filesystem, empty=_is_empty(real))


def check_name(path: str) -> None:
    """Refuse a path that JSON or a label cannot carry unchanged."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError as error:
        raise AiboxError(
            "workspace-name",
            f"the path {path!a} is not UTF-8",
            why="the engine keeps it as JSON, which cannot carry these bytes",
            fix="rename the folder",
        ) from error
    control = [character for character in path if ord(character) < 32 or ord(character) == 127]
    if control:
        raise AiboxError(
            "workspace-name",
            f"the path {path!a} holds a control character",
            why="the engine's mount options and listings are lines of text and would misread it",
            fix="rename the folder",
        )


def check_place(path: str, away: Places) -> None:
    """Refuse folders that are too broad, hold keys, or belong to the system, to aibox or to the engine."""
    home = os.path.realpath(away.home)
    if path == home:
        raise _forbidden(path, "it is your home folder: a box would see every key and setting in it", _HOME_FIX)
    if path in CROWDED_FOLDERS or _inside(home, path):
        raise _forbidden(path, "it holds many people's or programs' files", _HOME_FIX)
    for tree in SYSTEM_TREES:
        if _inside(path, tree) and not any(_inside(path, allowed) and path != allowed for allowed in OPEN_TREES):
            raise _forbidden(path, f"it belongs to the system ({tree})", _HOME_FIX)
    for name in KEY_FOLDERS:
        if _inside(path, f"{home}/{name}"):
            raise _forbidden(path, "it is where keys and credentials are kept", _HOME_FIX)
    for folder in away.state:
        state = os.path.realpath(folder)
        if _inside(path, state) or _inside(state, path):
            raise _forbidden(path, f"it overlaps {folder}, which aibox or the engine keeps its state in", _HOME_FIX)


def check_filesystem(path: str, filesystem: str, *, home: str = "~", distribution: str = "") -> None:
    """Refuse filesystems that are Windows's, or that lose owners and modes (SPEC F1), with the folder to use instead.

    `home` is the developer's Linux home; `distribution` the WSL distribution's name, empty outside WSL.
    """
    if filesystem not in WINDOWS_FILESYSTEMS:
        return
    name = os.path.basename(path) or "project"
    better = f"{home.rstrip('/')}/{name}"
    # a quoted ~ would not be the home
    typed = f"~/{_quoted(name)}" if home == "~" else _quoted(better)
    seen = ""
    if distribution:
        from aibox.winpath import to_windows

        seen = f" (Windows programs find it at {to_windows(better, distribution)})"
    raise AiboxError(
        "workspace-filesystem",
        f"{path} is on {filesystem}, a filesystem shared with Windows or without Unix owners and modes",
        why="builds there are slow, and file modes, owners and change notices are lost",
        fix=f"cp -r {_quoted(path)} {typed} && aibox start --workspace {typed}{seen}",
    )


def filesystem_notice(workspace: Workspace) -> str:
    """One line for a filesystem that was not tested, else empty."""
    if workspace.filesystem in GOOD_FILESYSTEMS:
        return ""
    return f"{workspace.path} is on {workspace.filesystem}, which aibox is not tested on"


def _forbidden(path: str, why: str, fix: str) -> AiboxError:
    return AiboxError("workspace-forbidden", f"{path} may not be a workspace", why=why, fix=fix)


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _filesystem(path: str) -> str:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        entry = mountinfo.holding(mountinfo.parse(file.read()), path)
    return entry.filesystem if entry else "unknown"


def _is_empty(path: str) -> bool:
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is None
    except OSError:
        return False


def _owner(uid: int, gid: int) -> Developer:
    return Developer(uid, gid, user_name(uid))


def user_name(uid: int) -> str:
    """The account's name, or `uid<number>` where there is no account."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid{uid}"


def _quoted(path: str) -> str:
    import shlex

    return shlex.quote(path)
