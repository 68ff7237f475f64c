"""The files of a volume, seen from inside it (boxids.py): walking them in one order, and what they take."""

import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from aibox.jsonview import Json

BLOCK = 512


class Seen(NamedTuple):
    """One file, folder or link: its path below the root (empty: the root itself) and lstat's answer."""

    path: bytes
    status: os.stat_result


def walk(*, lenient: bool = False) -> Iterator[Seen]:
    """Everything below the current folder, the root first, each folder before what is in it, names in byte order.

    `lenient` passes over what vanishes meanwhile or cannot be read.
    """
    waiting = [b""]
    while waiting:
        path = waiting.pop()
        names: list[bytes] = []
        try:
            status = os.lstat(path or b".")
            if stat.S_ISDIR(status.st_mode):
                names = sorted(os.listdir(path or b"."), reverse=True)
        except OSError:
            if not lenient:
                raise
            continue
        yield Seen(path, status)
        waiting += [path + b"/" + name if path else name for name in names]


def measure() -> Json:
    """Bytes that the files take on the disk, and how many there are; a file with several names counts once."""
    taken, count = 0, 0
    known: set[int] = set()
    for seen in walk(lenient=True):
        status = seen.status
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            if status.st_ino in known:
                continue
            known.add(status.st_ino)
        taken += status.st_blocks * BLOCK
        count += bool(seen.path)
    return {"bytes": taken, "files": count}
