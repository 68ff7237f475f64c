"""aibox's own files: atomic writes, interruption, damage, locks, and the register of boxes."""

import os
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from samples import plan_of

from aibox import boxes, jsonview, notes, state
from aibox.config import Policy, load_config
from aibox.context import Context
from aibox.errors import AiboxError
from aibox.model import Developer
from aibox.state import Paths, locked, paths, read_record, write_atomically, write_record

ROOT = Path(__file__).resolve().parents[2]


def mine(folder: Path) -> Paths:
    return Paths(f"{folder}/data", f"{folder}/run", f"{folder}/config", f"{folder}/data/seccomp.json")


def test_where_things_are() -> None:
    assert paths({"HOME": "/h"}, 0) == Paths("/var/lib/aibox", "/run/aibox", "/etc/aibox", "/etc/aibox/seccomp.json")
    share = "/h/.local/share/aibox"
    assert paths({"HOME": "/h"}, 7) == Paths(share, f"{share}/aibox", "/h/.config/aibox", f"{share}/seccomp.json")
    xdg = {"HOME": "/h", "XDG_DATA_HOME": "/d", "XDG_CONFIG_HOME": "/c", "XDG_RUNTIME_DIR": "/r"}
    assert paths(xdg, 7) == Paths("/d/aibox", "/r/aibox", "/c/aibox", "/d/aibox/seccomp.json")
    relative = {"HOME": "/h", "XDG_DATA_HOME": "d", "XDG_CONFIG_HOME": "./c", "XDG_RUNTIME_DIR": ""}
    assert paths(relative, 7) == paths({"HOME": "/h"}, 7)
    assert paths({}, 7).data.startswith("/nonexistent/")


# Atomic writes


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755])
def test_content_and_mode(tmp_path: Path, mode: int) -> None:
    before = os.umask(0o077)
    try:
        write_atomically(f"{tmp_path}/a/b/file", b"one", mode)
        write_atomically(f"{tmp_path}/a/b/file", b"two", mode)
    finally:
        os.umask(before)
    file = tmp_path / "a" / "b" / "file"
    assert (file.read_bytes(), file.stat().st_mode & 0o7777) == (b"two", mode)
    assert os.listdir(file.parent) == ["file"]


def test_a_reader_never_sees_half(tmp_path: Path) -> None:
    """A writer that is killed at any moment leaves the old or the new content."""
    path = f"{tmp_path}/file"
    program = (
        "import sys; from aibox.state import write_atomically\n"
        "print(flush=True)\n"
        "while True:\n"
        "    for c in b'ab': write_atomically(sys.argv[1], bytes([c]) * 300000)\n"
    )
    for attempt in range(5):
        child = subprocess.Popen([sys.executable, "-c", program, path], cwd=ROOT, stdout=subprocess.PIPE)
        assert child.stdout
        child.stdout.readline()
        while not os.path.exists(path):
            time.sleep(0.001)
        time.sleep(0.003 * attempt)
        child.kill()
        child.communicate()
        content = Path(path).read_bytes()
        assert len(content) == 300000
        assert len(set(content)) == 1


def test_an_error_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(str(path), b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AiboxError) as caught:
        write_atomically(str(path), b"new")
    assert (caught.value.code, caught.value.fix) == ("state-unwritable", "free some space")
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"old", ["file"])


def test_a_link_in_place_of_the_temporary_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("kept")
    (tmp_path / f"file.{os.getpid()}.new").symlink_to(tmp_path / "victim")
    with pytest.raises(AiboxError) as caught:
        write_atomically(f"{tmp_path}/file", b"x")
    assert caught.value.code == "state-unwritable"
    assert (tmp_path / "victim").read_text() == "kept"


def test_a_leftover_of_a_killed_writer_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / f"file.{os.getpid()}.new").write_text("half of something that was longer")
    write_atomically(f"{tmp_path}/file", b"x")
    assert (tmp_path / "file").read_bytes() == b"x"


def test_folders_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AiboxError) as caught:
        state.make_folder(f"{tmp_path}/file/x")
    assert (caught.value.code, caught.value.exit_code) == ("state-unwritable", 4)
    with pytest.raises(AiboxError) as caught:
        write_atomically(f"{tmp_path}/file/x/y", b"")
    assert caught.value.code == "state-unwritable"


# Records


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b'"x"', b"\xff\xfe", b"[" * 100000, b"null", b"\0" * 50])
def test_damaged_records_are_empty(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "r.json").write_bytes(content)
    assert read_record(f"{tmp_path}/r.json") == {}


def test_records(tmp_path: Path) -> None:
    record: dict[str, jsonview.Json] = {"b": [1, 2.5, None, True], "a": {"ü": "\n\udc80"}}
    write_record(f"{tmp_path}/r.json", record)
    assert read_record(f"{tmp_path}/r.json") == record
    assert (tmp_path / "r.json").stat().st_mode & 0o7777 == 0o600
    assert read_record(f"{tmp_path}/none.json") == {}
    assert read_record(str(tmp_path)) == {}


