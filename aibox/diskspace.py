"""What aibox takes on the disk, in bytes: images, volumes, caches, boxes, and its own files."""

import os
from typing import NamedTuple

from aibox import jsonview, leftovers, state, volumes
from aibox.context import Context
from aibox.enginecalls import EngineCalls
from aibox.engines import podmanvolumes
from aibox.engines.podmanvolumes import Held
from aibox.imagevariants import local_names
from aibox.leftovers import Unused

SLOW_SECONDS = 120.0
BLOCK = 512


class Space(NamedTuple):
    """Something that takes space."""

    name: str
    what: str
    bytes: int


def groups(gathered: Context, calls: EngineCalls) -> dict[str, list[Space]]:
    """Everything of aibox's that takes space, by kind."""
    volumes.require_podman(calls)
    if not volumes.set_up(gathered):
        return {"images": [], "volumes": [], "caches": [], "boxes": [], "own": own(gathered, [])}
    boxes = podmanvolumes.parse_sizes(calls.change(podmanvolumes.list_sizes(calls.engine), timeout=SLOW_SECONDS).text())
    listed = calls.change(podmanvolumes.list_images(calls.engine), timeout=SLOW_SECONDS).text()
    kept = volumes.known(calls)
    taken = volumes.measure(calls, [volume for _, volume in kept])
    sizes = [
        (name.cache, Space(name.name, "", size.bytes + size.leftover if size else 0))
        for (name, _), size in zip(kept, taken, strict=True)
    ]
    return {
        "images": images(gathered, podmanvolumes.parse_images(listed), boxes),
        "volumes": [space for cache, space in sizes if not cache],
        "caches": [space for cache, space in sizes if cache],
        "boxes": [Space(box.name, box.what, box.bytes) for box in boxes],
        "own": own(gathered, leftovers.unused(gathered, calls)),
    }


def images(gathered: Context, listed: list[Held], boxes: list[Held]) -> list[Space]:
    """The images that aibox uses, used or built: by setup's record, the configuration, boxes, and the name."""
    record = state.read_record(gathered.paths.setup_record)
    wanted = {jsonview.text(record, "image", "reference"), gathered.config.image, *local_names()}
    repositories = {repository(reference) for reference in wanted if reference}
    current = jsonview.text(record, "image", "id")
    found = []
    for image in listed:
        having = [box.name for box in boxes if box.image == image.name]
        if having or image.name == current or repository(image.what) in repositories:
            use = f"used by {', '.join(having)}" if having else "for new boxes" if image.name == current else "not used"
            found.append(Space(image.what or image.name[:12], use, image.bytes))
    return found


def repository(reference: str) -> str:
    """An image's reference without tag and digest."""
    name = reference.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def own(gathered: Context, unused: list[Unused]) -> list[Space]:
    """aibox's own folders; apart from them what lies there and nothing uses."""
    environ = gathered.environ
    caches = environ.get("XDG_CACHE_HOME") or f"{environ.get('HOME', '')}/.cache"
    cache = environ.get("AIBOX_CACHE") or f"{caches}/aibox"
    places = (
        (gathered.paths.data, "setup's record, runtimes, notes, audit log"),
        (gathered.paths.run, "locks and notes until the next boot"),
        (gathered.paths.config, "configuration"),
        (cache, "the unpacked program"),
    )
    old = [Space(one.path, f"{one.what}: aibox repair leftovers", tree(one.path)) for one in unused]
    apart = {path: sum(one.bytes for one in old if one.name.startswith(f"{path}/")) for path, _ in places}
    kept = [Space(path, what, tree(path) - apart[path]) for path, what in dict(places).items() if os.path.isdir(path)]
    return [*kept, *old]


def tree(path: str) -> int:
    """Bytes that a folder takes on the disk, what is mounted in it left out."""
    try:
        device = os.lstat(path).st_dev
    except OSError:
        return 0
    total = 0
    for folder, folders, files in os.walk(path):
        for name in ["", *files]:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * BLOCK
            except OSError:
                continue
        folders[:] = [name for name in folders if _device(os.path.join(folder, name)) == device]
    return total


def _device(path: str) -> int:
    try:
        return os.lstat(path).st_dev
    except OSError:
        return -1
