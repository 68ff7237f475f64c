"""What interrupted commands leave: told apart from what a running one still needs, and removed."""

import os
from pathlib import Path

import pytest

from aibox import leftovers, state
from aibox.state import Paths

GONE = 99999999


def paths_in(folder: Path) -> Paths:
    return Paths(str(folder / "data"), str(folder / "run"), str(folder / "config"), str(folder / "etc/seccomp.json"))


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return paths_in(tmp_path)


def place(path: str) -> str:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(path).write_text("x")
    return path


def test_unfinished_files_of_processes_that_are_gone(paths: Paths) -> None:
    lost = [
        place(f"{paths.data}/setup.json.{GONE}.new"),
        place(f"{paths.data}/boxes/a.json.{GONE}.new"),
        place(f"{paths.data}/runsc/0123/runsc.{GONE}.new"),
        place(f"{paths.data}/runtimes/0123/launch.py.{GONE}.new"),
        place(f"{paths.run}/boxes/a.json.{GONE}.new"),
        place(f"{paths.seccomp}.{GONE}.new"),
    ]
    folder = f"{paths.data}/proof/aibox-proof-{GONE}-x"
    place(f"{folder}/deep/file")
    for kept in (
        f"{paths.data}/setup.json",
        f"{paths.data}/setup.json.{os.getpid()}.new",
        f"{paths.data}/runsc/0123/runsc",
        f"{paths.data}/proof/aibox-proof-{os.getpid()}-x/file",
        f"{paths.data}/docker/setup.json.{GONE}.new",
        f"{paths.data}/image.new",
    ):
        place(kept)
    assert set(leftovers.files(paths)) == {*lost, folder}


def test_nothing_is_left_where_nothing_is(paths: Paths) -> None:
    assert leftovers.files(paths) == []


def test_names_are_those_that_writers_use(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed writer leaves what the look finds; here the writer is stopped before its rename."""

    def stop(*_words: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    monkeypatch.setattr(os, "unlink", lambda _path: None)
    with pytest.raises(KeyboardInterrupt):
        state.write_atomically(paths.setup_record, b"{}")
    monkeypatch.setattr(os.path, "exists", lambda _path: False)
    assert leftovers.files(paths) == [f"{paths.setup_record}.{os.getpid()}.new"]
    os.makedirs(f"{paths.data}/proof/{leftovers.folder_prefix()}x")
    assert f"{paths.data}/proof/{leftovers.folder_prefix()}x" in leftovers.files(paths)
