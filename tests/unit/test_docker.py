"""Docker's command lines and records, its daemon.json, and which Docker aibox drives at all."""

import json
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import DOCKERS, changed, plan_of, recorded

from aibox import checks_engine, daemonjson, facts, runner, state
from aibox.controls import CONTROLS, JsonCheck, docker_flags
from aibox.engines import docker
from aibox.engines.adapter import SessionOptions
from aibox.engines.dialect import DIALECTS, RUNTIME_KEY
from aibox.engines.images import parse_image
from aibox.errors import AiboxError
from aibox.jsonview import Json, dump, items, text
from aibox.model import LABEL_PLAN, LABEL_WORKSPACE, Engine, LaunchPlan

BASE = ["/usr/bin/docker", "--config", "/c", "--host", "unix:///var/run/docker.sock"]
ENGINE = Engine("docker", "/usr/bin/docker", (20, 10, 24), False, docker.options("/c"))
IDENTIFIER = "0123456789abcdef" * 4
RECORD: dict[str, Json] = {
    "Id": IDENTIFIER, "Name": "/aibox-x", "Created": "2026-11-28T02:54:10Z", "Image": f"sha256:{'a' * 64}",
    "State": {"Status": "running", "Pid": 42}, "Config": {"Labels": {LABEL_PLAN: "p", LABEL_WORKSPACE: "/w, x"}},
    "HostConfig": {"CapDrop": ["ALL"], "CapAdd": None, "Privileged": False, "Runtime": RUNTIME_KEY},
}  # fmt: skip


def plan() -> LaunchPlan:
    return plan_of("podman-4.3.1-rootful")._replace(engine="docker")


def test_create() -> None:
    argv = docker.create(ENGINE, plan())
    words = " ".join(argv)
    assert argv[:6] == [*BASE, "create"]
    for flags in (
        "--runtime aibox", "--cap-drop ALL", "--security-opt no-new-privileges", "--read-only", "--network none",
        "--user 1000:1000 --userns host", "--security-opt label=disable --security-opt apparmor=unconfined",
        "--ipc private --cgroupns private", "--tmpfs /tmp:nodev,noexec,nosuid,rw,size=2147483648",
        "--cpu-period 100000 --cpu-quota 400000", "--memory 8589934592 --memory-swap 8589934592",
        "--pids-limit 4096", "--pull never --restart no --no-healthcheck", "--entrypoint /usr/bin/perl",
        "--mount type=volume,source=aibox-root-home,destination=/home/dev",
    ):  # fmt: skip
        assert f" {flags} " in words, flags
    assert words.count(",bind-propagation=rprivate") == 1
    for podmans in (
        "--userns keep-id",
        "--read-only-tmpfs",
        "--passwd-entry",
        "--umask",
        "--http-proxy",
        "--privileged",
    ):
        assert podmans not in words


@pytest.mark.parametrize("name", DOCKERS)
def test_the_words_that_a_real_box_was_made_with(name: str) -> None:
    """The plan made here from recorded facts gives the very words that the recorded box was created with."""
    line = shlex.split(text(recorded(name, "dry-run"), "commands", 0))
    # the folder of the client's configuration is new with each command
    assert docker.create(ENGINE, plan_of(name))[5:] == line[5:]
    assert list(docker.options(line[2])) == line[1:5]


def test_every_control_asks_docker_for_something() -> None:
    for control in CONTROLS:
        assert docker_flags(control, plan()), control.id


def test_sessions_and_ends() -> None:
    how = SessionOptions(True, True, "/workspace", (("A", "b c"),))
    words = ["exec", "--interactive", "--tty", "--workdir", "/workspace", "--env", "A=b c", "box", "id"]
    assert docker.session(ENGINE, "box", ["id"], how) == [*BASE, *words]
    assert docker.stop(ENGINE, "box", 3) == [*BASE, "stop", "--time", "3", "box"]
    assert docker.remove(ENGINE, "box") == [*BASE, "rm", "--force", "box"]


def test_records() -> None:
    box = docker.parse_inspect(dump([RECORD]))
    assert (box.name, box.status, box.pid, box.workspace, box.image) == ("aibox-x", "running", 42, "/w, x", "a" * 64)
    assert [one.name for one in docker.parse_boxes(dump([RECORD, RECORD]))] == ["aibox-x", "aibox-x"]
    assert docker.parse_boxes("[]") == []


