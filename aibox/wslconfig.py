r"""Editing `.wslconfig`: only the lines of the keys that change are touched, byte for byte. Pure but for `write`.

WSL's rules (its published source): UTF-8 unless a mark says UTF-16LE; `#` starts a comment; sections and keys ignore
case; the first of two equal keys wins; a value may be quoted; a backslash escapes, and continues a line at its end.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aibox import state
from aibox.errors import AiboxError

GIB = 1 << 30
MEMORY, PROCESSORS, SWAP = 16 * GIB, 8, 4 * GIB
SECTION = "wsl2"
LONGEST = 19  # digits of 64 bits
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"))
_UNITS = {"B": 1, "K": 1 << 10, "KB": 1 << 10, "M": 1 << 20, "MB": 1 << 20, "G": GIB, "GB": GIB, "T": GIB << 10,
          "TB": GIB << 10}  # fmt: skip


class Line(NamedTuple):
    """One logical line: its exact text with its end, and what it says. `section` is where it stands, lower case."""

    text: str
    section: str
    key: str
    value: str


class Document(NamedTuple):
    """A file, in a form from which exactly its bytes come back."""

    mark: bytes
    encoding: str
    newline: str
    lines: tuple[Line, ...]


class Change(NamedTuple):
    """One proposed setting: the value that the file has now (empty: none) and the one to write."""

    key: str
    before: str
    after: str
    why: str


def parse(content: bytes) -> Document:
    """Read a file. Raises config-unreadable for bytes that are not in its encoding."""
    mark, encoding = next(((mark, name) for mark, name in _MARKS if content.startswith(mark)), (b"", "utf-8"))
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise AiboxError(
            "config-unreadable",
            f".wslconfig is not {encoding.upper()}",
            why=f"byte {error.start + len(mark)} does not fit",
            fix="save it as UTF-8 in an editor",
        ) from error
    lines: list[Line] = []
    section = ""
    for physical in _logical_lines(text):
        stripped = physical.strip("\r\n\t ")
        key, value = "", ""
        if stripped.startswith("[") and "]" in stripped:
            section = stripped[1 : stripped.index("]")].strip().lower()
        elif stripped and not stripped.startswith("#"):
            name, equals, rest = physical.partition("=")
            if equals:
                key, value = name.strip().lower(), _value(rest)
        lines.append(Line(physical, section, key, value))
    return Document(mark, encoding, _newline(text), tuple(lines))


def dump(document: Document) -> bytes:
    """The bytes of a document."""
    return document.mark + "".join(line.text for line in document.lines).encode(document.encoding)


def _newline(text: str) -> str:
    """What most lines end with; Windows's own for a new file."""
    windows = text.count("\r\n")
    return "\n" if text.count("\n") > 2 * windows else "\r\n"


def _logical_lines(text: str) -> list[str]:
    """Lines with their ends; one that ends in an unescaped backslash goes on in the next."""
    result: list[str] = []
    pending = ""
    parts = text.split("\n")
    for line in [part + "\n" for part in parts[:-1]] + parts[-1:]:
        pending += line
        if not _goes_on(pending):
            result.append(pending)
            pending = ""
    return [line for line in [*result, pending] if line]


def _goes_on(text: str) -> bool:
    """Whether what follows a line's end would still belong to this line; in a comment a backslash means nothing."""
    body = text.rstrip("\r\n")
    slashes = len(body) - len(body.rstrip("\\"))
    return slashes % 2 == 1 and _comment_at(body) < 0 and "\n\n" not in text[-3:].replace("\r", "")


def _value(text: str) -> str:
    r"""What WSL reads: quotes and escapes undone, a comment behind it dropped, a continuation joined."""
    result: list[str] = []
    quoted = False
    position = 0
    text = text.strip(" \t\r\n")
    while position < len(text):
        character = text[position]
        if character == "\\" and position + 1 < len(text):
            following = text[position + 1]
            position += 2
            if following in "\r\n":
                while position < len(text) and text[position] in "\r\n":
                    position += 1
            else:
                result.append({"n": "\n", "t": "\t", "b": "\b"}.get(following, following))
            continue
        if character == '"':
            quoted = not quoted
        elif character == "#" and not quoted:
            break
        else:
            result.append(character)
        position += 1
    return "".join(result).strip()


def get(document: Document, key: str, section: str = SECTION) -> str:
    """The value that WSL uses: the first one. Empty if there is none."""
    return next((line.value for line in document.lines if line.section == section and line.key == key.lower()), "")


def set_values(document: Document, values: Mapping[str, str], section: str = SECTION) -> Document:
    """The document with these keys set; a key that is there keeps its place, spelling and comment."""
    lines = list(document.lines)
    for key, value in values.items():
        at = next((n for n, line in enumerate(lines) if line.section == section and line.key == key.lower()), None)
        if at is not None:
            lines[at] = lines[at]._replace(text=_with_value(lines[at].text, value), value=value)
        else:
            _insert(lines, document.newline, key, value, section)
    return document._replace(lines=tuple(lines))


def _with_value(text: str, value: str) -> str:
    """The line with another value: blanks around the equals sign, a comment and the line's end stay."""
    name, _, rest = text.partition("=")
    body = rest.rstrip("\r\n")
    end = rest[len(body) :]
    lead = body[: len(body) - len(body.lstrip(" \t"))]
    comment = _comment_of(body)
    return f"{name}={lead}{value}{comment}{end}"


