"""The wrapper around runsc: what is written, what names it, and what is refused when anything about it changed."""

import os
import subprocess
from pathlib import Path

import pytest

from aibox import jsonview, runtimefiles, state
from aibox.errors import AiboxError
from aibox.jsonview import Json
from aibox.runtimefiles import Settings, check, contents, digest, install
from aibox.state import Paths

SETTINGS = Settings("/opt/runsc", "systrap", False, "", "/usr/bin/python3", "x86_64")
NAMES = ["aibox-runsc", "launch.py", "outer.bpf", "session.bpf", "session.pl", "settings.json"]


def mine(folder: Path) -> Paths:
    return Paths(f"{folder}/data", f"{folder}/run", f"{folder}/config", f"{folder}/seccomp.json")


def program(folder: Path, name: str = "runsc", content: str = "#!/bin/sh\nprintf '%s\\n' \"$@\"\n") -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(0o755)
    return str(path)


def installed(folder: Path) -> dict[str, Json]:
    """A setup record of a wrapper around a stand-in for runsc."""
    made = install(mine(folder), SETTINGS._replace(program=program(folder)))
    return {
        "runtime": {
            "path": made.path,
            "digest": made.digest,
            "files": list(NAMES),
            "program": made.program,
            "program_sha256": runtimefiles.program_digest(made.program),
            "program_identity": runtimefiles.program_identity(made.program),
            "platform": "systrap",
            "apparmor": "",
        }
    }


def tampered(record: dict[str, Json]) -> AiboxError:
    with pytest.raises(AiboxError) as caught:
        check(record)
    assert (caught.value.code, caught.value.exit_code) == ("runtime-tampered", 3)
    assert caught.value.fix == "aibox setup"
    return caught.value


def folder_of(record: dict[str, Json]) -> Path:
    return Path(jsonview.text(record, "runtime", "path")).parent


# What is written


def test_the_files() -> None:
    files = contents(SETTINGS, "/f")
    assert sorted(files) == NAMES
    assert not any(mark in files[name] for name in NAMES for mark in (b"@HERE@", b"@PROGRAM@", b"@PRCTL@", b"@FLAGS@"))
    assert jsonview.parse(files["settings.json"]) == {
        "kind": "runsc",
        "program": "/opt/runsc",
        "flags": ["--network=none", "--oci-seccomp=true", "--host-uds=none", "--overlay2=none", "--platform=systrap"],
        "apparmor": "",
    }
    assert files["session.bpf"] != files["outer.bpf"]
    assert "--ignore-cgroups=true" in SETTINGS._replace(rootless=True).flags


def test_each_architecture() -> None:
    arm = contents(SETTINGS._replace(machine="aarch64"), "/f")
    assert b"(167, 277)" in arm["session.pl"]
    assert b"(157, 317)" in contents(SETTINGS, "/f")["session.pl"]
    assert arm["session.bpf"] != contents(SETTINGS, "/f")["session.bpf"]
    assert "(135, 137)" in runtimefiles.init_program("aarch64")
    assert "(14, 128)" in runtimefiles.init_program("x86_64")
    with pytest.raises(AiboxError) as caught:
        runtimefiles.numbers("riscv64")
    assert caught.value.code == "host-unsupported"


def test_an_odd_path_is_one_word_of_the_wrapper(tmp_path: Path) -> None:
    """The wrapper calls exactly the program and hands every argument on, but conmon's --tty."""
    odd = program(tmp_path / 'it\'s a $(id) "folder"')
    made = install(mine(tmp_path / "a b'c"), SETTINGS._replace(program=odd))
    words = ["--log", "/x y", "--root=/r", "state", "--tty", "--tty=true", "a b", "'", "", "-t"]
    done = subprocess.run([made.path, *words], capture_output=True, text=True, check=True)
    flags = ["--network=none", "--oci-seccomp=true", "--host-uds=none", "--overlay2=none", "--platform=systrap"]
    assert done.stdout.split("\n")[:-1] == [*flags, "--log", "/x y", "--root=/r", "state", "a b", "'", "", "-t"]


@pytest.mark.parametrize("verb", ["create", "run", "restore", "exec"])
def test_what_makes_a_process_goes_through_the_launcher(tmp_path: Path, verb: str) -> None:
    shown = program(tmp_path, "python", "#!/bin/sh\nprintf '%s\\n' python \"$@\"\n")
    made = install(mine(tmp_path), SETTINGS._replace(program=program(tmp_path), python=shown))
    for before in ([], ["--log", "kill"], ["-log-format", "json", "--debug"], ["--root", "state"]):
        done = subprocess.run([made.path, *before, verb, "--tty", "id"], capture_output=True, text=True, check=True)
        assert done.stdout.split() == [
            "python", "-I", "-S", "-B", f"{Path(made.path).parent}/launch.py", verb, *before, verb, "id",
        ]  # fmt: skip


# What names it


def test_the_digest_changes_with_every_setting_and_file() -> None:
    base = contents(SETTINGS, "/f")
    others = [
        SETTINGS._replace(program="/opt/other"), SETTINGS._replace(platform="kvm"), SETTINGS._replace(rootless=True),
        SETTINGS._replace(kind="runc"), SETTINGS._replace(apparmor="p"), SETTINGS._replace(python="/p"),
        SETTINGS._replace(machine="aarch64"),
    ]  # fmt: skip
    digests = {digest(contents(one, "/f")) for one in (SETTINGS, *others)} | {digest(contents(SETTINGS, "/g"))}
    digests |= {digest({**base, name: base[name] + b" "}) for name in NAMES}
    digests |= {digest({**base, "more": b""}), digest({name: base[name] for name in NAMES[1:]})}
    assert len(digests) == len(others) + 2 + len(NAMES) + 2


