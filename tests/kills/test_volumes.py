"""kill -9 at random moments of `volume restore` and `repair cache`: the old volume or the new one, and no third."""

import json

import pytest
from kills import Loop, repair_loop, restore_loop
from machines import Machine


def report(loop: Loop, name: str) -> None:
    """What the kills met, for the log."""
    print(f"{loop.machine.name} {name}: {json.dumps(loop.seen)}, {loop.ended} ended before the kill, "
          f"{loop.leftovers} looks met leftovers, seed {loop.seed}")  # fmt: skip


def test_restore_survives_kills(machine: Machine, kills: int, capsys: pytest.CaptureFixture[str]) -> None:
    loop = restore_loop(machine, kills)
    with capsys.disabled():
        report(loop, "restore")
    assert sum(loop.seen.values()) == kills
    assert set(loop.seen) == {"one", "two"} or kills < 20
    assert loop.leftovers, "no kill came while there was anything beside the volume: they come at the wrong moments"


def test_repair_survives_kills(machine: Machine, kills: int, capsys: pytest.CaptureFixture[str]) -> None:
    loop = repair_loop(machine, kills)
    with capsys.disabled():
        report(loop, "repair")
    assert sum(loop.seen.values()) == kills
    assert set(loop.seen) == {"full", "empty"} or kills < 20
