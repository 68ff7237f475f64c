"""The Linux side of the Windows shim: takes over the words, the current folder and the settings of a Windows caller.

The shim passes one base64 word: NUL-separated UTF-8 fields `1`, the current folder, the Windows profile folder, the
number of settings, the settings (NAME=VALUE), and the words. One word of plain letters survives every quoting rule.
"""

import base64
import binascii
import os
from collections.abc import Collection, Sequence
from typing import NamedTuple

from aibox import mountinfo, state, winpath
from aibox.errors import AiboxError
from aibox.winpath import Windows

FLAG = "--from-windows"
FORMAT = "1"
PROFILE = "WINDOWS_USERPROFILE"
SETTINGS = ("NO_COLOR", "WINDOWS_MEMORY", "WINDOWS_PROCESSORS")


class Call(NamedTuple):
    """What the shim passed. `folder` and `profile` are Windows paths."""

    folder: str
    profile: str
    settings: tuple[tuple[str, str], ...]
    words: tuple[str, ...]


def decode(payload: str) -> Call:
    """Read the shim's word. Raises usage if it is of another version or damaged."""
    try:
        fields = base64.b64decode(payload, validate=True).decode("utf-8").split("\0")
        count = int(fields[3]) if fields[0] == FORMAT else -1
    except (ValueError, binascii.Error, IndexError):
        fields, count = [], -1
    if count < 0 or len(fields) < 4 + count:
        raise AiboxError(
            "usage",
            "the Windows shim and aibox do not belong to the same version",
            why=f"{FLAG} is only for the shim, and its word was not understood",
            fix="in Windows: aibox setup",
        )
    pairs = (field.partition("=") for field in fields[4 : 4 + count])
    settings = tuple((name, value) for name, _, value in pairs if name.startswith("AIBOX_") or name in SETTINGS)
    return Call(fields[1], fields[2], settings, tuple(fields[4 + count :]))


def accept(payload: str) -> tuple[list[str], Windows]:
    """Enter the caller's current folder, take over its settings, and return its words and how to read its paths."""
    call = decode(payload)
    os.environ.update(call.settings)
    os.environ[PROFILE] = call.profile
    here = surroundings(call.folder)
    try:
        os.chdir(winpath.to_linux(call.folder, here) if call.folder else here.home)
    except (AiboxError, OSError):
        # out of sight from here: where nothing can be a workspace, so that a path has to be given
        os.chdir("/")
    return list(call.words), here


def translated(options: Sequence[str], names: Collection[str], here: Windows) -> list[str]:
    """The options of a verb with the values of those in `names` as Linux paths: `--x P`, `--x=P`, `-x P` and `-xP`."""
    result: list[str] = []
    expected = False
    for word in options:
        name, equals, value = word.partition("=")
        if expected:
            result.append(winpath.to_linux(word, here))
        elif equals and name in names and name.startswith("--"):
            result.append(f"{name}={winpath.to_linux(value, here)}")
        elif word[:2] in names and len(word) > 2:
            result.append(word[:2] + winpath.to_linux(word[2:], here))
        else:
            result.append(word)
        expected = not expected and word in names
    return result


def operands(words: Sequence[str], files: Sequence[tuple[str, int]], here: Windows) -> list[str]:
    """The words of an operand with those that are files as Linux paths."""
    places = {place for part, place in files if list(words[:1]) == [part]}
    return [winpath.to_linux(word, here) if at in places else word for at, word in enumerate(words)]


def surroundings(folder: str = "") -> Windows:
    """This distribution, as far as paths go."""
    entries = mountinfo.parse((state.read_bytes("/proc/self/mountinfo") or b"").decode("utf-8", "surrogateescape"))
    found = winpath.drives(entries)
    root = automount_root(state.read_bytes("/etc/wsl.conf") or b"")
    for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        # virtiofs names its source by a tag, so the place is what remains to tell the drive
        place = f"{root}{letter.lower()}"
        if letter not in found and os.path.isdir(place):
            found[letter] = place
    home = os.environ.get("HOME", "/root")
    return Windows(os.environ.get("WSL_DISTRO_NAME", ""), found, folder, home)


def automount_root(content: bytes) -> str:
    """The folder below which drives are mounted: `root` of `[automount]` in wsl.conf, else /mnt/."""
    section = ""
    for line in content.decode("utf-8", "replace").splitlines():
        text = line.strip()
        if text.startswith("["):
            section = text.strip("[]").strip().lower()
        name, equals, value = text.partition("=")
        if section == "automount" and equals and name.strip().lower() == "root":
            return value.strip().strip("\"'").rstrip("/") + "/"
    return "/mnt/"
