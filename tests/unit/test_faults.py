"""Every engine command made to fail, hang, print garbage, be killed, find no space and lose its daemon."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from samples import plan_of

from aibox import enginecalls
from aibox.dockercalls import DockerCalls
from aibox.enginecalls import EngineCalls
from aibox.errors import AiboxError
from aibox.jsonview import Json, dump
from aibox.model import LABEL_PLAN, Engine

PROGRAM = """#!/bin/sh
here={here}
verb=
for word do
    case $word in
        container | image) [ -n "$verb" ] || verb=$word ;;
        create | init | start | inspect | stop | rm | ps) verb=$word; break ;;
    esac
done
read -r wanted fault < "$here/fault"
if [ "$verb" = "$wanted" ] || [ "$wanted" = any ]; then
    case $fault in
        fails) echo 'Error: it is broken' >&2; exit 125 ;;
        hangs) exec sleep 60 ;;
        garbage) printf '\\377{{"'; exit 0 ;;
        killed) kill -9 $$ ;;
        no-space) echo 'Error: write /x: no space left on device' >&2; exit 125 ;;
        lost) echo 'Cannot connect to the Docker daemon at unix:///s. Is the docker daemon running?' >&2; exit 1 ;;
    esac
fi
case $verb in
    inspect) cat "$here/record" ;;
    ps) cat "$here/list" ;;
esac
"""
RECORD: dict[str, Json] = {
    "Id": "a" * 64, "Name": "box", "Image": "b" * 64, "State": {"Status": "created", "Pid": 0},
    "Config": {"Labels": {LABEL_PLAN: "p"}, "Env": []}, "Mounts": [],
}  # fmt: skip
PLAN = plan_of("podman-4.3.1-rootful")
CALLS: dict[str, tuple[str, Callable[[EngineCalls], object]]] = {
    "inspect": ("inspect", lambda calls: calls.inspect("box")),
    "image": ("inspect", lambda calls: calls.image("x")),
    "image record": ("inspect", lambda calls: calls.image_record("x")),
    "list": ("ps", lambda calls: calls.boxes()),
    "create": ("create", lambda calls: calls.create(PLAN._replace(engine=calls.engine.kind))),
    "stop": ("stop", lambda calls: calls.stop("box", 1)),
    "remove": ("rm", lambda calls: calls.remove("box")),
}
FAULTS = ("fails", "hangs", "killed", "no-space", "garbage", "lost")
# what says nothing on success has nothing to garble
SILENT = ("create", "stop", "remove")


@pytest.fixture(params=["podman", "docker"])
def calls(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineCalls]:
    """An engine that does nothing, and that fails as the file `fault` says."""
    monkeypatch.setattr(enginecalls, "SHORTEST_SECONDS", 0.5)
    program = tmp_path / "engine"
    program.write_text(PROGRAM.format(here=tmp_path))
    program.chmod(0o755)
    (tmp_path / "record").write_text(dump([RECORD]))
    (tmp_path / "list").write_text("[]" if request.param == "podman" else "")
    (tmp_path / "fault").write_text("none none\n")
    engine = Engine(request.param, str(program), (20, 10), rootless=False)
    env = {"PATH": "/usr/bin:/bin"}
    if request.param == "docker":
        yield DockerCalls(engine, env, time.monotonic(), str(tmp_path / "gates"))
    else:
        yield EngineCalls(engine, env, time.monotonic())


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", CALLS)
def test_each_fault_of_each_command_is_named(calls: EngineCalls, tmp_path: Path, name: str, fault: str) -> None:
    verb, act = CALLS[name]
    (tmp_path / "fault").write_text(f"{verb} {fault}\n")
    if (fault == "garbage" and name in SILENT) or (
        fault == "garbage" and name == "list" and "docker" in calls.engine.kind
    ):
        return
    began = time.monotonic()
    with pytest.raises(AiboxError) as caught:
        act(calls)
    wanted = {"hangs": "command-timeout", "garbage": "engine-garbage"}.get(fault, "engine-failed")
    assert caught.value.code == wanted
    assert caught.value.what
    assert time.monotonic() - began < 20
    if fault == "no-space":
        assert "no space left on device" in caught.value.what


@pytest.mark.parametrize("name", CALLS)
def test_without_a_fault_each_command_works(calls: EngineCalls, name: str) -> None:
    CALLS[name][1](calls)


def test_docker_that_starts_without_asking_is_named(calls: EngineCalls) -> None:
    if calls.engine.kind == "podman":
        return
    with pytest.raises(AiboxError) as caught:
        calls.set_up(PLAN._replace(engine="docker"))
    assert caught.value.code == "engine-remote"
    calls.remove("box")


@pytest.mark.parametrize("fault", ["fails", "killed", "no-space", "lost", "hangs"])
def test_a_box_that_does_not_set_up_is_named(calls: EngineCalls, tmp_path: Path, fault: str) -> None:
    (tmp_path / "fault").write_text(f"{'start' if calls.engine.kind == 'docker' else 'init'} {fault}\n")
    with pytest.raises(AiboxError) as caught:
        calls.set_up(PLAN._replace(engine=calls.engine.kind))
    assert caught.value.code == ("command-timeout" if fault == "hangs" else "engine-failed")
    calls.remove("box")
