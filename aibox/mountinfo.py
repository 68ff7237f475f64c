"""Reading the kernel's mount tables (proc_pid_mountinfo(5)). Pure."""

from typing import NamedTuple


class MountEntry(NamedTuple):
    """One line of mountinfo. `device` is `major:minor`, `root` the folder of that filesystem that is mounted."""

    device: str
    root: str
    target: str
    options: tuple[str, ...]
    filesystem: str
    source: str
    super_options: tuple[str, ...]


def parse(text: str) -> list[MountEntry]:
    """All entries in order; lines of another shape are passed over."""
    entries = []
    for line in text.split("\n"):
        left, separator, right = line.partition(" - ")
        head, tail = left.split(" "), right.split(" ")
        if separator and len(head) >= 6 and len(tail) >= 2:
            entries.append(
                MountEntry(
                    device=head[2],
                    root=unescape(head[3]),
                    target=unescape(head[4]),
                    options=tuple(head[5].split(",")),
                    filesystem=tail[0],
                    source=unescape(tail[1]),
                    super_options=tuple(tail[2].split(",")) if len(tail) > 2 else (),
                )
            )
    return entries


def unescape(field: str) -> str:
    r"""Undo the kernel's octal escapes: \040 blank, \011 tab, \012 newline, \134 backslash, \043 hash."""
    if "\\" not in field:
        return field
    pieces, rest = [], field
    while "\\" in rest:
        before, _, after = rest.partition("\\")
        code = after[:3]
        if len(code) == 3 and all(digit in "01234567" for digit in code):
            pieces += [before, chr(int(code, 8))]
            rest = after[3:]
        else:
            pieces += [before, "\\"]
            rest = after
    return "".join([*pieces, rest])


def holding(entries: list[MountEntry], path: str) -> MountEntry | None:
    """The mount that `path` (absolute, no symlinks) lies on: the last one among the deepest targets."""
    best: MountEntry | None = None
    for entry in entries:
        inside = entry.target in (path, "/") or path.startswith(entry.target + "/")
        if inside and (best is None or len(entry.target) >= len(best.target)):
            best = entry
    return best


def location(entries: list[MountEntry], path: str) -> tuple[str, str] | None:
    """Device and path inside its filesystem for `path`: what a bind mount of it shows as `device` and `root`."""
    entry = holding(entries, path)
    if entry is None:
        return None
    below = path if entry.target == "/" else path[len(entry.target) :]
    joined = f"{entry.root.rstrip('/')}{below.rstrip('/')}"
    return entry.device, joined or "/"