@pytest.mark.parametrize("name", DOCKERS)
def test_the_record_of_a_real_box(name: str) -> None:
    wanted = plan_of(name)
    box = docker.parse_inspect(dump(recorded(name, "inspect")))
    assert (box.name, box.workspace, box.owner) == (wanted.name, "/home/dev1/project", wanted.owner.name)
    assert (box.running, box.plan) == (True, dict(wanted.labels)[LABEL_PLAN])
    assert (box.pid > 0, len(box.identifier), box.image) == (True, 64, wanted.image_id)
    volumes = sorted(one.source for one in wanted.mounts if one.kind == "volume")
    mounted = [text(one, "Name") for one in items(box.inspect, "Mounts") if text(one, "Type") == "volume"]
    assert sorted(mounted) == volumes
    stopped = changed(recorded(name, "inspect"), 0, "State", "Status", to="exited")
    assert not docker.parse_inspect(dump(stopped)).running
    image = parse_image(dump(recorded(name, "image")), "localhost/aibox/base:24.04", "docker")
    assert (image.identifier, image.environment) == (wanted.image_id, (("LANG", "C.UTF-8"),))


@pytest.mark.parametrize("text", ["", "[]", "[{}]", "{", '[{"Name": "/x"}]', "null", "42"])
def test_garbage_is_named(text: str) -> None:
    with pytest.raises(AiboxError) as caught:
        docker.parse_inspect(text)
    assert caught.value.code == "engine-garbage"


@given(st.text(max_size=60))
def test_no_record_is_a_traceback(text: str) -> None:
    for parse in (docker.parse_inspect, docker.parse_boxes, docker.parse_version):
        try:
            parse(text)
        except AiboxError as error:
            assert error.code == "engine-garbage"


def test_versions() -> None:
    assert docker.parse_version("Docker version 20.10.24+dfsg1, build 297e128\n") == (20, 10, 24)
    assert docker.parse_version("Docker version 28.2.2, build e6534b4") == (28, 2, 2)


def test_podman_under_dockers_name_is_recognised() -> None:
    with pytest.raises(AiboxError) as caught:
        facts.version_of("docker", "/usr/bin/docker", "podman version 4.3.1\n")
    assert caught.value.what == "/usr/bin/docker is Podman under Docker's name (podman-docker)"
    assert caught.value.fix == "aibox start --engine podman"


def test_only_root_drives_docker() -> None:
    facts.require_root(0)
    with pytest.raises(AiboxError) as caught:
        facts.require_root(1000)
    assert (caught.value.code, caught.value.what) == ("engine-unsupported", "with Docker aibox has to be root")
    assert "rootless Podman" in caught.value.fix


def test_dockers_state_lies_apart() -> None:
    podmans, dockers = state.paths({}, 0), state.paths({}, 0, "docker")
    assert dockers.setup_record == "/var/lib/aibox/docker/setup.json" != podmans.setup_record
    assert dockers.seccomp == podmans.seccomp
    assert state.paths({"HOME": "/home/x"}, 1000, "docker") == state.paths({"HOME": "/home/x"}, 1000)


def test_images_that_ask_for_volumes_are_refused() -> None:
    image = [{"Id": f"sha256:{'a' * 64}", "Config": {"Env": ["A=b"], "Volumes": {"/data": {}}}}]
    assert parse_image(json.dumps(image), "x:1").environment == (("A", "b"),)
    with pytest.raises(AiboxError) as caught:
        parse_image(json.dumps(image), "x:1", "docker")
    assert caught.value.what == "the image x:1 asks for volumes at /data"


@pytest.mark.parametrize(
    ("where", "value", "check"),
    [
        (("HostConfig", "CapDrop"), [], checks_engine.capabilities_inspect),
        (("HostConfig", "CapAdd"), ["SYS_ADMIN"], checks_engine.capabilities_inspect),
        (("HostConfig", "Privileged"), True, checks_engine.capabilities_inspect),
        (("HostConfig", "Runtime"), "runc", checks_engine.runtime_inspect),
    ],
)
def test_the_record_is_judged(where: tuple[str, str], value: Json, check: JsonCheck) -> None:
    assert all(one.ok for one in check(plan(), RECORD))
    assert not all(one.ok for one in check(plan(), changed(RECORD, *where, to=value)))


@pytest.mark.parametrize("name", ["hostname", "hosts", "resolv.conf"])
def test_dockers_own_files_are_read_only_and_its_own(name: str) -> None:
    own = f"/var/lib/docker/containers/{IDENTIFIER}/{name}"

    def strange(source: str, options: list[str]) -> list[str]:
        return checks_engine.strange_mount(DIALECTS["docker"], f"/etc/{name}", "bind", source, options)

    assert strange(own, ["rbind", "ro"]) == []
    assert strange(own, ["rbind"]) == [f"/etc/{name} (writable)"]
    assert strange(f"/etc/{name}", ["ro"]) == [f"/etc/{name} from /etc/{name}"]
    assert strange(f"/etc/containers/x/{name}", ["ro"]) != []
    assert checks_engine.strange_mount(DIALECTS["docker"], "/etc/passwd", "bind", own, ["ro"]) != []


