#!/usr/bin/env python3
"""Shows what each traced call is allowed for: takes it out of the session filter and looks for a build that breaks.

Usage: removal.py [CALL...]     with no call: all that breaks.tsv does not name yet. Writes breaks.tsv as it goes.
A call that is taken out answers ENOSYS, as every call that the table does not allow. Where libc and tools forgive that,
it answers EPERM, which is all that gVisor's own filter can say.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1]), str(HERE.parents[1] / "tests" / "tools")]

import make_bpf  # noqa: E402
import places  # noqa: E402
import tracing  # noqa: E402

from aibox import seccomp  # noqa: E402

DATA = HERE.parents[1] / "data"
BREAKS = HERE / "breaks.tsv"
HEADING = """\
# What breaks without an allowed call, by removal.py: the build that fails when the call answers `error` instead.
# project -: none of the builds tried fails (the quick ones that make the call, else all that make it). Such a call has
# to leave the list, or a project has to show what it is needed for.
call\tproject\terror
"""
ERRORS = {"ENOSYS": seccomp.ENOSYS, "EPERM": seccomp.EPERM}
# the quickest first
QUICK = ("libc", "shell", "git", "python", "javac", "make")
ORDER = (*QUICK, "bazel", "node", "rust", "maven", "go", "gradle")
ALLOWED = ("allow", "args")
SECONDS = 90.0


class Break(NamedTuple):
    """A row of breaks.tsv."""

    call: str
    project: str
    error: str


def program(without: str = "", error: str = "ENOSYS") -> bytes:
    """The session program of this machine, without one call."""
    return make_bpf.session(os.uname().machine, without, ERRORS[error])


@contextlib.contextmanager
def filter_file(code: bytes) -> Iterator[Path]:
    """A program as a file."""
    with tempfile.NamedTemporaryFile(prefix="filter-", suffix=".bpf") as file:
        file.write(code)
        file.flush()
        yield Path(file.name)


def traced() -> dict[str, list[str]]:
    """Allowed calls that the traces name, each with the projects that make it in the Debian folder."""
    allowed = {call.name for call in seccomp.syscalls() if call.verdict in ALLOWED}
    found: dict[str, set[str]] = {}
    for (call, _), seen in tracing.read(tracing.SUMMARY).items():
        if call in allowed:
            names = {where.partition("/")[2] for where in seen if where.startswith(f"{places.SUITE}/")}
            found.setdefault(call, set()).update(names)
    return {call: sorted(names, key=ORDER.index) for call, names in sorted(found.items()) if names}


def read() -> list[Break]:
    """The rows of breaks.tsv."""
    if not BREAKS.exists():
        return []
    lines = BREAKS.read_text(encoding="utf-8").splitlines()
    return [Break(*line.split("\t")) for line in lines if not line.startswith(("#", "call\t"))]


def breaks(place: places.Place, call: str, project: str, error: str) -> bool:
    """Whether a build fails, or hangs, without a call."""
    with filter_file(program(call, error)) as file:
        return place.build(project, program=file, seconds=SECONDS).code != 0


def find(place: places.Place, call: str, projects: Sequence[str]) -> Break:
    """The first build that fails without a call."""
    projects = [project for project in projects if project in QUICK] or projects
    for error in ERRORS:
        for project in projects:
            if breaks(place, call, project, error):
                return Break(call, project, error)
    return Break(call, "-", "-")


def main(calls: Sequence[str]) -> int:
    """Find and write, row by row."""
    place, known, wanted = places.toolbox(), {row.call: row for row in read()}, traced()
    for call in calls or [call for call in wanted if call not in known]:
        known[call] = find(place, call, wanted[call])
        rows = "".join("\t".join(known[name]) + "\n" for name in sorted(known) if name in wanted)
        BREAKS.write_text(HEADING + rows, encoding="utf-8")
        print(*known[call], flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
