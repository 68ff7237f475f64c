"""aibox's own files: where they are, atomic writes, and locks."""

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from aibox import jsonview
from aibox.errors import AiboxError
from aibox.jsonview import Json

_LOCK_POLL_SECONDS = 0.05


class Paths(NamedTuple):
    """The folders that aibox owns. `data` survives a reboot, `run` does not; `seccomp` is the profile's place."""

    data: str
    run: str
    config: str
    seccomp: str

    @property
    def setup_record(self) -> str:
        """The file in which setup keeps what it chose and proved."""
        return f"{self.data}/setup.json"

    @property
    def meetings(self) -> str:
        """Where aibox and the wrappers of Docker's boxes meet."""
        return f"{self.run}/gates"

    @property
    def workspaces(self) -> str:
        """Where a rootful engine finds id-mapped workspaces."""
        return f"{self.run}/workspaces"


def paths(environ: Mapping[str, str], uid: int, engine: str = "podman") -> Paths:
    """The folders for this user: system-wide for root, XDG folders for everybody else.

    What belongs to Docker, which only root uses, lies apart: one folder may have a box on each engine.
    """
    if uid == 0 and engine == "docker":
        return Paths("/var/lib/aibox/docker", "/run/aibox/docker", "/etc/aibox", "/etc/aibox/seccomp.json")
    if uid == 0:
        return Paths("/var/lib/aibox", "/run/aibox", "/etc/aibox", "/etc/aibox/seccomp.json")
    home = environ.get("HOME", "/nonexistent")
    data = f"{_absolute(environ.get('XDG_DATA_HOME')) or home + '/.local/share'}/aibox"
    config = f"{_absolute(environ.get('XDG_CONFIG_HOME')) or home + '/.config'}/aibox"
    run = f"{_absolute(environ.get('XDG_RUNTIME_DIR')) or data}/aibox"
    return Paths(data, run, config, f"{data}/seccomp.json")


def _absolute(folder: str | None) -> str | None:
    return folder if folder and folder.startswith("/") else None


def sha256(data: bytes) -> str:
    """The SHA-256 of `data`, in hex."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: str) -> str:
    """The SHA-256 of a file's content, in hex, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def make_folder(path: str, mode: int = 0o700) -> None:
    """Create `path` and its parents. Raises state-unwritable."""
    try:
        os.makedirs(path, mode=mode, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def write_atomically(path: str, data: bytes, mode: int = 0o600) -> None:
    """Replace `path` by `data`: afterwards it holds the old content or all of the new. Raises state-unwritable."""
    make_folder(os.path.dirname(path), 0o755 if mode & 0o044 else 0o700)
    temporary = f"{path}.{os.getpid()}.new"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: str, error: OSError) -> AiboxError:
    fix = "free some space" if error.errno == errno.ENOSPC else f"make {os.path.dirname(path)} writable for you"
    return AiboxError("state-unwritable", f"{path} cannot be written", why=error.strerror or str(error), fix=fix)


def read_bytes(path: str) -> bytes | None:
    """The content of a file, or None if it is not there or not readable."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError):  # ValueError: a path that no file can have
        return None


def read_record(path: str) -> dict[str, Json]:
    """A JSON object that aibox wrote earlier; empty if it is missing or damaged, so that the caller starts afresh."""
    try:
        return jsonview.fields(jsonview.parse(read_bytes(path) or b"{}"))
    except ValueError:
        return {}


def write_record(path: str, record: Mapping[str, Json]) -> None:
    """Write a JSON object atomically, readable by its owner only."""
    write_atomically(path, (jsonview.dump(dict(record)) + "\n").encode())


def remove_file(path: str) -> None:
    """Remove a file that may be gone already."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _unwritable(path, error) from error


def touch(path: str) -> None:
    """Make an empty file if there is none, and give it the present time. Raises state-unwritable."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        os.utime(path)
    except OSError as error:
        raise _unwritable(path, error) from error


@contextmanager
def locked(path: str, *, timeout: float, shared: bool = False) -> Iterator[None]:
    """Hold an exclusive lock on the file `path` (made if missing) for at most one process at a time.

    `shared`: with others who hold it so, and none who holds it exclusively.
    The kernel drops the lock when the holder dies. A holder may remove the file: who waited for it then takes the lock
    of the new one. Raises lock-timeout after `timeout` seconds.
    """
    make_folder(os.path.dirname(path))
    descriptor = _open_lock(path)
    try:
        deadline = time.monotonic() + timeout
        while True:
            if _taken(descriptor, shared=shared):
                if _is_at(descriptor, path):
                    break
                os.close(descriptor)
                descriptor = -1
                descriptor = _open_lock(path)
                continue
            _wait_until(
                deadline,
                AiboxError(
                    "lock-timeout",
                    f"another aibox command is still at work after {timeout:g} seconds",
                    why=f"it holds {path}",
                    fix="wait for it, or end it, and try again",
                ),
            )
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)


@contextmanager
def one_of(paths: Sequence[str], *, timeout: float, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of any of these files, so that at most as many processes go on at once; `waiting` is told once.

    Raises lock-timeout after `timeout` seconds.
    """
    make_folder(os.path.dirname(paths[0]))
    deadline = time.monotonic() + timeout
    told = False
    # all of them, so that the files are there from the first time on
    descriptors = [_open_lock(path) for path in paths]
    try:
        while not any(_taken(descriptor) for descriptor in descriptors):
            if not told:
                waiting()
                told = True
            _wait_until(
                deadline,
                AiboxError(
                    "lock-timeout",
                    f"{len(paths)} other aibox commands are still at work after {timeout:g} seconds",
                    why=f"they hold {paths[0]} and its like",
                    fix="wait for them, or end them, and try again",
                ),
            )
        yield
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _taken(descriptor: int, *, shared: bool = False) -> bool:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_until(deadline: float, late: AiboxError) -> None:
    """Until the next attempt at a lock; raises `late` once the deadline is over."""
    if time.monotonic() >= deadline:
        raise late
    time.sleep(_LOCK_POLL_SECONDS)


def _open_lock(path: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _unwritable(path, error) from error


def _is_at(descriptor: int, path: str) -> bool:
    """Whether the open file is still the one with this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False
