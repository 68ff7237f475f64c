"""aibox's volumes on this host: which there are, who has them, what they take, and the program that works on them."""

import os
import sys
import time
from collections.abc import Mapping
from typing import NamedTuple

from aibox import boxes, jsonview, runner
from aibox.boxids import result_of
from aibox.context import Context
from aibox.enginecalls import QUERY_SECONDS, EngineCalls
from aibox.engines import podmanvolumes
from aibox.engines.podmanvolumes import User, Volume
from aibox.errors import AiboxError
from aibox.jsonview import Json, number
from aibox.model import LABEL_OWNER
from aibox.plan import safe_name
from aibox.volumenames import VolumeName, parse

WORK_SECONDS = 3600.0
MEASURE_SECONDS = 300.0
# isolated (-I), with aibox's own package in front
PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from aibox.volumework import main; raise SystemExit(main(sys.argv[1:]))"
)


class Kept(NamedTuple):
    """One volume of aibox's: its name, where its files are, who has it, and its time of last use (0: not known)."""

    name: VolumeName
    volume: Volume
    users: tuple[User, ...]
    used: float

    @property
    def busy(self) -> tuple[str, ...]:
        """Containers that hold it now."""
        return tuple(user.name for user in self.users if not user.idle)


class Taken(NamedTuple):
    """What a volume takes on the disk; `leftover` is what an interrupted command left beside it."""

    bytes: int
    files: int
    leftover: int


def require_podman(calls: EngineCalls) -> None:
    """Volumes are looked into only with Podman so far. Raises engine-unsupported."""
    if calls.engine.kind != "podman":
        raise AiboxError(
            "engine-unsupported",
            f"aibox does not look into the volumes of {calls.engine.kind} yet",
            why="it works on their files in the engine's own user namespace",
            fix="use Podman: --engine podman",
        )


def set_up(gathered: Context) -> bool:
    """Whether setup was here. Before it there are no volumes, and a call would settle the engine's storage driver."""
    return os.path.exists(gathered.paths.setup_record)


def require_set_up(gathered: Context) -> None:
    """Raises runtime-missing."""
    if not set_up(gathered):
        raise AiboxError("runtime-missing", "this host is not set up, so it has no volumes", fix="aibox setup")


def known(calls: EngineCalls) -> list[tuple[VolumeName, Volume]]:
    """aibox's volumes on this engine, by name."""
    require_podman(calls)
    listed = calls.change(podmanvolumes.list_volumes(calls.engine), timeout=QUERY_SECONDS).text()
    pairs = [(parse(volume.name), volume) for volume in podmanvolumes.parse_volumes(listed) if volume.plain]
    return sorted((name, volume) for name, volume in pairs if name and _own(name, volume))


def _own(name: VolumeName, volume: Volume) -> bool:
    """Whether its label, if it has one, is of the user in its name."""
    owner = volume.labels.get(LABEL_OWNER)
    return owner is None or safe_name(owner) == name.user


def kept(gathered: Context, calls: EngineCalls) -> list[Kept]:
    """aibox's volumes with the boxes that have them and their last use."""
    volumes = known(calls) if set_up(gathered) else []
    names = [box.name for box in calls.boxes()] if volumes else []
    mounted = []
    if names:
        shown = calls.run(podmanvolumes.inspect(calls.engine, names))
        mounted = podmanvolumes.parse_mounted(shown.text())
    found = []
    for name, volume in volumes:
        users = [(user, ended) for user, theirs, ended in mounted if volume.name in theirs]
        times = [boxes.noted_use(gathered.paths, volume.name), *(seconds(ended) for _, ended in users)]
        if any(not user.idle for user, _ in users):
            times.append(time.time())
        found.append(Kept(name, volume, tuple(user for user, _ in users), max(times)))
    return found


def holders(calls: EngineCalls, volume: str) -> list[User]:
    """Every container that has a volume, aibox's or not."""
    listed = calls.change(podmanvolumes.users(calls.engine, volume), timeout=QUERY_SECONDS).text()
    return podmanvolumes.parse_users(listed)


def seconds(stamp: str) -> float:
    """The moment that an RFC 3339 time names, 0 for the engine's zero value or another shape."""
    from calendar import timegm

    try:
        return max(0.0, float(timegm(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S"))))
    except ValueError:
        return 0.0


def measure(calls: EngineCalls, volumes: list[Volume]) -> list[Taken | None]:
    """What volumes take; None for one whose folder is gone."""
    if not volumes:
        return []
    folders: list[Json] = [volume.folder for volume in volumes]
    answers = work(calls, {"action": "measure", "folders": folders}, timeout=MEASURE_SECONDS)
    return [
        Taken(number(one, "bytes"), number(one, "files"), number(one, "leftover")) if one else None
        for one in jsonview.items(answers)
    ]


def work(
    calls: EngineCalls,
    settings: Mapping[str, Json],
    *,
    timeout: float = WORK_SECONDS,
    stdin_from: int | None = None,
    stdout_to: int | None = None,
) -> Json:
    """Have volumework.py do something as the root of the engine's namespace; returns its answer, raises its errors."""
    argv = command(calls, settings)
    if stdin_from is None and stdout_to is None:
        result = calls.run(argv, timeout)
    else:
        result = calls.stream(argv, timeout, stdin_from=stdin_from, stdout_to=stdout_to)
    # what goes to a file leaves standard error for the answer
    answer = result.out if stdout_to is None else (result.err.strip().splitlines() or [b""])[-1]
    if not answer.startswith(b"{"):
        runner.checked(result, "volume-failed", fix="aibox doctor")
    return result_of(answer)


def command(calls: EngineCalls, settings: Mapping[str, Json]) -> list[str]:
    """The command that does it."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return calls.inside([sys.executable, "-I", "-c", PROGRAM, package, jsonview.dump(dict(settings))])
