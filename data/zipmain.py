"""The first lines that run in the zipapp; build_zipapp.py puts this file in front of shiv's own start.

It says a plain sentence on an old Python (so it is written for any), and lets shiv unpack only into a folder that
nobody else can write; where there is none, aibox runs straight out of the archive.
"""

import os
import sys

BUILD = "@BUILD@"


def unpacked(root):
    """The folder of the unpacked package below `root`, unpacked now if need be, or None if `root` cannot be trusted."""
    if not os.path.isdir(root):
        try:
            os.makedirs(root, 0o700)
        except OSError:
            return None
    status = os.lstat(root)
    # root under sudo may see another user's home: code from there must not run as root
    if status.st_uid != os.geteuid() or status.st_mode & 0o022 or not os.path.isdir(root):
        return None
    place = os.path.join(root, "aibox_" + BUILD)
    if not os.path.isdir(place):
        before = os.umask(0o077)
        try:
            unpack(root, place)
        except OSError:
            return None
        finally:
            os.umask(before)
    return os.path.join(place, "site-packages")


def unpack(root, place):
    """Have shiv unpack the archive beside `place`, then move it there at once: no half-unpacked folder is ever used."""
    import shutil
    import tempfile
    import zipfile
    from pathlib import Path

    from _bootstrap import extract_site_packages

    temporary = tempfile.mkdtemp(prefix="unpack-", dir=root)
    try:
        with zipfile.ZipFile(sys.argv[0]) as archive:
            extract_site_packages(archive, Path(temporary, "new"))
        try:
            os.rename(os.path.join(temporary, "new"), place)
        except OSError:
            if not os.path.isdir(place):
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def main():
    """Find the package and hand over."""
    archive = os.path.abspath(sys.argv[0])
    home = os.environ.get("HOME", "")
    # a home that is not there is not made
    cache = os.environ.get("XDG_CACHE_HOME") or (os.path.join(home, ".cache") if os.path.isdir(home) else "")
    root = os.environ.get("AIBOX_CACHE") or (os.path.join(cache, "aibox") if cache else "")
    place = unpacked(root) if os.path.isabs(root) else None
    sys.path.insert(0, place or os.path.join(archive, "site-packages"))
    from aibox.cli import main as run

    end(run())


def end(code):
    """End at once, because taking the interpreter apart costs time; what cannot be written goes the long way."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):  # a closed stream, or a reader that is gone
        sys.exit(code)
    os._exit(code)


if sys.version_info < (3, 10):
    sys.stderr.write("aibox needs Python 3.10 or newer, and this is Python %d.%d.\n" % sys.version_info[:2])
    sys.stderr.write("  fix: install python3 3.10 or newer, or run: python3.12 %s\n" % sys.argv[0])
    sys.exit(4)
try:
    main()
except KeyboardInterrupt:
    # before aibox's own code could say it: Ctrl-C while modules are loaded
    sys.stderr.write("aibox: interrupted; nothing half-made was left [interrupted]\n")
    end(130)