# which engine is meant by "auto"


@pytest.mark.parametrize(
    ("programs", "socket", "kind"),
    [
        ("", False, "podman"),
        ("podman", False, "podman"),
        ("podman docker dockerd", True, "podman"),
        ("docker", False, "podman"),  # the client alone, as in images for continuous integration
        ("docker", True, "docker"),
        ("docker dockerd", False, "docker"),
        ("dockerd", True, "podman"),
    ],
)
def test_dockers_client_alone_is_no_engine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, programs: str, *, socket: bool, kind: str
) -> None:
    def find(name: str) -> str | None:
        return f"/usr/bin/{name}" if name in programs.split() else None

    (tmp_path / "docker.sock").touch()
    monkeypatch.setattr(runner, "find_program", find)
    monkeypatch.setattr(docker, "SOCKET", f"{tmp_path}/{'docker.sock' if socket else 'none'}")
    assert facts.engine_kind("auto") == kind
    assert facts.engine_kind("docker") == "docker"


# daemon.json

BEFORE = b'{\n\t"log-level": "warn",\n\t"unheard-of": [1, {"a": null}],\n\t"runtimes": {"mine": {"path": "/m"}}\n}\n'


def test_daemon_json_keeps_what_it_had() -> None:
    after = daemonjson.merged(BEFORE, "/var/lib/aibox/docker/aibox-docker")
    had, has = json.loads(BEFORE), json.loads(after)
    assert has.pop("runtimes") == {**had.pop("runtimes"), "aibox": {"path": "/var/lib/aibox/docker/aibox-docker"}}
    assert list(has.items()) == list(had.items())
    assert after.startswith(b'{\n\t"log-level": "warn"')
    assert daemonjson.path_of(after) == "/var/lib/aibox/docker/aibox-docker"
    assert daemonjson.merged(after, "/var/lib/aibox/docker/aibox-docker") == after


def test_daemon_json_is_made() -> None:
    made = b'{\n  "runtimes": {\n    "aibox": {\n      "path": "/p"\n    }\n  }\n}\n'
    assert daemonjson.merged(None, "/p") == made
    assert daemonjson.path_of(None) == ""


def test_arguments_beside_the_path_do_not_count() -> None:
    assert daemonjson.path_of(b'{"runtimes": {"aibox": {"path": "/p", "runtimeArgs": ["--network=host"]}}}') == ""


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b"// x\n{}", b'{"a": 1, "a": 2}', b'{"runtimes": []}', b"\xff", b"[" * 100_000]
)
def test_a_daemon_json_that_is_none_is_left_alone(content: bytes) -> None:
    with pytest.raises(AiboxError) as caught:
        daemonjson.merged(content, "/p")
    assert caught.value.code == "setup-failed"


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=5)


@given(st.dictionaries(st.text(max_size=5), VALUES))
def test_any_object_survives(before: dict[str, Json]) -> None:
    before.pop("runtimes", None)
    after = json.loads(daemonjson.merged(json.dumps(before).encode(), "/p"))
    assert after.pop("runtimes") == {"aibox": {"path": "/p"}}
    assert after == before


def test_the_shipped_dispatcher_finds_the_box(tmp_path: Path) -> None:
    import subprocess

    root = Path(__file__).resolve().parents[2]
    script = tmp_path / "aibox-docker"
    script.write_text((root / "data/docker-runtime.sh").read_text().replace("@BOXES@", str(tmp_path)))
    (tmp_path / IDENTIFIER).mkdir()
    wrapper = tmp_path / IDENTIFIER / "wrapper"
    wrapper.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    wrapper.chmod(0o755)
    for words in (["--root", "/r", "kill", IDENTIFIER, "9"], ["create", "--bundle", "/b", IDENTIFIER]):
        done = subprocess.run(["sh", str(script), *words], capture_output=True, text=True, check=True, timeout=20)
        assert done.stdout.splitlines() == words
    for other in ("f" * 64, "..", "features"):
        done = subprocess.run(
            ["sh", str(script), "start", other], capture_output=True, text=True, check=False, timeout=20
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert "not a box that aibox made" in done.stderr