def _comment_of(body: str) -> str:
    """The comment behind a value, with the blanks before it; the blanks at the end where there is no comment."""
    at = _comment_at(body)
    if at >= 0:
        return body[len(body[:at].rstrip(" \t")) :]
    return body[len(body.rstrip(" \t")) :] if body.strip() else ""


def _comment_at(body: str) -> int:
    """Where a comment begins: at a `#` that is neither quoted nor escaped; -1 without one."""
    quoted = False
    position = 0
    while position < len(body):
        if body[position] == "\\":
            position += 2
            continue
        if body[position] == '"':
            quoted = not quoted
        elif body[position] == "#" and not quoted:
            return position
        position += 1
    return -1


def _insert(lines: list[Line], newline: str, key: str, value: str, section: str) -> None:
    """Put a new key at the end of its section's first block, or a new section at the end of the file."""
    header = next((n for n, line in enumerate(lines) if line.section == section), None)
    if header is None:
        if lines:
            lines[-1] = lines[-1]._replace(text=_ended(lines[-1].text, newline))
        lines.append(Line(f"[{section}]{newline}", section, "", ""))
        header = len(lines) - 1
    last = header
    for number in range(header, len(lines)):
        if lines[number].section != section:
            break
        if lines[number].text.strip():
            last = number
    lines[last] = lines[last]._replace(text=_ended(lines[last].text, newline))
    lines.insert(last + 1, Line(f"{key}={value}{newline}", section, key.lower(), value))


def _ended(text: str, newline: str) -> str:
    """The line with an end, so that another line can follow; a backslash at its end must not swallow that one."""
    if not text.endswith("\n"):
        text += newline
    return text + newline if _goes_on(text) else text


def size(text: str) -> int:
    """Bytes of a size as WSL reads it (`8GB`, `512M`, plain bytes); 0 for what WSL would ignore."""
    digits = text.rstrip("BKMGT")
    unit = text[len(digits) :]
    if not is_count(digits) or (unit and unit not in _UNITS):
        return 0
    return int(digits) * _UNITS.get(unit, 1)


def is_count(text: str) -> bool:
    """Whether it is a number that WSL reads as one."""
    return text.isascii() and text.isdecimal() and len(text) <= LONGEST


def recommended(memory: int, processors: int) -> dict[str, str]:
    """16 GB, 8 processors, 4 GB swap, scaled down: Windows keeps half of its memory at least."""
    half = max(memory // 2 // GIB, 1)
    gigabytes = min(MEMORY // GIB, half)
    return {
        "memory": f"{gigabytes}GB",
        "processors": str(max(1, min(PROCESSORS, processors))),
        "swap": f"{max(1, min(SWAP // GIB, gigabytes // 2))}GB",
    }


def proposal(document: Document, memory: int, processors: int) -> list[Change]:
    """What to change for this machine (bytes, processors). A setting that is already at least as large stays."""
    wanted = recommended(memory, processors)
    why = {
        "memory": f"builds and gVisor need room; Windows has {memory // GIB} GB in all",
        "processors": f"parallel builds; Windows has {processors}",
        "swap": "a build that needs more for a moment is not killed",
    }
    changes = []
    for key, value in wanted.items():
        before = get(document, key)
        enough = int(before) >= int(value) if key == "processors" and is_count(before) else size(before) >= size(value)
        if not before or not enough:
            changes.append(Change(key, before, value, why[key]))
    return changes


def apparmor_line(current: str) -> str:
    """The kernel command line that turns AppArmor on, with everything that is there kept."""
    kept = [word for word in current.split() if word.partition("=")[0] not in ("apparmor", "security", "lsm")]
    return " ".join([*kept, "apparmor=1", "security=apparmor", "lsm=landlock,yama,apparmor"])


def quoted(value: str) -> str:
    r"""A value as `.wslconfig` writes it: backslashes and quotes escaped, in quotes if it holds a `#`."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if "#" in value else escaped


def describe(changes: Sequence[Change]) -> list[str]:
    """The changes for people."""
    return [f"{change.key}={change.after} (now {change.before or 'not set'}): {change.why}" for change in changes]


def write(path: str, before: bytes | None, after: bytes) -> str:
    """Replace the file, if it is still what was read; returns the backup's path, or nothing for a new file.

    The first backup is kept for good: it is what was there before aibox. Raises state-unwritable or config-unreadable.
    """
    if state.read_bytes(path) != before:
        raise AiboxError(
            "config-unreadable", f"{path} was changed meanwhile", why="another program wrote it", fix="aibox setup"
        )
    backup = ""
    if before is not None:
        backup = _free_name(f"{path}.aibox-backup")
        try:
            shutil.copyfile(path, backup)
        except OSError as error:
            raise AiboxError("state-unwritable", f"{backup} cannot be written", why=error.strerror or "") from error
    state.write_atomically(path, after, 0o644)
    return backup


def _free_name(path: str) -> str:
    number = 0
    while os.path.exists(f"{path}-{number}" if number else path):
        number += 1
    return f"{path}-{number}" if number else path
