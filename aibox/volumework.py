"""The program that works on volumes: run by volumes.py as the root of the engine's namespace, never by people.

Its standard input may be an archive, its standard output is its answer (or an archive). It ends when nobody reads its
standard error any more, so that what was left by a killed aibox cannot act later.
"""

import ctypes
import fcntl
import os
import select
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from aibox import jsonview, runner, volumetree
from aibox.boxids import ALL, IdRow, failure, here, within
from aibox.errors import AiboxError
from aibox.jsonview import Json, fields, items, number, text, texts
from aibox.model import BOX_UID
from aibox.volumearchive import PIECE, Reader, tail_member

DATA = "_data"
MARK = "_data.aibox-"  # folders beside it that aibox made: not finished, or no longer used
TRASH = f"{MARK}trash-"
FAILED = 9
LOCK_SECONDS = 60.0
REMOVE_SECONDS = 1800.0
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def main(argv: Sequence[str]) -> int:
    """Do what the JSON document in the only argument says."""
    _end_with_the_caller()
    settings = jsonview.parse(argv[0])
    # a backup goes to standard output, so that its answer is the last line of the other one
    stream = sys.stderr if text(settings, "action") == "pack" else sys.stdout
    try:
        document: Json = {"result": ACTIONS[text(settings, "action")](settings)}
        code = 0
    except AiboxError as error:
        document, code = failure(error), FAILED
    except OSError as error:
        where = f" ({os.fsdecode(error.filename)})" if error.filename else ""
        document, code = failure(AiboxError("volume-failed", f"the volume's folder: {error.strerror}{where}")), FAILED
    stream.write(jsonview.dump(document) + "\n")
    return code


def _end_with_the_caller() -> None:
    poll = select.poll()
    poll.register(2, 0)

    def watch() -> None:
        poll.poll()
        os._exit(FAILED)

    threading.Thread(target=watch, daemon=True).start()


def measure(settings: Json) -> Json:
    """What each of the volumes takes, leftovers included; null for one that is not there."""
    return [_measured(folder) for folder in texts(settings, "folders")]


def _measured(data: str) -> Json:
    beside, name = os.path.split(data)
    found: list[tuple[str, Json]] = []
    try:
        names = [name, *(entry for entry in sorted(os.listdir(beside)) if entry.startswith(MARK))]
        for entry in names:
            folder = os.open(f"{beside}/{entry}", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                found.append((entry, within(folder, ALL, volumetree.measure)))
            finally:
                os.close(folder)
    except FileNotFoundError:
        return None
    return {
        "bytes": number(found[0][1], "bytes"),
        "files": number(found[0][1], "files"),
        "leftover": sum(number(taken, "bytes") for _, taken in found[1:]),
    }


def rows_of(settings: Json) -> tuple[IdRow, ...]:
    """The id map in the settings."""
    return tuple(IdRow(number(row, 0), number(row, 1), number(row, 2)) for row in items(settings, "rows"))


@contextmanager
def opened(path: str) -> Iterator[int]:
    """A folder, for as long as it is needed."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def alone(settings: Json) -> Iterator[str]:
    """The folder that holds a volume's data, while no other work on it goes on, be it of an aibox that was killed."""
    place = text(settings, "folder")
    with opened(place) as descriptor:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise AiboxError("lock-timeout", "other work on this volume still goes on", fix="wait") from None
                time.sleep(0.05)
        yield place


def pack(settings: Json) -> Json:
    """Write the backup of the volume to standard output."""
    with alone(settings) as place, opened(f"{place}/{DATA}") as data, open(1, "wb", PIECE, closefd=False) as out:

        def act() -> Json:
            made = volumetree.pack(out.write, fields(settings, "about"))
            out.write(tail_member(made))
            out.flush()
            return dict(made._asdict())

        return within(data, rows_of(settings), act)


def fill(settings: Json) -> Json:
    """Unpack the backup on standard input beside the volume's data, and prove that all of it is there."""
    with alone(settings) as place:
        _clean_as_far_as_possible(place)
        new = _new_folder(place, settings, 0o700)
        with opened(new) as folder, open(0, "rb", PIECE, closefd=False) as file:

            def act() -> Json:
                reader = Reader(file, os.fstat(0).st_size)
                wanted = volumetree.fill(reader)
                found = volumetree.digest()
                if found != wanted:
                    raise AiboxError(
                        "volume-failed",
                        "what was written is not what the backup holds",
                        why="the filesystem does not keep it, or the disk is damaged",
                        fix="look at the kernel's messages (dmesg)",
                    )
                return {"digest": found, "members": reader.manifest.members}

            answer = within(folder, rows_of(settings), act)
            _sync(folder)
        return answer


def fresh(settings: Json) -> Json:
    """Make an empty folder of the box's user beside the volume's data."""
    with alone(settings) as place:
        _clean_as_far_as_possible(place)
        try:
            mode = os.lstat(f"{place}/{DATA}").st_mode & 0o777 | 0o700
        except FileNotFoundError:
            mode = 0o755
        with opened(_new_folder(place, settings, mode)) as folder:
            _sync(folder)
    return {}


def exchange(settings: Json) -> Json:
    """Put the finished folder in the place of the volume's data, in one step of the filesystem."""
    with alone(settings) as place, opened(place) as folder:
        new = f"{place}/{MARK}{text(settings, 'token')}"
        if os.path.lexists(f"{place}/{DATA}"):
            _label_alike(f"{place}/{DATA}", new)
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.renameat2(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(f"{place}/{DATA}"), _RENAME_EXCHANGE):
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code))
        else:
            os.rename(new, f"{place}/{DATA}")
        os.fsync(folder)
    return {}


def clean(settings: Json) -> Json:
    """Remove what is beside the volume's data: the former ones, or what was not finished."""
    with alone(settings) as place:
        return _clean(place)


def _clean(place: str) -> int:
    found = [name for name in os.listdir(place) if name.startswith(MARK)]
    for name in found:
        trash = name
        if not name.startswith(TRASH):
            # under another name nothing can put it in the volume's place while it is being removed
            trash = f"{TRASH}{name.removeprefix(MARK)}"
            os.rename(f"{place}/{name}", f"{place}/{trash}")
        runner.checked(
            runner.run(
                ["/bin/rm", "-rf", "--one-file-system", "--", f"{place}/{trash}"],
                timeout=REMOVE_SECONDS,
                env=runner.clean_environment(os.environ),
            ),
            "volume-failed",
        )
    return len(found)


def _clean_as_far_as_possible(place: str) -> None:
    """What cannot be removed, because an administrator put files of foreign ids there, does not hold up other work."""
    with suppress(AiboxError):
        _clean(place)


def _new_folder(place: str, settings: Json, mode: int) -> str:
    new = f"{place}/{MARK}{text(settings, 'token')}"
    os.mkdir(new, 0o700)
    owner = here(rows_of(settings), BOX_UID)
    os.chown(new, owner, owner, follow_symlinks=False)
    os.chmod(new, mode)
    return new


def _label_alike(old: str, new: str) -> None:
    """SELinux's label of the old folder on the new one, where there is one."""
    try:
        os.setxattr(new, "security.selinux", os.getxattr(old, "security.selinux"))
    except OSError:
        return


def _sync(folder: int) -> None:
    """Everything on this filesystem is on the disk afterwards."""
    ctypes.CDLL(None, use_errno=True).syncfs(folder)


ACTIONS = {
    "measure": measure, "pack": pack, "fill": fill, "fresh": fresh, "exchange": exchange, "clean": clean,
}  # fmt: skip
