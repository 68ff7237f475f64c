"""An image as an engine describes it, which may not steer aibox or gVisor. Pure."""

from aibox import jsonview
from aibox.checks_engine import annotations_of
from aibox.checks_plan import FORBIDDEN_ENVIRONMENT
from aibox.errors import AiboxError
from aibox.imageref import parse_image as parse_reference
from aibox.jsonview import Json, dig, fields, text, texts
from aibox.model import Engine
from aibox.plan import Image

# how `docker info` names the driver where containerd keeps the images
CONTAINERD_STORE = "io.containerd.snapshotter.v1"


def storage_of(output: str) -> str:
    """The folder of Podman's storage, as `image inspect` gives it away for the overlay driver; empty if it does not."""
    try:
        upper = text(dig(jsonview.parse(output), 0), "GraphDriver", "Data", "UpperDir")
    except ValueError:
        return ""
    return upper.rpartition("/overlay/")[0]


def save(engine: Engine, reference: str, path: str) -> list[str]:
    """The command that writes an image to an archive which Podman and Docker load; Docker knows no other form."""
    form = ["--quiet", "--format", "docker-archive"] if engine.kind == "podman" else []
    return [*engine.argv, "save", *form, "--output", path, reference]


def load(engine: Engine, path: str) -> list[str]:
    """The command that loads such an archive."""
    return [*engine.argv, "load", "--quiet", "--input", path]


def digest_of(record: Json, reference: str) -> str:
    """The manifest's digest that `image inspect` knows for the reference's repository; empty if it knows none."""
    named = parse_reference(reference)
    own = named._replace(tag="", digest="").exact.rpartition(":")[0]
    known = [one.partition("@")[2] for one in texts(record, "RepoDigests") if one.partition("@")[0] == own]
    wanted = named.digest or text(record, "Digest")
    return wanted if wanted in known else next(iter(known), "")


def parse_image(output: str, reference: str, engine: str = "podman") -> Image:
    """The image of `image inspect`, refused if it tries to steer aibox or gVisor.

    Raises engine-garbage or image-unsuitable.
    """
    try:
        record = dig(jsonview.parse(output), 0)
    except ValueError as error:
        raise AiboxError("engine-garbage", f"{engine} image inspect did not print JSON", why=str(error)) from error
    identifier = text(record, "Id")
    if not identifier:
        raise AiboxError("engine-garbage", f"{engine} image inspect printed JSON without an id")
    annotations = annotations_of(record)
    if annotations:
        raise AiboxError(
            "image-unsuitable",
            f"the image {reference} carries {', '.join(annotations)}",
            why="such annotations can switch off the runtime's controls",
            fix="use another image, or have its builder remove them",
        )
    places = sorted(fields(record, "Config", "Volumes")) if engine == "docker" else []
    if places:
        raise AiboxError(
            "image-unsuitable",
            f"the image {reference} asks for volumes at {', '.join(places)}",
            why="Docker makes one for each, and a box has no place to write beyond its own",
            fix="use another image, have its builder remove VOLUME, or use Podman, which can leave them out",
        )
    pairs = [entry.partition("=") for entry in texts(record, "Config", "Env")]
    steering = sorted(name for name, _, _ in pairs if name in FORBIDDEN_ENVIRONMENT or name.startswith("AIBOX_"))
    if steering:
        raise AiboxError(
            "image-unsuitable",
            f"the image {reference} sets {', '.join(steering)}",
            why="these variables could change the program that loads the seccomp filter",
            fix="use another image, or have its builder remove them",
        )
    return Image(reference, identifier.removeprefix("sha256:"), tuple((name, value) for name, _, value in pairs))
