"""Some boxes at once and some cycles on each kind of machine; the whole is tests/reliability/load.py, by hand."""

from collections import Counter
from pathlib import Path

import pytest
from census import Census, take
from hosts import build, make, require_host
from load import MOST_MEMORY, load

KINDS = ("rootful-2024", "rootless-2026", "docker-2026")
CYCLES, BOXES = 30, 5
NOTHING = Census(Counter(), Counter(), Counter(), Counter(), Counter(), Counter(), 0)


def test_a_leak_of_any_kind_is_noticed() -> None:
    one = Counter(["x"])
    grown = {
        "processes": NOTHING._replace(processes=one), "mounts": NOTHING._replace(mounts=one),
        "cgroups": NOTHING._replace(cgroups=one), "containers": NOTHING._replace(containers=one),
        "volumes": NOTHING._replace(volumes=one), "files": NOTHING._replace(files=one),
    }  # fmt: skip
    assert {*grown, "descriptors"} == set(Census._fields)
    for name, more in grown.items():
        assert NOTHING.grown(more) == {name: ["x"]}
        assert more.grown(NOTHING) == {}
    assert NOTHING.grown(NOTHING._replace(descriptors=6))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_grows_and_memory_is_bounded(kind: str) -> None:
    require_host()
    for zipapp in build():
        for machine in make(kind, zipapp):
            found = load(machine, CYCLES, BOXES)
            assert found.grown == {}
            assert max(found.memory.values()) < MOST_MEMORY, found.memory
            # the census itself sees what is left: a process, a file, a mount
            before = take(machine)
            stray = Path(machine.home) / "stray"
            machine.run(
                ["sh", "-c", f"mkdir {stray}; sleep 300 >/dev/null 2>&1 & mount --bind {stray} {stray}"], root=True
            )
            assert set(before.grown(take(machine))) == {"processes", "mounts", "files"}
