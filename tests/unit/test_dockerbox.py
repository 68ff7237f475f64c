"""data/dockerbox.py and aibox/dockergate.py: the two sides of the gate that a Docker box passes before it runs."""

import importlib.util
import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from samples import plan_of

from aibox import dockergate
from aibox.dockergate import Gate
from aibox.errors import AiboxError
from aibox.jsonview import items
from aibox.model import IdMap

ROOT = Path(__file__).resolve().parents[2]
BOX = {"base": 1_900_000_000, "size": 65_536}
HOOK = {"path": "/proc/7/exe", "args": ["libnetwork-setkey", "-exec-root=/var/run/docker", "x", "y"]}


@pytest.fixture
def dockerbox() -> ModuleType:
    """The module, from the file that ships."""
    spec = importlib.util.spec_from_file_location("dockerbox", ROOT / "data" / "dockerbox.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def config() -> "dict[str, dict[str, object]]":
    mounts = [
        {"type": "bind", "destination": "/workspace", "source": "/w", "options": ["rbind"]},
        {"type": "bind", "destination": "/etc/hosts", "source": "/h", "options": ["rbind", "ro"]},
        {"type": "tmpfs", "destination": "/tmp", "source": "tmpfs", "options": ["noexec"]},
    ]
    found = {"linux": {"namespaces": [{"type": "mount"}]}, "hooks": {"prestart": [HOOK]}, "mounts": mounts}
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


def test_a_configuration_is_completed(dockerbox: ModuleType) -> None:
    made = config()
    dockerbox.complete(made, BOX)
    row = {"containerID": 0, "hostID": 1_900_000_000, "size": 65_536}
    assert made["linux"]["namespaces"] == [{"type": "mount"}, {"type": "user"}]
    assert (made["linux"]["uidMappings"], made["linux"]["gidMappings"]) == ([row], [row])
    assert "hooks" not in made
    options = [items(mount, "options") for mount in items(json.loads(json.dumps(made)), "mounts")]
    assert options == [["rbind", "nosuid", "nodev", "rprivate"], ["rbind", "ro"], ["noexec"]]


def test_what_it_does_not_expect_is_refused(dockerbox: ModuleType) -> None:
    remapped, hooked = config(), config()
    remapped["linux"]["namespaces"] = [{"type": "user"}]
    hooked["hooks"]["poststart"] = [{"path": "/bin/evil", "args": ["evil"]}]
    for made, why in ((remapped, "userns-remap"), (hooked, "hook that runs on the host: /bin/evil")):
        with pytest.raises(dockerbox.RefusedError, match=why):
            dockerbox.complete(made, BOX)


def test_only_boxes_that_aibox_noted(dockerbox: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "abc").mkdir()
    assert dockerbox.folder_of(str(tmp_path), "abc") == f"{tmp_path}/abc"
    for strange in ("", "abd", "../abc", "."[:0]):
        with pytest.raises(dockerbox.RefusedError, match="not a box that aibox made"):
            dockerbox.folder_of(str(tmp_path), strange)


def test_the_topmost_closed_folder(dockerbox: ModuleType) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        Path(place).chmod(0o755)
        store = Path(place) / "store"
        deep = store / "inner" / "files"
        deep.mkdir(parents=True)
        assert dockerbox.closed_above(str(deep), BOX) == ""
        (store / "inner").chmod(0o700)
        assert dockerbox.closed_above(str(deep), BOX) == f"{store}/inner"
        store.chmod(0o710)
        assert dockerbox.closed_above(str(deep), BOX) == str(store)


@pytest.fixture
def meeting(tmp_path: Path) -> Iterator[Path]:
    """The folder of a box whose wrapper was called with `create`."""
    folder = tmp_path / "box"
    folder.mkdir()
    (tmp_path / "config.json").write_text(json.dumps(config()))
    sentry = subprocess.Popen(["sleep", "60"])
    (tmp_path / "pid").write_text(str(sentry.pid))
    made = {"config": str(tmp_path / "config.json"), "pid_file": str(tmp_path / "pid")}
    (folder / "made.json").write_text(json.dumps(made))
    yield folder
    sentry.kill()
    sentry.wait()


def pid_of(meeting: Path) -> int:
    return int((meeting.parent / "pid").read_text())


def alive(meeting: Path) -> bool:
    """Whether what `create` set up still runs."""
    return Path(f"/proc/{pid_of(meeting)}/cmdline").read_bytes() != b""


def gate_of(meeting: Path) -> Gate:
    plan = plan_of("podman-4.3.1-rootful")._replace(engine="docker", id_map=IdMap(1_900_000_000, 65_536, 0, 0))
    return Gate(str(meeting), plan)


def held(dockerbox: ModuleType, meeting: Path) -> tuple[threading.Thread, list[str]]:
    """The wrapper's `start` in a thread, and how it ended."""
    ended: list[str] = []

    def hold() -> None:
        try:
            dockerbox.hold(str(meeting))
            ended.append("runs")
        except dockerbox.RefusedError as error:
            ended.append(str(error))

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    return thread, ended


def test_a_box_waits_until_the_gate_opens(dockerbox: ModuleType, meeting: Path) -> None:
    gate = gate_of(meeting)
    assert json.loads((meeting / "box.json").read_text()) == BOX
    thread, ended = held(dockerbox, meeting)
    asked = gate.wait(10, lambda: False)
    assert asked == (pid_of(meeting), str(meeting.parent / "config.json"))
    time.sleep(0.1)
    assert ended == []
    gate.open()
    thread.join(10)
    assert ended == ["runs"]
    assert alive(meeting)
    gate.close()
    # now by hand, as long as the configuration is the one that was checked
    dockerbox.hold(str(meeting))
    (meeting.parent / "config.json").write_text(json.dumps({**config(), "hostname": "other"}))
    with pytest.raises(dockerbox.RefusedError, match="was not checked by aibox"):
        dockerbox.hold(str(meeting))


def test_when_aibox_ends_the_box_does_not_start(dockerbox: ModuleType, meeting: Path) -> None:
    gate = gate_of(meeting)
    thread, ended = held(dockerbox, meeting)
    assert gate.wait(10, lambda: False)
    gate.close()
    thread.join(10)
    assert ended == ["aibox did not let the box start: a check failed, or the command was ended"]
    assert not alive(meeting), "Docker would keep it, and never start the box again"
    with pytest.raises(dockerbox.RefusedError, match="was not checked by aibox"):
        dockerbox.hold(str(meeting))


def test_a_new_start_forgets_what_was_checked(meeting: Path) -> None:
    (meeting / "checked").write_text("x")
    gate_of(meeting).close()
    assert not (meeting / "checked").exists()


def test_a_daemon_that_never_asks(meeting: Path) -> None:
    gate = gate_of(meeting)
    assert gate.wait(5, lambda: True) is None
    with pytest.raises(AiboxError) as caught:
        gate.wait(0.1, lambda: False)
    assert caught.value.code == "command-timeout"
    gate.close()


def test_notes_go_with_the_box(meeting: Path) -> None:
    gate_of(meeting).close()
    assert dockergate.config_path(str(meeting)) == str(meeting.parent / "config.json")
    dockergate.forget(str(meeting))
    assert not meeting.exists()
    dockergate.forget(str(meeting))
    assert dockergate.config_path(str(meeting)) == ""


def test_both_sides_count_alike(dockerbox: ModuleType) -> None:
    for document in (config(), {"ä": "ö", "n": [1, 2.5, None, True]}):
        assert dockerbox.digest(document) == dockergate.digest(json.loads(json.dumps(document)))


def test_the_order_of_mounts_does_not_count(dockerbox: ModuleType) -> None:
    one, other, less = config(), config(), config()
    other["mounts"] = [*reversed(items(json.loads(json.dumps(one)), "mounts"))]  # type: ignore[assignment]
    less["mounts"] = [*items(json.loads(json.dumps(one)), "mounts")][:-1]  # type: ignore[assignment]
    assert dockerbox.digest(one) == dockerbox.digest(other) != dockerbox.digest(less)
