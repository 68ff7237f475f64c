"""Reading what Podman prints, from recordings and from garbage; facts about the host; image references."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_subprocess import FakeProcess
from samples import RECORDINGS, changed, plan_of, recorded

from aibox import facts
from aibox.engines import podman
from aibox.engines.images import parse_image
from aibox.engines.podman import mounted_volumes, parse_inspect, parse_list, parse_version
from aibox.errors import AiboxError
from aibox.imageref import ImageRef, matches
from aibox.imageref import parse_image as parse_reference
from aibox.jsonview import Json, dump
from aibox.state import Paths

# Versions


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("podman version 4.3.1\n", (4, 3, 1)), ("podman version 5.0.0-rc1", (5, 0, 0)),
     ("podman version 4.9.4-rhel", (4, 9, 4)),     ("podman version 6.1.0+ds1", (6, 1, 0)), ("4.3", (4, 3))],
)  # fmt: skip
def test_versions(text: str, wanted: tuple[int, ...]) -> None:
    assert parse_version(text) == wanted


@pytest.mark.parametrize("text", ["", "podman", "podman version four", "podman version 4", "4.x.1", "4.٣", "4.²"])
def test_other_texts_are_no_version(text: str) -> None:
    with pytest.raises(AiboxError) as caught:
        parse_version(text)
    assert caught.value.code == "engine-garbage"


# Records


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_record_of_a_box(name: str) -> None:
    plan = plan_of(name)
    box = parse_inspect(dump(recorded(name, "inspect")))
    assert (box.name, box.workspace, box.owner) == (plan.name, "/home/dev1/project", plan.owner.name)
    assert (box.running, box.plan) == (True, dict(plan.labels)["io.aibox.plan"])
    assert (box.pid > 0, len(box.identifier)) == (True, 64)
    assert box.image == plan.image_id
    assert box.oci_config.endswith("/config.json")
    assert sorted(mounted_volumes(box.inspect)) == sorted(one.source for one in plan.mounts if one.kind == "volume")
    stopped = changed(recorded(name, "inspect"), 0, "State", "Status", to="exited")
    assert not parse_inspect(dump(stopped)).running


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_list_of_boxes(name: str) -> None:
    (box,) = parse_list(dump(recorded(name, "ps")))
    inspected = parse_inspect(dump(recorded(name, "inspect")))
    for field in ("name", "identifier", "status", "workspace", "owner", "plan", "image", "pid"):
        assert getattr(box, field) == getattr(inspected, field), field


def test_other_containers_are_not_boxes() -> None:
    assert parse_list("") == parse_list("[]") == parse_list("null") == []
    rows: Json = [{"Names": ["x"], "Labels": {"io.aiboxy": "1"}}, {"Names": None, "Labels": None}, 3, None]
    assert parse_list(dump(rows)) == []


@pytest.mark.parametrize("text", ["{", "3", '{"a": 1}', "\x00"])
def test_a_list_that_is_none(text: str) -> None:
    with pytest.raises(AiboxError) as caught:
        parse_list(text)
    assert caught.value.code == "engine-garbage"


# Images


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_image(name: str) -> None:
    image = parse_image(dump(recorded(name, "image")), "localhost/aibox/base:24.04")
    assert (image.reference, image.identifier) == ("localhost/aibox/base:24.04", plan_of(name).image_id)
    assert image.environment == (("LANG", "C.UTF-8"),)
    prefixed = changed(recorded(name, "image"), 0, "Id", to="sha256:" + image.identifier)
    assert parse_image(dump(prefixed), "x").identifier == image.identifier


STEERING = [
    (("Annotations",), {"dev.gvisor.flag.debug": "true"}, "carries dev.gvisor.flag.debug"),
    (("Labels",), {"dev.gvisor.internal.x": ""}, "carries dev.gvisor.internal.x"),
    (("Annotations",), {"io.kubernetes.cri.container-type": "container"}, "carries io.kubernetes.cri.container-type"),
    (("Labels",), {"run.oci.handler": "wasm"}, "carries run.oci.handler"),
    (("Config", "Env"), ["LD_PRELOAD=/x.so"], "sets LD_PRELOAD"),
    (("Config", "Env"), ["PERL5OPT=-Mx", "PERLLIB", "A=b"], "sets PERL5OPT, PERLLIB"),
    (("Config", "Env"), ["AIBOX_SESSION=1"], "sets AIBOX_SESSION"),
]


@pytest.mark.parametrize(("way", "value", "told"), STEERING)
def test_images_that_steer_aibox_are_refused(way: tuple[str, ...], value: Json, told: str) -> None:
    document = changed(recorded(RECORDINGS[0], "image"), 0, *way, to=value)
    with pytest.raises(AiboxError) as caught:
        parse_image(dump(document), "x:1")
    assert (caught.value.code, caught.value.exit_code) == ("image-unsuitable", 3)
    assert caught.value.what == f"the image x:1 {told}"


@pytest.mark.parametrize("text", ["", "[", "[]", "{}", "[{}]", "3"])
def test_garbage_instead_of_an_image(text: str) -> None:
    with pytest.raises(AiboxError) as caught:
        parse_image(text, "x")
    assert caught.value.code == "engine-garbage"


# References

SUM = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("ubuntu", ("", "ubuntu", "", "")),
        ("library/ubuntu:24.04", ("", "library/ubuntu", "24.04", "")),
        ("harbor.internal/aibox/base:24.04", ("harbor.internal", "aibox/base", "24.04", "")),
        ("localhost/x", ("localhost", "x", "", "")),
        ("localhost:5000/x:y", ("localhost:5000", "x", "y", "")),
        (f"a.b/c@{SUM}", ("a.b", "c", "", SUM)),
        (f"a.b/c:d@{SUM}", ("a.b", "c", "d", SUM)),
    ],
)
def test_references(text: str, wanted: tuple[str, str, str, str]) -> None:
    assert parse_reference(text) == ImageRef(*wanted)


@pytest.mark.parametrize(
    "text",
    ["", " ", "A/b", "a.b/", "/a", "a//b", "a.b/c:", "a.b/c:-x", "a.b/c@sha256:abc", "a.b/c@md5:" + "a" * 32, "a b",
     "a.b/c\n", "docker://a/b", "dir:/etc", "oci:x", "http://a/b", "-a", "a.b/-c", "a.b/c:" + "x" * 129, "x" * 600,
     "a.b:99999999/c", "ünï/x", "a.b/../c", "--privileged"],
)  # fmt: skip
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_reference(text)


@given(st.text(alphabet="abc/.:@-_", max_size=20))
def test_a_reference_is_read_whole_or_refused(text: str) -> None:
    try:
        made = parse_reference(text)
    except ValueError:
        return
    again = f"{made.registry}/{made.repository}" if made.registry else made.repository
    again += f":{made.tag}" if made.tag else ""
    assert again + (f"@{made.digest}" if made.digest else "") == text


@pytest.mark.parametrize(
    ("pattern", "reference", "wanted"),
    [
        ("a.b/c:1", "a.b/c:1", True), ("a.b/c:1", "axb/c:1", False), ("a.b/*", "a.b/c:1", True),
        ("a.b/*", "a.b/c/d:1", False), ("a.b/**", "a.b/c/d:1", True), ("*", "a/b", False), ("**", "a/b", True),
        ("a.b/c:?", "a.b/c:12", False), ("a.b/c:1", "evil/a.b/c:1", False), ("a.b/c:1", "a.b/c:1\n", False),
        ("a.b/[a-z]", "a.b/c", False), ("a+b", "a+b", True),
    ],
)  # fmt: skip
def test_patterns_cover_the_whole_reference(pattern: str, reference: str, *, wanted: bool) -> None:
    assert matches(pattern, reference) is wanted


# Facts


@pytest.mark.parametrize(
    ("release", "interop", "wanted"),
    [("6.1.0-18-amd64", False, "linux"), ("5.15.153.1-microsoft-standard-WSL2", True, "wsl2"),
     ("4.4.0-19041-Microsoft", True, "wsl1"), ("6.6.36-mykernel", True, "wsl2"),
     ("4.19.128-microsoft-standard", False, "wsl2"),     ("5.4.0-1109-azure-Microsoft", False, "wsl2")],
)  # fmt: skip
def test_kinds_of_hosts(release: str, wanted: str, *, interop: bool) -> None:
    assert facts.host_kind(release, interop) == wanted


def test_os_release_and_security_modules() -> None:
    text = b'# x\nID=debian\nVERSION_ID="12"\nNAME=\'A=b\'\n\nBROKEN\nPRETTY_NAME="D\xff"\n'
    assert facts.os_release(text) == {"ID": "debian", "VERSION_ID": "12", "NAME": "A=b", "PRETTY_NAME": "D\ufffd"}
    assert facts.confinement("capability,landlock,yama,apparmor\n", policy=False) == "apparmor"
    assert facts.confinement("capability,selinux,bpf", policy=True) == "selinux"
    assert facts.confinement("capability,landlock,yama,safesetid,selinux,ima", policy=False) == "none"
    for modules in ("capability,landlock,yama,apparmorx", ""):
        assert facts.confinement(modules, policy=True) == "none"
    assert facts.host().kind in ("linux", "wsl2")


def test_wsl1_and_other_systems_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "host_kind", lambda *_, **__: "wsl1")
    with pytest.raises(AiboxError) as caught:
        facts.host()
    assert (caught.value.code, caught.value.exit_code, "WSL1" in caught.value.what) == ("host-unsupported", 4, True)
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(AiboxError, match="aibox runs on Linux"):
        facts.host()


def engine_at(tmp_path: Path, path: str) -> tuple[Path, Paths]:
    program = tmp_path / path
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program, Paths(f"{tmp_path}/data", "", "", "")


def test_the_version_is_asked_once_for_each_program(fp: FakeProcess, tmp_path: Path) -> None:
    program, paths = engine_at(tmp_path, "podman")
    version = [str(program), "--version"]
    fp.register(version, stdout=b"podman version 5.4.2\n", occurrences=2)
    for _ in range(3):
        assert facts.find_engine("podman", str(program), paths, {}).version == (5, 4, 2)
    assert fp.call_count(version) == 1
    program.write_text("#!/bin/sh\n# updated\n")
    assert facts.find_engine("auto", str(program), paths, {}).version == (5, 4, 2)
    assert fp.call_count(version) == 2
    (tmp_path / "data" / "engine.json").write_text('{"version": ["x"]')
    fp.register(version, stdout=b"podman version 4.2.9\n")
    with pytest.raises(AiboxError) as caught:
        facts.find_engine("podman", str(program), paths, {})
    assert (caught.value.code, caught.value.what) == ("engine-unsupported", "Podman 4.2.9 is too old")


def test_engines_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(AiboxError) as caught:
        facts.find_engine("podman", f"{tmp_path}/none", Paths("", "", "", ""), {})
    assert (caught.value.code, caught.value.fix) == ("engine-missing", "aibox setup")


def test_oldest_is_what_the_documents_say() -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    assert f"Podman {podman.OLDEST[0]}.{podman.OLDEST[1]} or newer" in readme
    assert json.loads(dump({"b": 1, "a": [None, True]})) == {"a": [None, True], "b": 1}
    assert dump({"b": 1, "a": "ü"}) == '{"a":"\\u00fc","b":1}'
