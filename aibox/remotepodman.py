"""Podman that hands its work to a service elsewhere (another host, a virtual machine): recognised, and refused by name.

aibox has to see a box's processes and files itself. Variables such as CONTAINER_HOST are never passed on, so what is
left is the configuration, and a program that is a client alone. Sources: podman(1), podman-remote(1),
containers.conf(5).
"""

import os
import re
from typing import TYPE_CHECKING

from aibox import jsonview, state
from aibox.errors import AiboxError
from aibox.runner import Result, printable

if TYPE_CHECKING:
    from aibox.context import Context

INFO_SECONDS = 60.0
UNREACHED = ("cannot connect to podman", "unable to connect to podman")
_REMOTE = re.compile(rb"^[ \t]*remote[ \t]*=[ \t]*true", re.MULTILINE)
ROOTS = "/etc/containers"
SYSTEM = ("/usr/share/containers/containers.conf", f"{ROOTS}/containers.conf")


def own_folder(context: "Context") -> str:
    """The user's own folder for containers.conf; for root the system's."""
    return f"{os.path.dirname(context.paths.config)}/containers"


def require_local(context: "Context") -> None:
    """Refuse a Podman that works elsewhere; none at all is another check's to name. Raises engine-remote."""
    try:
        calls = context.calls()
    except AiboxError:
        return
    result = calls.run([*calls.engine.argv, "info", "--format", "json"], INFO_SECONDS)
    if elsewhere(result):
        raise refusal(calls.engine.path, own_folder(context))


def elsewhere(result: Result) -> bool:
    """Whether the answer of `podman info` says that a service elsewhere does the work, or that none was reached."""
    if result.code != 0:
        complaint = result.err.decode("utf-8", "replace").lower()
        return any(words in complaint for words in UNREACHED)
    try:
        return jsonview.dig(jsonview.parse(result.out), "host", "serviceIsRemote") is True
    except ValueError:
        return False


def refusal(program: str, own: str) -> AiboxError:
    """What makes it so, and the command that mends it."""
    files = configuration(own)
    if files:
        why = f"{', '.join(files)} says `remote = true`"
        mine = own == ROOTS or all(file.startswith(f"{own}/") for file in files)
        become = [] if mine else ["sudo"]
        fix = printable([*become, "sed", "-i", "s/^[ \\t]*remote[ \\t]*=/# &/", *files])
    elif os.path.basename(os.path.realpath(program)).startswith("podman-remote"):
        why, fix = f"{program} is a client without an engine", "aibox setup --engine-path /usr/bin/podman"
    else:
        why, fix = "its connections lead there", "podman system connection list; then: podman info"
    return AiboxError("engine-remote", f"{program} hands its work to a Podman elsewhere", why=why, fix=fix)


def configuration(own: str) -> list[str]:
    """The files of containers.conf(5) that switch it on, in the order in which Podman reads them."""
    places = [*SYSTEM, *_parts(f"{ROOTS}/containers.conf.d"), f"{own}/containers.conf"]
    places += _parts(f"{own}/containers.conf.d")
    return [path for path in dict.fromkeys(places) if _REMOTE.search(state.read_bytes(path) or b"")]


def _parts(folder: str) -> list[str]:
    try:
        return [f"{folder}/{name}" for name in sorted(os.listdir(folder)) if name.endswith(".conf")]
    except OSError:
        return []
