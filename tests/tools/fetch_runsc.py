"""Fetches Debian's newest runsc with aibox's own code, or that of a suite. Usage: fetch_runsc.py FILE [SUITE]"""

import os
import shutil
import sys
import tempfile

from aibox import facts, runner, runscsources
from aibox.errors import AiboxError
from aibox.state import Paths


def main(target: str, suite: str = "") -> None:
    """Put it at `target`."""
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths(folder, folder, folder, folder)
        where = runscsources.Where(facts.host(), paths, runner.clean_environment(os.environ), "", "", root=True)
        try:
            if suite:
                where = where._replace(host=where.host._replace(release=suite))
                runscsources.NEWER_SUITE[suite] = suite
                found = runscsources.newer_package(where)
            else:
                found = runscsources.distribution_package(where)
        except AiboxError:
            found = runscsources.newer_package(where)
        shutil.copy(found[0], f"{target}.new")
        os.replace(f"{target}.new", target)


if __name__ == "__main__":
    main(*sys.argv[1:])
