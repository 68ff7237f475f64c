"""Which folders may be a workspace (SPEC F1, F2), on real folders and on rules alone."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibox import workspace
from aibox.errors import AiboxError
from aibox.model import Developer, Identity, Workspace
from aibox.mountinfo import holding, parse
from aibox.workspace import CROWDED_FOLDERS, GOOD_FILESYSTEMS, KEY_FOLDERS, SYSTEM_TREES, WINDOWS_FILESYSTEMS, Places

DEV = Developer(1001, 1001, "dev1")
AWAY = Places("/home/dev1", ("/home/dev1/.local/share/aibox", "/var/lib/containers", "/data/engine"))


def refused(code: str, given: object, away: Places = AWAY) -> AiboxError:
    with pytest.raises(AiboxError) as caught:
        workspace.find(os.fspath(given) if isinstance(given, Path) else str(given), away, caller=DEV)
    assert (caught.value.code, caught.value.exit_code) == (code, 2)
    assert caught.value.why
    return caught.value


def forbidden(path: str, away: Places = AWAY) -> str:
    with pytest.raises(AiboxError) as caught:
        workspace.check_place(path, away)
    assert caught.value.code == "workspace-forbidden"
    assert caught.value.fix
    return caught.value.why


# Places


@pytest.mark.parametrize(
    "path",
    ["/", "/home", "/home/dev1", "/etc", "/etc/aibox", "/usr", "/usr/lib/x", "/proc/self", "/sys", "/dev/shm", "/boot",
     "/var/lib/x", "/var/log", "/run/user/1001", "/tmp", "/var", "/mnt", "/root", "/media", "/usr/src", "/run/media",
     "/home/dev1/.ssh", "/home/dev1/.aws/sso", "/home/dev1/.gnupg", "/home/dev1/.local/share/aibox",
     "/home/dev1/.local/share/aibox/runtimes", "/home/dev1/.local/share", "/home/dev1/.local", "/data/engine/x",
     "/data/engine", "/data"],
)  # fmt: skip
def test_forbidden_places(path: str) -> None:
    assert forbidden(path)


@pytest.mark.parametrize(
    "path",
    ["/home/dev1/project", "/home/dev1/.sshx", "/home/dev1/.ssh-test/x", "/home/dev2/x", "/srv/project", "/opt/x",
     "/usr/src/linux", "/usr/local/src/x", "/run/media/dev1/disk", "/tmp/x", "/var/tmp/x", "/mnt/disk/x", "/etcetera",
     "/data/engines", "/home/dev1/.config/x", "/root/project"],
)  # fmt: skip
def test_allowed_places(path: str) -> None:
    workspace.check_place(path, AWAY)


@pytest.mark.parametrize("tree", SYSTEM_TREES)
def test_every_system_tree(tree: str) -> None:
    assert forbidden(tree)
    assert tree in forbidden(f"{tree}/x/y")


@pytest.mark.parametrize("folder", CROWDED_FOLDERS)
def test_every_crowded_folder(folder: str) -> None:
    assert forbidden(folder)


@pytest.mark.parametrize("name", KEY_FOLDERS)
def test_every_folder_of_keys(name: str) -> None:
    assert "keys" in forbidden(f"/home/dev1/{name}/x")


def test_state_behind_links_is_found(tmp_path: Path) -> None:
    real = tmp_path / "disk" / "aibox"
    real.mkdir(parents=True)
    (tmp_path / "state").symlink_to(real)
    away = Places("/home/dev1", (str(tmp_path / "state"),))
    assert "overlaps" in forbidden(str(real / "x"), away)
    assert "overlaps" in forbidden(str(tmp_path / "disk"), away)


def test_the_home_behind_a_link_is_found(tmp_path: Path) -> None:
    real = tmp_path / "homes" / "dev1"
    real.mkdir(parents=True)
    (tmp_path / "home").symlink_to(real)
    assert "home folder" in forbidden(str(real), Places(str(tmp_path / "home"), ()))


def test_places_follow_the_environment() -> None:
    environ = {"XDG_DATA_HOME": "/d", "XDG_CONFIG_HOME": "/c", "XDG_CACHE_HOME": "/k"}
    found = workspace.places(environ, ("/own",), "/home/a").state
    assert {"/own", "/d/containers", "/c/containers", "/k/aibox", "/var/lib/docker", "/etc/aibox"} <= set(found)
    found = workspace.places({}, (), "/home/a").state
    assert {"/home/a/.local/share/containers", "/home/a/.config/docker", "/home/a/.cache/aibox"} <= set(found)


# Names

KEPT = ["with space", "colon:x", "comma,x", "quo'te", 'dou"ble', "dollar$(id)", "back\\slash", "ünïcode-日本", "-dash",
        "semi;x", "star*", "~", "%41", "a=b", "\u202e", "x" * 200]  # fmt: skip
REFUSED = ["new\nline", "tab\tx", "bell\x07", "del\x7f", "escape\x1b[31m", "return\r", "a\udc80b", "\udcff"]


@pytest.mark.parametrize("name", KEPT)
def test_odd_names_work(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    place.mkdir()
    found = workspace.find(str(place), AWAY, caller=DEV)
    assert found.path == str(place)
    assert found.identity == Identity(place.stat().st_dev, place.stat().st_ino)


@pytest.mark.parametrize("name", REFUSED)
def test_names_that_the_engine_would_misread(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    place.mkdir()
    told = refused("workspace-name", place)
    assert told.what.isascii()
    (tmp_path / "link").symlink_to(place)
    refused("workspace-name", tmp_path / "link")


@given(st.text(alphabet=st.characters(min_codepoint=1), max_size=20))
def test_a_name_passes_only_if_it_survives_json_and_lines(name: str) -> None:
    import json

    path = f"/w/{name}"
    try:
        workspace.check_name(path)
    except AiboxError as error:
        assert error.code == "workspace-name"
        assert not path.isprintable()
        return
    assert json.loads(json.dumps(path).encode("utf-8")) == path
    assert path.encode("utf-8").decode("utf-8") == path
    assert "\n" not in path


# Real folders


def test_what_is_found(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    found = workspace.find(str(tmp_path / "p"), AWAY, caller=DEV)
    assert (found.empty, found.owner) == (True, DEV)
    (tmp_path / "p" / ".hidden").touch()
    assert workspace.find(f"{tmp_path}/p/../p/", AWAY, caller=DEV).path == str(tmp_path / "p")
    assert not workspace.find(str(tmp_path / "p"), AWAY, caller=DEV).empty


def test_root_works_for_the_owner(tmp_path: Path) -> None:
    found = workspace.find(str(tmp_path), AWAY, caller=Developer(0, 0, "root"))
    status = tmp_path.stat()
    assert (found.owner.uid, found.owner.gid) == (status.st_uid, status.st_gid)
    assert workspace.user_name(4294967294) == "uid4294967294"
    assert workspace.user_name(0) == "root"


def test_missing_file_and_dead_link(tmp_path: Path) -> None:
    told = refused("workspace-missing", tmp_path / "a b")
    assert told.fix == f"mkdir -p '{tmp_path}/a b'"
    (tmp_path / "dead").symlink_to(tmp_path / "nowhere")
    refused("workspace-missing", tmp_path / "dead")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    refused("workspace-missing", tmp_path / "loop")
    (tmp_path / "file").touch()
    assert f"--workspace {tmp_path}" in refused("workspace-not-folder", tmp_path / "file").fix
    refused("workspace-missing", tmp_path / "file" / "below")
    refused("workspace-missing", "/" + "x" * 300)


def test_links_are_resolved_and_judged_by_their_goal(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "link").symlink_to("p")
    assert workspace.find(str(tmp_path / "link"), AWAY, caller=DEV).path == str(tmp_path / "p")
    for number, goal in enumerate(("/etc", "/", "/usr/share")):
        (tmp_path / f"bad{number}").symlink_to(goal)
        refused("workspace-forbidden", tmp_path / f"bad{number}")


# Filesystems

WSL = """\
21 1 8:32 / / rw,relatime - ext4 /dev/sdc rw
40 21 0:50 / /mnt/c rw,noatime - 9p C:\\134 rw,dirsync,aname=drvfs;path=C:\\134;uid=1000
41 21 0:51 / /mnt/d rw - virtiofs drvfsd rw
42 21 0:52 / /mnt/wsl\\040x rw - tmpfs none rw
"""


@pytest.mark.parametrize(
    ("path", "filesystem"),
    [("/mnt/c/Users/a", "9p"), ("/mnt/c", "9p"), ("/mnt/d/x", "virtiofs"), ("/mnt/cc", "ext4"), ("/home/a", "ext4"),
     ("/mnt/wsl x/y", "tmpfs")],
)  # fmt: skip
def test_windows_folders_are_found_in_the_mount_table(path: str, filesystem: str) -> None:
    entry = holding(parse(WSL), path)
    assert entry
    assert entry.filesystem == filesystem


@pytest.mark.parametrize("filesystem", WINDOWS_FILESYSTEMS)
def test_windows_filesystems_are_refused_with_the_remedy(filesystem: str) -> None:
    with pytest.raises(AiboxError) as caught:
        workspace.check_filesystem("/mnt/c/my project", filesystem)
    assert caught.value.code == "workspace-filesystem"
    copied = "cp -r '/mnt/c/my project' ~/'my project' && aibox start --workspace ~/'my project'"
    assert caught.value.fix == copied
    with pytest.raises(AiboxError) as caught:
        workspace.check_filesystem("/mnt/c/x", filesystem, home="/home/me", distribution="Debian")
    assert "cp -r /mnt/c/x /home/me/x && aibox start --workspace /home/me/x (" in caught.value.fix
    assert r"Debian\home\me\x" in caught.value.fix


def test_find_refuses_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "_filesystem", lambda _path: "9p")
    refused("workspace-filesystem", tmp_path)


def test_other_filesystems_are_named() -> None:
    for filesystem in (*GOOD_FILESYSTEMS, "nfs4"):
        workspace.check_filesystem("/x", filesystem)
        made = Workspace("/x", Identity(1, 1), DEV, filesystem, empty=False)
        assert bool(workspace.filesystem_notice(made)) == (filesystem == "nfs4")
    assert not set(GOOD_FILESYSTEMS) & set(WINDOWS_FILESYSTEMS)


def test_the_filesystem_of_a_real_folder() -> None:
    assert workspace._filesystem("/proc") == "proc"
