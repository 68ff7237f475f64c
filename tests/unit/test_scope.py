"""Limits that the user's systemd holds: what it is asked for, what the kernel's values are compared with."""

from pathlib import Path

import pytest
from samples import host_view

from aibox import runner, scope
from aibox.errors import AiboxError
from aibox.model import Limits
from aibox.runner import Result

LIMITS = Limits(300 << 20, 1.5, 400, 64 << 20, 1024, holder="systemd")
NONE = LIMITS._replace(memory=0, cpus=0.0, pids=0)
RIGHT = {"memory.max": str(300 << 20), "pids.max": "400", "cpu.max": "150000 100000"}
IDENTIFIER = "ab" * 32


def test_what_systemd_is_asked_for() -> None:
    words = scope.command(IDENTIFIER, LIMITS)
    assert words[1:5] == ["--user", "set-property", "--runtime", f"libpod-conmon-{IDENTIFIER}.scope"]
    assert words[5:] == ["MemoryMax=314572800", "MemorySwapMax=0", "TasksMax=400", "CPUQuota=150%"]
    assert scope.command(IDENTIFIER, NONE) == []


def test_the_kernels_values_are_compared() -> None:
    assert [one.ok for one in scope.judge(LIMITS, "x", RIGHT)] == [True, True, True]
    assert scope.judge(NONE, "x", RIGHT) == []
    assert all(one.ok for one in scope.judge(LIMITS._replace(memory=(300 << 20) + 5), "x", RIGHT)), "whole pages"


@pytest.mark.parametrize(
    ("name", "value"),
    [("memory.max", "max"), ("memory.max", ""), ("memory.max", "314572801"), ("pids.max", "max"), ("pids.max", "401"),
     ("cpu.max", "max 100000"), ("cpu.max", "200000 100000"), ("cpu.max", ""), ("cpu.max", "1 0")],
)  # fmt: skip
def test_any_other_value_is_wrong(name: str, value: str) -> None:
    assert [one.ok for one in scope.judge(LIMITS, "x", {**RIGHT, name: value})].count(False) == 1


@pytest.mark.parametrize(
    ("own", "level"), [(f"/a/libpod-conmon-{IDENTIFIER}.scope", True), ("/a/other.scope", False), (None, False)]
)
def test_a_process_elsewhere_is_found(monkeypatch: pytest.MonkeyPatch, own: str | None, *, level: bool) -> None:
    """The values of some other group say nothing about the box."""
    files = {f"{scope.CGROUPS}{own}/{name}": value.encode() for name, value in RIGHT.items()}

    def read(path: str) -> bytes | None:
        if path.startswith("/proc/"):
            return f"1:name=systemd:/x\n0::{own}\n".encode() if own else None
        return files.get(path)

    monkeypatch.setattr(scope, "read_bytes", read)
    found = scope.findings(IDENTIFIER, LIMITS, host_view("podman-4.3.1-rootless"))
    assert {one.control for one in found} == {"R6"}
    assert len(found) == 8, "Sentry and Gofer, four each"
    assert all(one.ok for one in found) is level


def test_a_refusal_of_systemd_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def run(argv: list[str], **_more: object) -> Result:
        asked.append(argv)
        return Result(tuple(argv), 1, b"", b"Failed to set unit properties: Unit x.scope not found.\n")

    monkeypatch.setattr(runner, "run", run)
    scope.hold(IDENTIFIER, NONE, {})
    assert asked == []
    with pytest.raises(AiboxError) as caught:
        scope.hold(IDENTIFIER, LIMITS, {"XDG_RUNTIME_DIR": "/run/user/1000"})
    assert (caught.value.code, caught.value.exit_code) == ("limits-failed", 4)
    assert "not found" in caught.value.why


@pytest.mark.parametrize(
    ("controllers", "bus", "level"),
    [("cpuset cpu io memory pids", True, True), ("memory pids", True, False), ("", True, False),
     ("cpu memory pids", False, False)],
)  # fmt: skip
def test_where_systemd_can_hold_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, controllers: str, *, bus: bool, level: bool
) -> None:
    own = tmp_path / "user.slice/user-1000.slice/user@1000.service"
    own.mkdir(parents=True)
    (own / "cgroup.controllers").write_text(controllers + "\n")
    monkeypatch.setattr(scope, "CGROUPS", str(tmp_path))
    monkeypatch.setattr(runner, "find_program", lambda _name: "/usr/bin/systemctl")
    if bus:
        (tmp_path / "bus").touch()
    assert scope.available(1000, str(tmp_path)) is level
    assert not scope.available(1000, "")
    assert not scope.available(1001, str(tmp_path))