def test_installing_twice_writes_once(tmp_path: Path) -> None:
    first = install(mine(tmp_path), SETTINGS)
    before = {name: os.stat(f"{Path(first.path).parent}/{name}").st_mtime_ns for name in NAMES}
    assert install(mine(tmp_path), SETTINGS) == first
    assert {name: os.stat(f"{Path(first.path).parent}/{name}").st_mtime_ns for name in NAMES} == before
    other = install(mine(tmp_path), SETTINGS._replace(platform="kvm"))
    assert Path(other.path).parent != Path(first.path).parent, "a running box keeps its wrapper"
    (Path(first.path).parent / "launch.py").write_text("pass")
    (Path(first.path)).chmod(0o777)
    assert install(mine(tmp_path), SETTINGS) == first
    assert runtimefiles.folder_digest(str(Path(first.path).parent)) == first.digest
    assert Path(first.path).stat().st_mode & 0o7777 == 0o755


# What is refused


def test_a_whole_runtime_passes(tmp_path: Path) -> None:
    record = installed(tmp_path)
    runtime = check(record)
    assert (runtime.kind, runtime.path) == ("runsc", jsonview.text(record, "runtime", "path"))
    assert (runtime.platform, runtime.program) == ("systrap", f"{tmp_path}/runsc")
    assert runtimefiles.folder_digest(str(folder_of(record))) == runtime.digest


@pytest.mark.parametrize("name", NAMES)
def test_any_changed_or_missing_file(tmp_path: Path, name: str) -> None:
    record = installed(tmp_path)
    file = folder_of(record) / name
    content = file.read_bytes()
    file.write_bytes(content + b" ")
    assert "is not what setup wrote" in tampered(record).what
    assert runtimefiles.folder_digest(str(folder_of(record))) != jsonview.text(record, "runtime", "digest")
    file.unlink()
    assert f"lacks {name}" in tampered(record).what
    file.write_bytes(content)
    file.chmod(0o755 if name == "aibox-runsc" else 0o644)
    check(record)


def test_a_further_file_shows_in_verify(tmp_path: Path) -> None:
    record = installed(tmp_path)
    (folder_of(record) / "sitecustomize.py").write_text("")
    assert runtimefiles.folder_digest(str(folder_of(record))) != jsonview.text(record, "runtime", "digest")
    assert runtimefiles.folder_digest(str(tmp_path / "gone")) == ""


@pytest.mark.parametrize("name", [*NAMES, ""])
@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_what_others_can_write(tmp_path: Path, name: str, mode: int) -> None:
    record = installed(tmp_path)
    path = folder_of(record) / name
    path.chmod(path.stat().st_mode | mode)
    assert "could have been changed by somebody else" in tampered(record).what


def test_another_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = installed(tmp_path)
    check(record)
    own = os.stat(tmp_path).st_uid
    if own == 0:
        os.chown(folder_of(record) / "launch.py", 1001, 1001)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    assert "could have been changed" in tampered(record).what


def test_another_program(tmp_path: Path) -> None:
    record = installed(tmp_path)
    program(tmp_path, content="#!/bin/sh\necho other\n")
    assert tampered(record).why == "its SHA-256 differs: it was updated or exchanged"
    program(tmp_path)
    assert check(record).program, "written anew with the same content"
    (tmp_path / "runsc").unlink()
    assert tampered(record).why == "it was removed"


def test_the_companion_folder_counts(tmp_path: Path) -> None:
    record = installed(tmp_path)
    program(tmp_path, "gvisor-bin/sentry")
    assert "is not the runsc that setup proved" in tampered(record).what
    before = runtimefiles.program_digest(f"{tmp_path}/runsc")
    program(tmp_path, "gvisor-bin/sentry", "#!/bin/sh\n")
    assert runtimefiles.program_digest(f"{tmp_path}/runsc") != before
    assert len(runtimefiles.program_files(f"{tmp_path}/runsc")) == 2


@pytest.mark.parametrize("record", [{}, {"runtime": {}}, {"runtime": "x"}, {"runtime": {"path": ""}}])
def test_no_record(record: dict[str, Json]) -> None:
    with pytest.raises(AiboxError) as caught:
        check(record)
    assert (caught.value.code, caught.value.fix) == ("runtime-missing", "aibox setup")


@pytest.mark.parametrize(
    ("field", "value"),
    [("files", []), ("files", None), ("files", NAMES[1:]), ("digest", ""), ("digest", "0" * 64), ("path", "/etc/x")],
)
def test_a_record_that_names_less(tmp_path: Path, field: str, value: Json) -> None:
    record = installed(tmp_path)
    jsonview.fields(record, "runtime")[field] = value
    tampered(record)


def test_the_record_of_setup_is_read_back(tmp_path: Path) -> None:
    record = installed(tmp_path)
    state.write_record(f"{tmp_path}/setup.json", record)
    assert check(state.read_record(f"{tmp_path}/setup.json")) == check(record)
