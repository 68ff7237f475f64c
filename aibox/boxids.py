"""A process with the ids of a box, and with nothing but one folder of a volume as its root.

A volume's files have other ids on the host than in the box. Work on them is done by a child in a user namespace of its
own, whose ids are the box's: it sees and sets owners as the box does, can reach nothing of the host's, and a link in
the volume cannot lead it out. Sources: user_namespaces(7), chroot(2), prctl(2).
"""

import ctypes
import os
import signal
from collections.abc import Callable
from typing import NamedTuple

from aibox import jsonview
from aibox.errors import KINDS, AiboxError
from aibox.jsonview import Json, text
from aibox.model import BOX_UID

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
SIZE = 65_536


class IdRow(NamedTuple):
    """One row of an id map: `length` ids of the box from `box` on are those from `here` on, as the caller sees them."""

    box: int
    here: int
    length: int


def rows_for(base: int | None) -> tuple[IdRow, ...]:
    """A box's ids as seen by root on the host (`base` is box id 0), or in the rootless engine's own namespace (None).

    There the developer is 0 and the box's user; the ids below and above that follow one after the other.
    """
    if base is not None:
        return (IdRow(0, base, SIZE),)
    return (IdRow(0, 1, BOX_UID), IdRow(BOX_UID, 0, 1), IdRow(BOX_UID + 1, BOX_UID + 1, SIZE - BOX_UID - 1))


# every id that the caller has, as it is
ALL = (IdRow(0, 0, (1 << 32) - 1),)


def fitting(rows: tuple[IdRow, ...], available: str) -> tuple[IdRow, ...]:
    """The rows cut along the rows of `available`, the text of the caller's own map: the kernel wants each row within
    one of those, and a user may have fewer subordinate ids than a box could use."""
    cut = []
    for row in rows:
        for line in available.splitlines():
            first, _, length = (int(word) for word in line.split())
            start, end = max(row.here, first), min(row.here + row.length, first + length)
            if start < end:
                cut.append(IdRow(row.box + start - row.here, start, end - start))
    return tuple(cut)


def here(rows: tuple[IdRow, ...], box: int) -> int:
    """The caller's id for an id of the box."""
    return next(row.here + box - row.box for row in rows if row.box <= box < row.box + row.length)


def within(folder: int, rows: tuple[IdRow, ...], act: Callable[[], Json]) -> Json:
    """What `act` returns in a child that has the box's ids and the open folder as its root.

    The child ends with this process. Raises what `act` raised, or volume-failed.
    """
    answer_read, answer_write = os.pipe()
    ready_read, ready_write = os.pipe()
    go_read, go_write = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _child(parent, folder, act, (answer_write, ready_write, go_read), (answer_read, ready_read, go_write))
    for descriptor in (answer_write, ready_write, go_read):
        os.close(descriptor)
    try:
        if os.read(ready_read, 1) == b"y":
            _write_maps(child, rows)
            os.write(go_write, b"y")
        with open(answer_read, "rb", closefd=False) as file:
            answer = file.read()
    finally:
        for descriptor in (answer_read, ready_read, go_write):
            os.close(descriptor)
        os.waitpid(child, 0)
    return result_of(answer)


def result_of(answer: bytes) -> Json:
    """The result in another process's answer. Raises the error in it, or volume-failed if it was cut short."""
    try:
        document = jsonview.parse(answer)
    except ValueError:
        raise AiboxError("volume-failed", "the work on the volume was ended from outside", fix="try again") from None
    problem = jsonview.fields(document, "error")
    if problem:
        code, what, why, fix = (text(problem, key) for key in ("code", "what", "why", "fix"))
        known = code if code in KINDS else "volume-failed"
        raise AiboxError(known, what or "the work on the volume failed", why=why, fix=fix)
    return jsonview.dig(document, "result")


def failure(error: AiboxError) -> Json:
    """An error as a document that another process reads."""
    return {"error": {"code": error.code, "what": error.what, "why": error.why, "fix": error.fix}}


def _write_maps(child: int, rows: tuple[IdRow, ...]) -> None:
    for kind in ("uid_map", "gid_map"):
        with open(f"/proc/self/{kind}", encoding="ascii") as file:
            cut = fitting(rows, file.read())
        with open(f"/proc/{child}/{kind}", "w", encoding="ascii") as file:
            file.write("".join(f"{row.box} {row.here} {row.length}\n" for row in cut))


def _child(
    parent: int, folder: int, act: Callable[[], Json], mine: tuple[int, int, int], others: tuple[int, ...]
) -> None:
    """Never returns."""
    answer_write, ready_write, go_read = mine
    try:
        for descriptor in others:
            os.close(descriptor)
        libc = ctypes.CDLL(None, use_errno=True)
        document: Json = {}
        try:
            if libc.unshare(_CLONE_NEWUSER) != 0:
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code))
            os.write(ready_write, b"y")
            os.read(go_read, 1)
            os.setgroups([])
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
            # cleared by a change of ids, so it comes after them
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)
            os.fchdir(folder)
            os.chroot(".")
            document = {"result": act()}
        except AiboxError as error:
            document = failure(error)
        except OSError as error:
            where = f" ({os.fsdecode(error.filename)})" if error.filename else ""
            document = failure(AiboxError("volume-failed", f"the volume's files: {error.strerror}{where}"))
        except (ValueError, RecursionError, MemoryError, UnicodeError) as error:
            document = failure(AiboxError("internal-error", f"the work on the volume failed: {error!r}"))
        with open(answer_write, "wb", closefd=False) as file:
            file.write(jsonview.dump(document).encode())
    finally:
        os._exit(0)
