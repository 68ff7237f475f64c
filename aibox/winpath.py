r"""Windows paths as a Linux program inside WSL2 sees them: `C:\x`, `\\wsl.localhost\NAME\x`, relative ones. Pure.

Source: https://learn.microsoft.com/windows/wsl/filesystems; mount options as WSL's init writes them.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aibox.errors import AiboxError
from aibox.mountinfo import MountEntry

SHARED_FILESYSTEMS = ("9p", "drvfs", "virtiofs")
_DRIVE = re.compile(r"([A-Za-z]):(?:[\\/](.*))?", re.DOTALL)
_WSL_SHARE = re.compile(r"[\\/]{2}wsl(?:\$|\.localhost)[\\/]+([^\\/]+)(?:[\\/]+(.*))?", re.DOTALL | re.IGNORECASE)
_LONG_SHARE = re.compile(r"[\\/]{2}[?.][\\/]UNC[\\/]", re.IGNORECASE)
_LONG = re.compile(r"[\\/]{2}[?.][\\/](?=[A-Za-z]:)")


class Windows(NamedTuple):
    """What is needed to translate: this distribution's name, where each drive is mounted, and the caller's folder.

    `drives` maps a capital letter to a mount point; `folder` is the Windows form of the current folder or empty;
    `home` is the Linux home.
    """

    distribution: str
    drives: Mapping[str, str]
    folder: str
    home: str


def drives(entries: Sequence[MountEntry]) -> dict[str, str]:
    r"""Where WSL mounted each Windows drive, by letter. The source is `C:\`, or an option says `path=C:\`."""
    found: dict[str, str] = {}
    for entry in entries:
        if entry.filesystem not in SHARED_FILESYSTEMS:
            continue
        named = [entry.source, *(part for option in entry.super_options for part in option.split(";"))]
        for text in named:
            match = re.fullmatch(r"(?:path=)?([A-Za-z]):\\?", text)
            if match and entry.root == "/":
                found.setdefault(match[1].upper(), entry.target)
    return found


def looks_like_windows(text: str) -> bool:
    """Whether `text` can only be a Windows path (it has a drive letter or is a share)."""
    plain = _plain(text)
    return bool(_DRIVE.fullmatch(plain)) or plain.startswith("\\\\")


def to_linux(text: str, here: Windows) -> str:
    r"""The Linux form of a path that a Windows user typed; a Linux path stays what it is.

    `~` is the Linux home, because no shell has expanded it; a relative path may use either slash. Raises usage for
    what WSL cannot see: another distribution's files, a network share, a drive that is not mounted.
    """
    path = _plain(text)
    share = _WSL_SHARE.fullmatch(path)
    if share:
        return _in_distribution(share, text, here)
    if path[:2] in ("\\\\", "//"):
        raise AiboxError(
            "usage",
            f"{text} is a network folder, which aibox cannot use",
            why="only this distribution's own files have Linux owners and modes",
            fix="copy it into the distribution",
        )
    drive = _DRIVE.fullmatch(path)
    if drive:
        return _on_drive(drive[1].upper(), drive[2] or "", text, here)
    if re.match(r"[A-Za-z]:", path):
        raise AiboxError("usage", f"{text} lacks the backslash after the drive", fix=f"{path[:2]}\\{path[2:]}")
    if path.startswith("/"):
        return path
    if path == "~" or path[:2] in ("~/", "~\\"):
        return here.home + _slashes(path[1:])
    _require_folder(text, here)
    if path.startswith("\\"):
        return _rooted(path, text, here)
    return _slashes(path)


def _require_folder(text: str, here: Windows) -> None:
    """A relative path means something only if the current folder can be seen."""
    if not here.folder:
        return
    try:
        to_linux(here.folder, here._replace(folder=""))
    except AiboxError as error:
        raise AiboxError(
            "usage",
            f"{text or '(nothing)'} is relative to {here.folder}, where this distribution cannot go",
            why=error.what,
            fix="give a whole path, for example ~/project",
        ) from error


def _plain(text: str) -> str:
    r"""Without the prefix `\\?\` of long paths."""
    if _LONG_SHARE.match(text):
        return "\\\\" + _LONG_SHARE.sub("", text, count=1)
    return _LONG.sub("", text, count=1)


def _rooted(path: str, text: str, here: Windows) -> str:
    """A path without a drive means the drive of the current folder."""
    drive = _DRIVE.fullmatch(_plain(here.folder))
    if drive:
        return _on_drive(drive[1].upper(), path.lstrip("\\/"), text, here)
    return _slashes(path)


def _in_distribution(share: "re.Match[str]", text: str, here: Windows) -> str:
    if here.distribution and share[1].lower() != here.distribution.lower():
        raise AiboxError(
            "usage",
            f"{text} is in the distribution {share[1]}, and aibox runs in {here.distribution}",
            why="a box sees only the files of its own distribution",
            fix=f"aibox setup --distribution {share[1]}, or use a folder of {here.distribution}",
        )
    return "/" + _slashes(share[2] or "").lstrip("/")


def _on_drive(letter: str, rest: str, text: str, here: Windows) -> str:
    mounted = here.drives.get(letter)
    if mounted is None:
        raise AiboxError(
            "usage",
            f"{text} is on drive {letter}:, which this distribution does not see",
            why=f"mounted are: {', '.join(sorted(here.drives)) or 'none'}",
            fix="use a folder inside the distribution, for example ~/project",
        )
    return f"{mounted.rstrip('/')}/{_slashes(rest)}".rstrip("/") or "/"


def _slashes(path: str) -> str:
    return path.replace("\\", "/")


def to_windows(path: str, distribution: str) -> str:
    r"""The name under which Windows programs see a Linux path: `\\wsl.localhost\NAME\...`."""
    return "\\\\wsl.localhost\\" + distribution + path.replace("/", "\\")