def test_removing(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    state.remove_file(f"{tmp_path}/f")
    state.remove_file(f"{tmp_path}/f")
    with pytest.raises(AiboxError):
        state.remove_file(str(tmp_path))


def test_sums(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc" * 700000)
    assert state.sha256_file(f"{tmp_path}/f") == state.sha256(b"abc" * 700000)
    assert state.sha256(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


# Locks


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    path = f"{tmp_path}/l/lock"
    with locked(path, timeout=1):
        began = time.monotonic()
        with pytest.raises(AiboxError) as caught, locked(path, timeout=0.2):
            pass
        assert 0.2 <= time.monotonic() - began < 2
        assert (caught.value.code, caught.value.why) == ("lock-timeout", f"it holds {path}")
    with locked(path, timeout=0):
        pass


def test_the_kernel_drops_the_lock_of_a_dead_holder(tmp_path: Path) -> None:
    program = (
        "import sys; from aibox.state import locked\n"
        "with locked(sys.argv[1], timeout=1): print(flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", program, f"{tmp_path}/lock"]
    child = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout
    child.stdout.readline()
    with pytest.raises(AiboxError), locked(f"{tmp_path}/lock", timeout=0.1):
        pass
    child.kill()
    child.communicate()
    with locked(f"{tmp_path}/lock", timeout=5):
        pass


def test_a_lock_whose_file_is_removed_by_its_holder_is_still_one_lock(tmp_path: Path) -> None:
    """Eight processes that remove the file each time: two inside at once would read each other's mark."""
    program = (
        "import os, sys; from aibox.state import locked, remove_file\n"
        "lock, mark = sys.argv[1:]\n"
        "for _ in range(40):\n"
        "    with locked(lock, timeout=60):\n"
        "        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))\n"
        "        os.unlink(mark)\n"
        "        remove_file(lock)\n"
    )
    argv = [sys.executable, "-c", program, f"{tmp_path}/l/lock", f"{tmp_path}/mark"]
    children = [subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(8)]
    for child in children:
        _, err = child.communicate(timeout=120)
        assert child.returncode == 0, err
    assert list((tmp_path / "l").iterdir()) == []


def test_as_many_go_on_at_once_as_there_are_locks(tmp_path: Path) -> None:
    """The next one waits, says so once, and goes on when one of them is done; what fails inside is not hidden."""
    files = [f"{tmp_path}/run/{number}" for number in range(2)]
    said: list[str] = []

    def turn(timeout: float) -> AbstractContextManager[None]:
        return state.one_of(files, timeout=timeout, waiting=lambda: said.append("waits"))

    with turn(0), turn(0):
        with pytest.raises(AiboxError) as caught, turn(0.2):
            pytest.fail("a third one went on")
        assert (caught.value.code, said) == ("lock-timeout", ["waits"])
    with pytest.raises(BlockingIOError), turn(0):
        raise BlockingIOError
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, *files], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    began = time.monotonic()
    with turn(30):
        waited = time.monotonic() - began
    assert 0.2 < waited < 20
    assert said == ["waits"] * 2
    assert holder.wait(20) == 0


HOLDS = """
import sys, time
from aibox import state
with state.one_of(sys.argv[1:], timeout=0, waiting=print), state.one_of(sys.argv[1:], timeout=0, waiting=print):
    print("held", flush=True)
    time.sleep(1)
"""


def test_a_lock_is_no_link_to_follow(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AiboxError), locked(f"{tmp_path}/lock", timeout=0):
        pass
    assert not (tmp_path / "elsewhere").exists()


# The register


def context(folder: Path, uid: int) -> Context:
    return Context({}, Developer(uid, uid, "dev1"), mine(folder), load_config([], environ={}), Policy())


def test_a_box_is_found_from_its_folder_and_below(tmp_path: Path) -> None:
    plan = plan_of("podman-4.3.1-rootless")
    made = context(tmp_path, plan.owner.uid)
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    place = plan.workspace._replace(path=str(project))
    from aibox.plan import box_name

    plan = plan._replace(workspace=place, name=box_name(plan.owner, str(project)))
    boxes.remember(made.paths, plan)
    assert boxes.locate(made, str(project)) == boxes.Located(plan.name, str(project), "/workspace")
    with pytest.raises(AiboxError) as caught:
        boxes.locate(made, str(project / "src"))
    assert caught.value.code == "box-missing", "a folder that was named is not searched upwards"
    with pytest.raises(AiboxError):
        boxes.locate(context(tmp_path, 7), str(project))
    before = os.getcwd()
    os.chdir(project / "src")
    try:
        assert boxes.locate(made, "").workdir == "/workspace/src"
    finally:
        os.chdir(before)
    assert [name for name, _ in boxes.registered(made.paths)] == [plan.name]
    digest = dict(plan.labels)["io.aibox.plan"]
    assert boxes.recorded_plan(made.paths, plan.name, digest) is None, "the plan was altered after its digest"
    from aibox.plan import digest as digest_of

    assert boxes.recorded_plan(made.paths, plan.name, digest_of(plan)) == plan
    boxes.forget(made.paths, plan.name)
    assert boxes.registered(made.paths) == []
    assert boxes.recorded_plan(made.paths, plan.name, digest_of(plan)) is None


@pytest.mark.parametrize("field", ["network", "user", "seccomp_path", "image_id"])
def test_a_changed_record_is_not_believed(tmp_path: Path, field: str) -> None:
    plan = plan_of("podman-4.3.1-rootful")
    own = mine(tmp_path)
    boxes.remember(own, plan)
    path = boxes.register_path(own, plan.name)
    digest = dict(plan.labels)["io.aibox.plan"]
    assert boxes.recorded_plan(own, plan.name, digest) == plan
    record = read_record(path)
    jsonview.fields(record, "plan")[field] = "other"
    write_record(path, record)
    assert boxes.recorded_plan(own, plan.name, digest) is None
    assert boxes.recorded_plan(own, plan.name, "") is None


def test_noted_processes(tmp_path: Path) -> None:
    from aibox import hostview

    own = mine(tmp_path)
    assert not notes.noted_running(own, "b")
    path = notes.record_path(own, "b")
    write_record(path, {"pid": os.getpid(), "started": hostview.start_time(os.getpid())})
    assert notes.noted_running(own, "b")
    for record in ({"pid": os.getpid(), "started": 1}, {"pid": 4194305, "started": 5}, {"pid": 0, "started": 0}, {}):
        write_record(path, record)
        assert not notes.noted_running(own, "b")
