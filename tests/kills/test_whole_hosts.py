"""kill -9 at random moments of `setup --bundle` and `update`: no byte of a volume is lost, the next run converges."""

import json

import pytest
from machines import CACHE, Machine
from setupkills import Host, bundle_loop, update_loop


def report(host: Host, name: str) -> None:
    """What the kills met, for the log."""
    print(f"{host.machine.name} {name}: {json.dumps(host.seen)}, seed {host.seed}")


def test_setup_from_a_bundle_survives_kills(machine: Machine, kills: int, capsys: pytest.CaptureFixture[str]) -> None:
    host = bundle_loop(machine, kills, (CACHE / "runsc-2024", CACHE / "runsc-2026"))
    with capsys.disabled():
        report(host, "setup --bundle")
    assert host.seen["kills"] == kills
    assert host.seen["with leftovers"], "no kill left anything: they come at the wrong moments"


def test_update_survives_kills(machine: Machine, kills: int, capsys: pytest.CaptureFixture[str]) -> None:
    host = update_loop(machine, kills)
    with capsys.disabled():
        report(host, "update")
    assert host.seen["kills"] == kills
