"""The wrapper's shell script: what goes to runsc directly, what goes through the launcher, and what neither knows."""

import subprocess
import sys
from pathlib import Path

import pytest

from aibox import runtimefiles

# in front of the verb: Podman 4.3 and 5.8 through conmon, Podman itself, and containerd's shim under Docker
ENGINES = [
    [], ["--log-format=json", "--log", "/l"], ["--systemd-cgroup", "--log-format=json", "--log", "/l"],
    ["--log-format", "json", "--log", "/l"], ["--root", "/run/r x"], ["--debug"],
    ["--root", "/r", "--log", "/b/log.json", "--log-format", "json", "--systemd-cgroup"],
]  # fmt: skip
DIRECT = ["state", "kill", "delete", "ps", "features", "events", "pause", "resume", "update", "list", "wait",
          "checkpoint"]  # fmt: skip
FLAGS = ["--network=none", "--oci-seccomp=true", "--host-uds=none", "--overlay2=none", "--platform=systrap"]


@pytest.fixture(params=["", "/meetings"])
def wrapper(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The wrapper for Podman and the one for Docker, with stand-ins that print who is called with what."""
    (tmp_path / "runsc").write_text("#!/bin/sh\nprintf '%s\\n' direct \"$@\"\n")
    (tmp_path / "python").write_text("#!/bin/sh\nshift 4\nprintf '%s\\n' launcher \"$@\"\n")
    settings = runtimefiles.Settings(
        f"{tmp_path}/runsc", "systrap", False, "", f"{tmp_path}/python", "x86_64", boxes=request.param
    )
    path = tmp_path / "aibox-runsc"
    path.write_bytes(runtimefiles.contents(settings, str(tmp_path))["aibox-runsc"])
    for program in ("runsc", "python", "aibox-runsc"):
        (tmp_path / program).chmod(0o755)
    return path


def call(wrapper: Path, *words: str) -> list[str]:
    done = subprocess.run([str(wrapper), *words], capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize("head", ENGINES)
def test_what_engines_call(wrapper: Path, head: list[str]) -> None:
    docker = " | start)" not in wrapper.read_text()
    for verb in ("create", "exec", "run", "restore", *(["start"] if docker else [])):
        words = [*head, verb, "--bundle", "/b", "id"]
        assert call(wrapper, *words) == ["launcher", verb, *words]
    for verb in (*DIRECT, *([] if docker else ["start"])):
        words = [*head, verb, "id"]
        assert call(wrapper, *words) == ["direct", *FLAGS, *words]


@pytest.mark.parametrize("words", [["--version"], ["-v"], ["--help"], [], ["--root", "/r", "--version"]])
def test_no_verb(wrapper: Path, words: list[str]) -> None:
    assert call(wrapper, *words) == ["direct", *FLAGS, *words]


EVASIONS = [
    ("--debug-log /x create --bundle /b id", "--debug-log"),
    ("--debug-log state create --bundle /b id", "--debug-log"),
    ("--debug-log state --log /l create id", "--debug-log"),
    ("-debug-log state create id", "-debug-log"),
    ("-root=state create id", "-root=state"), ("--rootless state create id", "--rootless"),
    ("-- create id", "--"), ("- state", "-"), ("---root state create", "---root"),
    ("--log --tty create --bundle /b create id", "--bundle"),
    ("do sh", "do"), ("spec", "spec"), ("boot", "boot"), ("gofer", "gofer"), ("debug id", "debug"), ("STATE", "STATE"),
    ("state* id", "state*"), ("/x create", "/x"), ("help state", "help"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "verb"), EVASIONS)
def test_what_is_not_known_is_not_handed_on(wrapper: Path, words: str, verb: str) -> None:
    told = call(wrapper, *words.split())
    assert told[:2] == ["launcher", verb]


def test_an_empty_word_is_no_missing_verb(wrapper: Path) -> None:
    assert call(wrapper, "", "create", "--bundle", "/b")[:2] == ["launcher", "-"]


@pytest.mark.parametrize("verb", ["do", "spec", "--debug-log", "-", "", "state", "kill", "start", "boot", "createx"])
def test_the_launcher_refuses_what_it_does_not_know(tmp_path: Path, verb: str) -> None:
    settings = runtimefiles.Settings("/bin/echo", "systrap", False, "", sys.executable, "x86_64")
    for name, content in runtimefiles.contents(settings, str(tmp_path)).items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "config.json").write_text('{"root": {"path": "/nonexistent"}}')
    argv = [sys.executable, "-I", "-S", "-B", f"{tmp_path}/launch.py", verb, "--log", f"{tmp_path}/log", verb, "id"]
    done = subprocess.run([*argv, "--bundle", str(tmp_path)], capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"aibox-runsc {verb}: neither a command nor an option")
    assert "neither a command" in (tmp_path / "log").read_text()
