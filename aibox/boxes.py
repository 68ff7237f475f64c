"""Which box belongs to which folder: aibox's own small register, so that verbs find a box without asking the engine."""

import os
from typing import NamedTuple

from aibox import jsonview, notes, planrecord, state
from aibox.context import Context, current_folder
from aibox.errors import AiboxError
from aibox.model import BOX_WORKSPACE, Developer, LaunchPlan
from aibox.plan import box_name
from aibox.state import Paths
from aibox.workspace import user_name


class Located(NamedTuple):
    """A box found from a folder: its name, its workspace, and where in the box the folder is."""

    name: str
    workspace: str
    workdir: str


def register_path(paths: Paths, name: str) -> str:
    """The file that remembers one box."""
    return f"{paths.data}/boxes/{name}.json"


def remember(paths: Paths, plan: LaunchPlan) -> None:
    """Note a box."""
    state.write_record(
        register_path(paths, plan.name),
        {
            "workspace": plan.workspace.path,
            "owner": plan.owner.name,
            "uid": plan.owner.uid,
            "plan": planrecord.encode(plan),
        },
    )


def recorded_plan(paths: Paths, name: str, digest: str) -> LaunchPlan | None:
    """The plan that a box was made with, or None if the record is gone or is not the one with this digest."""
    from aibox.plan import digest as digest_of

    plan = planrecord.decode(jsonview.dig(state.read_record(register_path(paths, name)), "plan"))
    return plan if digest and digest_of(plan) == digest else None


def forget(paths: Paths, name: str) -> None:
    """Drop everything that aibox notes of a box that is gone."""
    notes.forget(paths, name)
    state.remove_file(register_path(paths, name))


def locate(context: Context, given: str) -> Located:
    """The box of the folder `given`, or of the current folder or the nearest parent that has one.

    Raises box-missing.
    """
    folder = os.path.realpath(given or current_folder())
    candidate = folder
    while True:
        name = _registered(context, candidate)
        if name:
            inside = os.path.relpath(folder, candidate)
            return Located(name, candidate, BOX_WORKSPACE if inside == "." else f"{BOX_WORKSPACE}/{inside}")
        if given or candidate == "/":
            break
        candidate = os.path.dirname(candidate)
    where = f" --workspace {_quoted(given)}" if given else ""
    raise AiboxError(
        "box-missing",
        f"there is no box for {folder}",
        why="none was started for it" if given else "neither for it nor for a folder above it",
        fix=f"aibox start{where}",
    )


def _registered(context: Context, folder: str) -> str:
    """The name of the folder's box, if it has one."""
    owner = context.caller
    if owner.uid == 0:
        try:
            uid = os.stat(folder).st_uid
        except OSError:
            return _by_workspace(context.paths, folder)
        owner = Developer(uid, 0, user_name(uid))
    name = box_name(owner, folder)
    return name if os.path.exists(register_path(context.paths, name)) else ""


def _by_workspace(paths: Paths, folder: str) -> str:
    """The box of a folder that is gone, or whose owner changed."""
    for name, record in registered(paths):
        if jsonview.text(record, "workspace") == folder:
            return name
    return ""


def registered(paths: Paths) -> list[tuple[str, dict[str, jsonview.Json]]]:
    """All noted boxes."""
    try:
        names = sorted(
            entry.removesuffix(".json") for entry in os.listdir(f"{paths.data}/boxes") if entry.endswith(".json")
        )
    except OSError:
        return []
    return [(name, state.read_record(register_path(paths, name))) for name in names]


def use_path(paths: Paths, volume: str) -> str:
    """A file whose time is that of the volume's last use by a box."""
    return f"{paths.data}/volumes/{volume}"


def note_use(paths: Paths, names: list[str]) -> None:
    """Remember that a box uses these volumes now."""
    state.make_folder(f"{paths.data}/volumes")
    for name in names:
        state.touch(use_path(paths, name))


def noted_use(paths: Paths, volume: str) -> float:
    """When a box last used a volume, as far as it was noted."""
    try:
        return os.stat(use_path(paths, volume)).st_mtime
    except OSError:
        return 0.0


def noted_volumes(paths: Paths) -> list[str]:
    """Names of the volumes that boxes used."""
    try:
        return sorted(os.listdir(f"{paths.data}/volumes"))
    except OSError:
        return []


def _quoted(path: str) -> str:
    import shlex

    return shlex.quote(path)
