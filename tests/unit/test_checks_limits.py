"""Limits that the engine holds (R6): what real engines wrote passes, and every other value is refused."""

import json
from pathlib import Path

import pytest
from samples import changed, host_view, plan_of, recorded
from test_execute import FakeEngine

from aibox import checks_limits, execute, hostview, scope
from aibox.commands.verify import report
from aibox.engines.podman import parse_inspect
from aibox.errors import AiboxError
from aibox.jsonview import Json, dump
from aibox.model import Finding

ROOTFUL = ["podman-4.3.1-rootful", "podman-5.8.6-rootful"]
LIMITS = plan_of(ROOTFUL[0]).limits
RESOURCES = ("linux", "resources")
# what containerd hands to runc for a box of Docker 20.10
DOCKERS: Json = {
    "linux": {
        "cgroupsPath": "/docker/0123",
        "resources": {
            "devices": [{"allow": False, "access": "rwm"}],
            "memory": {"limit": 8 << 30, "swap": 8 << 30, "disableOOMKiller": False},
            "cpu": {"shares": 0, "quota": 400000, "period": 100000},
            "pids": {"limit": 4096},
            "blockIO": {"weight": 0},
        },
    }
}


def wrong(oci: Json, *, swap: bool = True) -> list[str]:
    return [one.observed for one in checks_limits.findings(LIMITS, oci, swap=swap) if not one.ok]


@pytest.mark.parametrize("name", ROOTFUL)
def test_what_engines_wrote_passes(name: str) -> None:
    found = checks_limits.findings(plan_of(name).limits, recorded(name, "config"), swap=True)
    assert [one.ok for one in found] == [True] * 5
    assert {(one.control, one.how) for one in found} == {("R6", "OCI config.json")}
    assert wrong(DOCKERS) == []


MUTANTS: list[tuple[tuple[str, ...], Json]] = [
    (("memory", "limit"), (8 << 30) + 1), (("memory", "limit"), -1), (("memory", "limit"), 0),
    (("memory", "limit"), str(8 << 30)), (("memory", "swap"), -1), (("memory", "swap"), 16 << 30),
    (("cpu", "quota"), -1), (("cpu", "quota"), 0), (("cpu", "quota"), 800000), (("cpu", "quota"), None),
    (("cpu", "period"), 50000), (("cpu", "period"), None), (("cpu", "period"), 0),
    (("pids", "limit"), 0), (("pids", "limit"), -1), (("pids", "limit"), 4097), (("pids", "limit"), None),
    (("memory",), {}), (("memory",), None), (("cpu",), {}), (("pids",), []), (("pids",), None),
]  # fmt: skip


@pytest.mark.parametrize("name", ROOTFUL)
@pytest.mark.parametrize(("way", "value"), MUTANTS)
def test_any_other_value_is_wrong(name: str, way: tuple[str, ...], value: Json) -> None:
    assert wrong(changed(recorded(name, "config"), *RESOURCES, *way, to=value))


@pytest.mark.parametrize("name", ROOTFUL)
def test_what_is_missing_is_wrong(name: str) -> None:
    good = recorded(name, "config")
    assert len(wrong(changed(good, *RESOURCES, remove=True))) == 4
    assert len(wrong({})) == len(wrong(None)) == 5
    assert wrong(changed(good, "linux", "cgroupsPath", remove=True)) == ["no cgroup"]
    assert wrong(changed(good, "linux", "cgroupsPath", to="/")) == ["/"], "everybody's"
    without_swap = changed(good, *RESOURCES, "memory", "swap", remove=True)
    assert wrong(without_swap) == ["memory and swap none"]
    assert wrong(without_swap, swap=False) == [], "the kernel cannot limit it"
    assert wrong(changed(good, *RESOURCES, "memory", "swap", to=-1), swap=False)


def test_no_limit_is_none_to_check() -> None:
    none = LIMITS._replace(memory=0, cpus=0.0, pids=0)
    assert checks_limits.judge(none, {}, swap=True) == []


@pytest.mark.parametrize("cpus", [0.01, 0.29, 0.57, 1.005, 1.1, 2.3456789, 12.3456789, 64.0])
def test_what_engines_make_of_fractions(cpus: float) -> None:
    for quota in (int(float(f"{cpus:g}") * 100000), round(cpus * 100000)):
        oci = changed(DOCKERS, *RESOURCES, "cpu", "quota", to=quota)
        found = checks_limits.judge(LIMITS._replace(cpus=cpus), oci, swap=True)
        assert all(one.ok for one in found), (cpus, quota)


def engine_with(oci: Json, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What is checked before the first process of a rootful box with this configuration."""
    name = ROOTFUL[0]
    monkeypatch.setattr(hostview, "look", lambda _pid, _container: host_view(name))
    monkeypatch.setattr(scope, "counts_swap", lambda: True)
    (folder / "config.json").write_text(json.dumps(oci))
    record = changed(recorded(name, "inspect"), 0, "OCIConfigPath", to=str(folder / "config.json"))
    box = parse_inspect(dump(record))
    return execute.before_start(FakeEngine(folder), plan_of(name), None, box)


def test_a_start_and_verify_look_at_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = recorded(ROOTFUL[0], "config")
    assert [one.ok for one in engine_with(good, tmp_path, monkeypatch) if one.control == "R6"] == [True] * 5
    found = engine_with(changed(good, *RESOURCES, "pids", remove=True), tmp_path, monkeypatch)
    wrong = [one for one in found if one.control == "R6" and not one.ok]
    assert [(one.expected, one.observed) for one in wrong] == [("pids 4096", "pids none")]
    with pytest.raises(AiboxError, match="1 security check failed"):
        execute.require(wrong, "box")
    lines = report(found)
    assert "FAIL R6   resource limits: 4 of 5" in lines
    assert lines[-3:] == [
        "          seen in OCI config.json",
        "          expected pids 4096",
        "          observed pids none (OCI config.json)",
    ]


def test_every_finding_has_its_place_in_the_table() -> None:
    """What is counted as failed is printed, whatever control it belongs to."""
    lines = report([Finding("X1", "something new", "a", "b", "somewhere", ok=False)])
    assert lines[-4] == "FAIL X1   something new: 0 of 1"


def test_whether_the_kernel_counts_swap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scope, "CGROUPS", str(tmp_path))
    assert not scope.counts_swap()
    for place in ("memory/memory.memsw.limit_in_bytes", "system.slice/memory.swap.max"):
        file = tmp_path / place
        file.parent.mkdir()
        file.touch()
        assert scope.counts_swap()
        file.unlink()
