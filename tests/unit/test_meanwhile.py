"""Questions to the engine that run beside others: what they find, what they raise, and what becomes of the rest."""

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from samples import engine, plan_of, recorded

from aibox.enginecalls import QUERY_SECONDS, EngineCalls
from aibox.engines.images import storage_of
from aibox.errors import AiboxError
from aibox.meanwhile import Meanwhile
from aibox.runner import Result

NAME = "podman-4.3.1-rootless"
IDENTIFIER = "9" * 64


def test_it_runs_beside_and_hands_over() -> None:
    gate = threading.Event()
    asked = Meanwhile(lambda: gate.wait(20))
    gate.set()  # had it run before, it would still wait
    assert asked.result() is True
    assert asked.result() is True, "asked twice, it answers twice"


def test_what_it_raises_is_raised_where_it_is_asked_for() -> None:
    def fail() -> int:
        raise AiboxError("engine-failed", "nobody there")

    asked = Meanwhile(fail)
    with pytest.raises(AiboxError, match="nobody there"):
        asked.result()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_it_does_not_outlive_who_asked(error: type[BaseException]) -> None:
    """What fails beside it waits for it to end; a user's Ctrl-C does not."""
    gate, ended = threading.Event(), threading.Event()

    def look() -> None:
        gate.wait(20)
        time.sleep(0.05)
        ended.set()

    def fail() -> None:
        with Meanwhile(look):
            if error is not KeyboardInterrupt:
                gate.set()
            raise error

    with pytest.raises(error):
        fail()
    assert ended.is_set() is (error is not KeyboardInterrupt)
    gate.set()


@pytest.mark.parametrize(
    ("told", "folder"),
    [
        ([{"GraphDriver": {"Data": {"UpperDir": "/s/storage/overlay/abc/diff"}}}], "/s/storage"),
        ([{"GraphDriver": {"Name": "vfs", "Data": None}}], ""),
        ([], ""),
        ("nonsense", ""),
    ],
)
def test_the_storage_folder(told: object, folder: str) -> None:
    assert storage_of(json.dumps(told) if not isinstance(told, str) else told) == folder


class Early(EngineCalls):
    """An engine whose storage is a folder of the test; `reads` counts what is read through its namespace."""

    def __init__(self, folder: Path, *, readable: Sequence[bool]) -> None:
        super().__init__(engine(rootless=True), {})
        self.folder, self.readable, self.reads = folder, list(readable), 0

    def run(self, argv: Sequence[str], timeout: float = QUERY_SECONDS) -> Result:
        del timeout
        place = f"{self.folder}/overlay-containers/{IDENTIFIER}/userdata/config.json"
        answers = {
            "image": json.dumps([{"Id": "a", "GraphDriver": {"Data": {"UpperDir": f"{self.folder}/overlay/x/diff"}}}]),
            "create": IDENTIFIER + "\n",
            "container": json.dumps([{**recorded_box(), "OCIConfigPath": place}]),
        }
        word = next((word for word in argv if word in answers), "")
        return Result(tuple(argv), 0, answers.get(word, "").encode(), b"")

    def _protected_file(self, path: str) -> bytes:
        self.reads += 1
        if not self.readable[self.reads - 1]:
            raise AiboxError("engine-failed", "not now")
        return json.dumps({"read": path}).encode()


def recorded_box() -> dict[str, object]:
    told: list[dict[str, object]] = json.loads(json.dumps(recorded(NAME, "inspect")))
    return told[0]


@pytest.mark.parametrize(("readable", "reads"), [([True], 1), ([False, True], 2)])
def test_the_configuration_is_read_while_the_engine_is_asked(tmp_path: Path, readable: list[bool], reads: int) -> None:
    """Once; what failed early is read again, so that the reason is said."""
    calls = Early(tmp_path, readable=readable)
    plan = plan_of(NAME)
    assert calls.image(plan.image)
    calls.create(plan)
    box = calls.set_up(plan)
    assert box
    assert calls.oci_config(box) == {"read": box.oci_config}
    assert calls.reads == reads


def test_a_configuration_elsewhere_is_not_taken_for_the_boxes(tmp_path: Path) -> None:
    """The guess is only a guess: where the engine names another file, that one is read."""
    calls = Early(tmp_path, readable=[True, True])
    plan = plan_of(NAME)
    assert calls.image(plan.image)
    calls.create(plan)
    box = calls.set_up(plan)
    assert box
    other = box._replace(oci_config="/elsewhere/config.json")
    assert calls.oci_config(other) == {"read": "/elsewhere/config.json"}
