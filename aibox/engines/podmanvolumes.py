"""Podman's command lines about volumes and disk space, and reading what it prints. Pure.

Sources: podman-volume-ls(1), podman-volume-create(1), podman-ps(1), podman-images(1) of 4.3 to 5.x.
"""

from collections.abc import Mapping
from typing import NamedTuple

from aibox import jsonview
from aibox.errors import AiboxError
from aibox.jsonview import Json, dig, fields, items, number, text, texts
from aibox.model import LABEL_OWNER, LABEL_PLAN, LABEL_WORKSPACE, Engine

# states in which nothing of a container holds its volumes
IDLE = ("configured", "created", "exited", "stopped")


class Volume(NamedTuple):
    """A volume as the engine has it: where its files are on the host, its labels, and whether it is a plain folder."""

    name: str
    folder: str
    created: str
    labels: Mapping[str, str]
    plain: bool


class User(NamedTuple):
    """A container that has a volume."""

    name: str
    status: str
    workspace: str

    @property
    def idle(self) -> bool:
        """Whether nothing of it holds the volume now."""
        return self.status in IDLE


class Held(NamedTuple):
    """An image or a box with the bytes that it takes; `what` is an image's reference or a box's workspace."""

    name: str
    what: str
    bytes: int
    image: str = ""


def list_volumes(engine: Engine) -> list[str]:
    """The command that lists all volumes of this engine as JSON."""
    return [*engine.argv, "volume", "ls", "--format", "json"]


def users(engine: Engine, volume: str) -> list[str]:
    """The command that lists every container, aibox's or not, that has a volume."""
    return [*engine.argv, "ps", "--all", "--no-trunc", "--filter", f"volume={volume}", "--format", "json"]


def inspect(engine: Engine, names: list[str]) -> list[str]:
    """The command that describes containers; it prints those that are there even where one is gone."""
    return [*engine.argv, "container", "inspect", *names]


def create(engine: Engine, volume: str, owner: str) -> list[str]:
    """The command that makes a volume with its user as a label."""
    return [*engine.argv, "volume", "create", "--label", f"{LABEL_OWNER}={owner}", volume]


def remove(engine: Engine, volume: str) -> list[str]:
    """The command that removes a volume; the engine refuses it while a container has it."""
    return [*engine.argv, "volume", "rm", volume]


def list_images(engine: Engine) -> list[str]:
    """The command that lists all images with their sizes as JSON."""
    return [*engine.argv, "images", "--no-trunc", "--format", "json"]


def list_sizes(engine: Engine) -> list[str]:
    """The command that lists aibox's boxes with what they wrote into themselves, as JSON."""
    return [
        *engine.argv, "ps", "--all", "--no-trunc", "--size", "--filter", f"label={LABEL_PLAN}", "--format", "json",
    ]  # fmt: skip


def _rows(output: str, command: str) -> list[Json]:
    try:
        rows = jsonview.parse(output or "[]")
    except ValueError as error:
        raise AiboxError("engine-garbage", f"podman {command} did not print JSON", why=str(error)) from error
    if rows is not None and not isinstance(rows, list):
        raise AiboxError("engine-garbage", f"podman {command} did not print a list")
    return rows or []


def parse_volumes(output: str) -> list[Volume]:
    """The volumes in the output of `list_volumes`. Raises engine-garbage."""
    return [
        Volume(
            name=text(row, "Name"),
            folder=text(row, "Mountpoint"),
            created=text(row, "CreatedAt"),
            labels={name: value for name, value in fields(row, "Labels").items() if isinstance(value, str)},
            # a volume with options is a mount of something else
            plain=text(row, "Driver") == "local" and not fields(row, "Options"),
        )
        for row in _rows(output, "volume ls")
    ]


def parse_users(output: str) -> list[User]:
    """The containers in the output of `users`. Raises engine-garbage."""
    return [
        User((texts(row, "Names") or [text(row, "Id")])[0], text(row, "State"), text(row, "Labels", LABEL_WORKSPACE))
        for row in _rows(output, "ps")
    ]


def parse_mounted(output: str) -> list[tuple[User, list[str], str]]:
    """Containers of `inspect` with their volumes' names, and when they last ended (RFC 3339). Raises engine-garbage."""
    return [
        (
            User(
                text(row, "Name").lstrip("/"),
                text(row, "State", "Status"),
                text(row, "Config", "Labels", LABEL_WORKSPACE),
            ),
            [text(mount, "Name") for mount in items(row, "Mounts") if text(mount, "Type") == "volume"],
            text(row, "State", "FinishedAt"),
        )
        for row in _rows(output, "container inspect")
    ]


def parse_images(output: str) -> list[Held]:
    """The images in the output of `list_images`, once each, by their first name. Raises engine-garbage."""
    found: dict[str, Held] = {}
    for row in _rows(output, "images"):
        identifier = text(row, "Id").removeprefix("sha256:")
        # one that lost its name to a newer one still has its digest's
        named = texts(row, "Names") or [one.partition("@")[0] for one in texts(row, "RepoDigests")]
        name = (named or [""])[0]
        found.setdefault(identifier, Held(identifier, name, number(row, "Size")))
    return list(found.values())


def parse_sizes(output: str) -> list[Held]:
    """Boxes with what they wrote into themselves, from the output of `list_sizes`. Raises engine-garbage."""
    return [
        Held(
            (texts(row, "Names") or [""])[0],
            text(row, "Labels", LABEL_WORKSPACE),
            number(dig(row, "Size"), "rwSize"),
            text(row, "ImageID").removeprefix("sha256:"),
        )
        for row in _rows(output, "ps")
    ]
