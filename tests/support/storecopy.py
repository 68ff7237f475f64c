"""Copies the images of one Podman storage into another place, for its owner's ids.

Loading an archive takes minutes where the processor is emulated, a copy takes seconds.
Usage: storecopy.py SOURCE TARGET [UID FIRST-SUBORDINATE-UID]; without ids the owners stay.
"""

import os
import shutil
import stat
import sys
from pathlib import Path

# what containers/storage keeps of images with the overlay driver; containers and libpod's own state stay behind
PARTS = ("overlay", "overlay-images", "overlay-layers")


def copy(source: Path, target: Path, uid: int = 0, first: int = 0) -> None:
    """Copy the images. In a rootless storage root is the user, and id n the n-th of the subordinate ids."""
    target.mkdir(parents=True, exist_ok=True)
    os.chown(target, uid, uid)
    for part in PARTS:
        copy_entry(source / part, target / part, uid, first)


def copy_entry(source: Path, target: Path, uid: int, first: int) -> None:
    """A file, link or folder with all that is in it; devices stay behind, because a box has its own."""
    found = source.lstat()
    if stat.S_ISDIR(found.st_mode):
        target.mkdir()
        for inner in source.iterdir():
            copy_entry(inner, target / inner.name, uid, first)
    elif stat.S_ISLNK(found.st_mode):
        target.symlink_to(source.readlink())
    elif stat.S_ISREG(found.st_mode):
        shutil.copy2(source, target)
    else:
        return
    owners = [one if not uid else uid if not one else first + one - 1 for one in (found.st_uid, found.st_gid)]
    os.lchown(target, *owners)
    if not stat.S_ISLNK(found.st_mode):
        target.chmod(stat.S_IMODE(found.st_mode))


if __name__ == "__main__":
    ids = [int(word) for word in sys.argv[3:]]
    copy(Path(sys.argv[1]), Path(sys.argv[2]), *ids)
