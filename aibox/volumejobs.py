"""Backing up, restoring, emptying and removing volumes, each so that an interruption leaves the old or the new one.

The new data grow beside the old ones, are proved, and are exchanged with them in one step of the filesystem
(renameat2(2), RENAME_EXCHANGE); only then the old ones are removed. What a killed command left there, the next one on
that volume removes.
"""

import fcntl
import os
import pwd
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, NamedTuple

from aibox import __version__, audit, boxes, jsonview, notes, state, volumes
from aibox.boxids import SIZE, rows_for
from aibox.context import Context
from aibox.enginecalls import QUERY_SECONDS, EngineCalls
from aibox.engines import podmanvolumes
from aibox.engines.podmanvolumes import User, Volume
from aibox.errors import AiboxError
from aibox.jsonview import Json
from aibox.model import Developer
from aibox.plan import ID_MAP_FIRST, id_map, safe_name
from aibox.runner import printable
from aibox.volumearchive import FORMAT, Manifest, Reader
from aibox.volumenames import VolumeName, choose

Step = Callable[[str], None]


class Job(NamedTuple):
    """A volume to work on."""

    gathered: Context
    calls: EngineCalls
    name: VolumeName
    volume: Volume | None

    @property
    def folder(self) -> str:
        """The folder that holds the volume's data, and what is made beside them."""
        return os.path.dirname(self.volume.folder) if self.volume else f"(the folder of {self.name.name})"

    def settings(self, action: str, token: str = "") -> dict[str, Json]:
        """What volumework.py needs to know."""
        rows: list[Json] = [list(row) for row in rows_for(self.base())]
        return {"action": action, "folder": self.folder, "token": token, "rows": rows}

    def base(self) -> int | None:
        """The host's id for a box's id 0; None where a rootless engine brings its own map. Raises volume-failed."""
        if self.calls.engine.rootless:
            return None
        try:
            owner = os.lstat(self.volume.folder).st_uid if self.volume else 0
        except OSError:
            owner = 0
        if owner >= ID_MAP_FIRST:
            return ID_MAP_FIRST + (owner - ID_MAP_FIRST) // SIZE * SIZE
        # no box has used it yet
        uid = next((row.pw_uid for row in pwd.getpwall() if safe_name(row.pw_name) == self.name.user), None)
        made = id_map(Developer(uid, 0, ""), self.calls.engine) if uid is not None else None
        if made is None:
            raise AiboxError(
                "volume-failed",
                f"there is no user {self.name.user} on this host, so the owners of {self.name.name} are not known",
                fix="start a box of that user first",
            )
        return made.base

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While no other aibox command works on this volume. Raises lock-timeout."""
        lock = notes.lock_path(self.gathered.paths, self.name.name)
        with state.locked(lock, timeout=notes.LOCK_SECONDS):
            yield

    def work(self, action: str, token: str = "", *, stdin_from: int | None = None) -> Json:
        """Have volumework.py do it."""
        return volumes.work(self.calls, self.settings(action, token), stdin_from=stdin_from)


def find(gathered: Context, calls: EngineCalls, word: str) -> Job:
    """The volume that a person means, be it there or not. Raises usage."""
    volumes.require_set_up(gathered)
    known = volumes.known(calls)
    name = choose(word, [one for one, _ in known], safe_name(gathered.caller.name))
    return Job(gathered, calls, name, dict(known).get(name))


def require_there(job: Job) -> None:
    """Raises volume-missing."""
    if job.volume is None:
        raise AiboxError(
            "volume-missing",
            f"there is no volume {job.name.name}",
            why="the first box that needs it makes it",
            fix="aibox volume list",
        )


def require_idle(job: Job) -> None:
    """Refuse work on a volume that a container holds now, whoever started it. Raises volume-in-use."""
    busy = [user for user in volumes.holders(job.calls, job.name.name) if not user.idle] if job.volume else []
    if busy:
        raise AiboxError(
            "volume-in-use",
            f"{job.name.name} is used by {', '.join(user.name for user in busy)}",
            why="a box that runs would see its files change, or change them meanwhile",
            fix=" && ".join(printable(_stop(job, user)) for user in busy),
        )


def _stop(job: Job, user: User) -> list[str]:
    if user.workspace:
        return ["aibox", "stop", "--workspace", user.workspace]
    return [job.calls.engine.kind, "stop", user.name]


# backup


def backup(job: Job, target: str, step: Step) -> Manifest:
    """Write a volume's backup to the file `target`, which is whole or as it was.

    Raises volume-missing, volume-in-use, volume-failed.
    """
    require_there(job)
    with job.alone(), _beside(target) as (descriptor, temporary):
        require_idle(job)
        used = boxes.noted_use(job.gathered.paths, job.name.name)
        step(f"write {job.name.name} to {target}")
        settings = {**job.settings("pack"), "about": about(job)}
        answer = volumes.work(job.calls, settings, stdout_to=descriptor)
        # a box that was started meanwhile may have written
        require_idle(job)
        if boxes.noted_use(job.gathered.paths, job.name.name) != used:
            raise AiboxError("volume-in-use", f"{job.name.name} was used by a box meanwhile", fix="try again")
        os.fsync(descriptor)
        os.replace(temporary, target)
        _sync_folder(target)
    number, text = jsonview.number, jsonview.text
    return Manifest(
        number(answer, "members"), number(answer, "bytes"), text(answer, "sha256"), number(answer, "left_out")
    )


def about(job: Job) -> dict[str, Json]:
    """The first member of a backup."""
    return {
        "format": FORMAT,
        "aibox": __version__,
        "volume": job.name.name,
        "purpose": job.name.purpose,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


@contextmanager
def _beside(target: str) -> Iterator[tuple[int, str]]:
    """An empty file beside the target that nobody else writes; what an interrupted command left there is used again."""
    folder, name = os.path.split(os.path.abspath(target))
    temporary = f"{folder}/.{name}.aibox-part"
    if os.path.isdir(target) or (os.path.lexists(target) and not stat.S_ISREG(os.stat(target).st_mode)):
        raise AiboxError("usage", f"{target} is no plain file", fix="name a file that may be made or replaced")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        why = error.strerror or str(error)
        raise AiboxError("usage", f"no file can be made in {folder}", why=why, fix="choose another folder") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AiboxError("usage", f"another backup is being written to {target}", fix="wait for it") from None
        os.ftruncate(descriptor, 0)
        os.fchmod(descriptor, 0o600)
        yield descriptor, temporary
    except BaseException:
        state.remove_file(temporary)
        raise
    finally:
        os.close(descriptor)


def _sync_folder(target: str) -> None:
    descriptor = os.open(os.path.dirname(os.path.abspath(target)), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# restore


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """A backup file. Raises usage or volume-archive."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise AiboxError("usage", f"{path} cannot be read", why=error.strerror or "", fix="name a backup") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise AiboxError("usage", f"{path} is no plain file", fix="name a backup")
    with open(descriptor, "rb", 1 << 20) as file:
        yield file


