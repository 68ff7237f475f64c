"""A plan as JSON and back: what a box was made with is kept beside it, so that it can be judged by its own plan later.

The box's label carries the plan's digest, so a record that was changed is noticed.
"""

from aibox import jsonview
from aibox.jsonview import Json, dig, fields, items, number, text
from aibox.model import Developer, Identity, IdMap, LaunchPlan, Limits, Mount, Runtime, Workspace


def encode(plan: LaunchPlan) -> Json:
    """The plan as JSON."""
    return _plain(plan)


def _plain(value: object) -> Json:
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain(part) for name, part in value._asdict().items()}
    if isinstance(value, (tuple, list)):
        return [_plain(part) for part in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{type(value).__name__} has no place in a plan")


def decode(record: Json) -> LaunchPlan:
    """The plan of a record; what is missing there is empty, and then the digest differs."""
    kept = fields(record, "id_map")
    return LaunchPlan(
        name=text(record, "name"),
        owner=_developer(dig(record, "owner")),
        workspace=_workspace(dig(record, "workspace")),
        image=text(record, "image"),
        image_id=text(record, "image_id"),
        runtime=Runtime(*(text(record, "runtime", name) for name in Runtime._fields)),
        rootless=_true(record, "rootless"),
        id_map=IdMap(*(number(kept, name) for name in IdMap._fields)) if kept else None,
        mounts=tuple(_mount(mount) for mount in items(record, "mounts")),
        limits=_limits(dig(record, "limits")),
        seccomp_path=text(record, "seccomp_path"),
        seccomp_digest=text(record, "seccomp_digest"),
        apparmor=text(record, "apparmor"),
        capabilities=tuple(jsonview.texts(record, "capabilities")),
        no_new_privileges=_true(record, "no_new_privileges"),
        read_only=_true(record, "read_only"),
        user=text(record, "user"),
        network=text(record, "network"),
        environment=_pairs(record, "environment"),
        command=tuple(jsonview.texts(record, "command")),
        stop_timeout=number(record, "stop_timeout"),
        labels=_pairs(record, "labels"),
        engine=text(record, "engine"),
    )


def _developer(record: Json) -> Developer:
    return Developer(number(record, "uid"), number(record, "gid"), text(record, "name"))


def _workspace(record: Json) -> Workspace:
    identity = Identity(number(record, "identity", "device"), number(record, "identity", "inode"))
    owner = _developer(dig(record, "owner"))
    return Workspace(text(record, "path"), identity, owner, text(record, "filesystem"), _true(record, "empty"))


def _mount(record: Json) -> Mount:
    options = tuple(jsonview.texts(record, "options"))
    return Mount(text(record, "kind"), text(record, "source"), text(record, "target"), options, number(record, "size"))


def _limits(record: Json) -> Limits:
    return Limits(
        memory=number(record, "memory"),
        cpus=_decimal(dig(record, "cpus")),
        pids=number(record, "pids"),
        shm=number(record, "shm"),
        nofile=number(record, "nofile"),
        holder=text(record, "holder"),
    )


def _decimal(value: Json) -> float:
    try:
        return float(value) if isinstance(value, (int, float)) else 0.0
    except OverflowError:  # an integer of hundreds of digits
        return 0.0


def _pairs(record: Json, name: str) -> tuple[tuple[str, str], ...]:
    return tuple((text(pair, 0), text(pair, 1)) for pair in items(record, name))


def _true(record: Json, name: str) -> bool:
    return dig(record, name) is True