def check(job: Job, file: BinaryIO) -> Reader:
    """Read all of a backup and judge every member, before anything is touched. Raises volume-archive."""
    reader = Reader(file, os.fstat(file.fileno()).st_size)
    for _ in reader.entries():
        pass
    purpose = jsonview.text(reader.about, "purpose")
    if purpose != job.name.purpose:
        raise AiboxError(
            "volume-archive",
            f"this is a backup of {jsonview.text(reader.about, 'volume')}, not of a {job.name.short}",
            why=f"what a box keeps as {purpose} does not belong where it keeps {job.name.purpose}",
            fix="use a backup of the same kind",
        )
    return reader


def restore(job: Job, file: BinaryIO, step: Step) -> tuple[str, ...]:
    """Put what a checked backup holds in the place of the volume's data; a volume that is not there is made.

    Returns remarks. Raises volume-in-use, volume-archive, volume-failed; the volume is as it was then.
    """
    with job.alone():
        require_idle(job)
        if job.volume is None:
            job = _made(job)
        token = secrets.token_hex(8)

        def fill() -> None:
            file.seek(0)
            os.lseek(file.fileno(), 0, os.SEEK_SET)
            step(f"write it beside {job.name.name}, and read it back")
            job.work("fill", token, stdin_from=file.fileno())

        remarks = _replace(job, token, fill, step)
    audit.record(job.gathered.paths, "volume-restored", job.name.name)
    return remarks


def _made(job: Job) -> Job:
    users = {safe_name(row.pw_name): row.pw_name for row in pwd.getpwall()}
    owner = users.get(job.name.user, job.name.user)
    job.base()
    job.calls.change(podmanvolumes.create(job.calls.engine, job.name.name, owner), timeout=QUERY_SECONDS)
    return job._replace(volume=dict(volumes.known(job.calls)).get(job.name))


def empty(job: Job, step: Step) -> tuple[str, ...]:
    """Put an empty folder of the box's user in the place of a cache's data.

    Returns remarks. Raises volume-missing, volume-in-use, volume-failed.
    """
    require_there(job)
    with job.alone():
        require_idle(job)
        token = secrets.token_hex(8)

        def fresh() -> None:
            job.work("fresh", token)

        remarks = _replace(job, token, fresh, step)
    audit.record(job.gathered.paths, "cache-emptied", job.name.name)
    return remarks


def _replace(job: Job, token: str, make: Callable[[], None], step: Step) -> tuple[str, ...]:
    try:
        make()
        # boxes that start wait here, so that none can have mounted the old data when they are exchanged
        with state.locked(notes.volumes_lock(job.gathered.paths), timeout=notes.LOCK_SECONDS):
            require_idle(job)
            step(f"exchange the data of {job.name.name}")
            job.work("exchange", token)
    except BaseException:
        with suppress(AiboxError):
            job.work("clean")
        raise
    step("remove the former data")
    try:
        job.work("clean")
    except AiboxError as error:
        return (f"the former data of {job.name.name} are still on the disk: {error.what}",)
    return ()


# prune


def prunable(gathered: Context, calls: EngineCalls, *, homes: bool) -> list[Job]:
    """Volumes that no container has, running or not: caches, with `homes` also the others."""
    volumes.require_set_up(gathered)
    return [
        Job(gathered, calls, name, volume)
        for name, volume in volumes.known(calls)
        if (homes or name.cache) and not volumes.holders(calls, name.name)
    ]


def remove(job: Job) -> bool:
    """Remove an unused volume; False if a box has it by now."""
    with job.alone():
        result = job.calls.run(podmanvolumes.remove(job.calls.engine, job.name.name), volumes.MEASURE_SECONDS)
        if result.code == 0:
            state.remove_file(f"{job.gathered.paths.data}/volumes/{job.name.name}")
            audit.record(job.gathered.paths, "volume-removed", job.name.name)
        elif not volumes.holders(job.calls, job.name.name):
            raise AiboxError("engine-failed", f"{job.name.name} was not removed: {result.complaint()}", fix="try again")
        return result.code == 0
