"""`aibox update` with a real engine and a registry on loopback: there, back, out of reach, and killed on the way."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hosts import make
from machines import LOCAL_IMAGE, Machine
from registry import Registry

SHORT, LONG = 4, 40


class Place(NamedTuple):
    """A machine whose image comes from the registry, and the folders of two generations of it and of a useless one."""

    machine: Machine
    registry: Registry
    first: Path
    second: Path
    useless: Path


def saved(machine: Machine, reference: str, name: str) -> Path:
    folder = Path(machine.home) / name
    done = machine.run(["podman", "save", "--quiet", "--format", "docker-dir", "--output", str(folder), reference])
    assert done.code == 0, str(done)
    return folder


@pytest.fixture(scope="module")
def place(zipapp: Path) -> Iterator[Place]:
    for machine in make("rootless-2024", zipapp):
        machine.set_up()
        registry = Registry()
        reference = f"{registry.name}/aibox/base:24.04"
        entry = f'[[registry]]\nlocation = "{registry.name}"\ninsecure = true\n'
        machine.write("/etc/containers/registries.conf", entry)
        first = saved(machine, LOCAL_IMAGE, "first")
        script = f"""set -e; podman create --name made {LOCAL_IMAGE}
        podman commit --quiet --format docker --change 'ENV GENERATION=2' made localhost/second:1; podman rm made
        tar -cf useless.tar --files-from /dev/null; podman import --quiet useless.tar localhost/useless:1"""
        done = machine.run(["sh", "-c", script], timeout=120)
        assert done.code == 0, str(done)
        second, useless = saved(machine, "localhost/second:1", "second"), saved(machine, "localhost/useless:1", "none")
        machine.run(["podman", "rmi", "localhost/second:1", "localhost/useless:1"])
        machine.environment["AIBOX_IMAGE"] = reference
        registry.folder = first
        machine.ok("setup", "--yes", timeout=300)
        yield Place(machine, registry, first, second, useless)
        registry.close()


def reset(place: Place) -> str:
    """The first generation is in use, without a previous one; returns its id."""
    place.registry.folder = place.first
    place.machine.ok("update", "--yes", timeout=300)
    return record(place)["image"]["id"]


def record(place: Place) -> dict[str, dict[str, str]]:
    known: dict[str, dict[str, str]] = json.loads(place.machine.read(f"{place.machine.data}/setup.json"))
    return known


def images(place: Place) -> set[str]:
    done = place.machine.run(
        ["podman", "images", "--all", "--no-trunc", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}"]
    )
    return set(done.out.splitlines())


def generation(place: Place, box: Path) -> str:
    return place.machine.ok("exec", "--workspace", str(box), "--", "sh", "-c", "echo $GENERATION").out.strip()


def document(place: Place, *words: str, code: int = 0) -> dict[str, list[dict[str, object]]]:
    done = place.machine.aibox("update", "--json", *words, timeout=300)
    assert done.code == code, str(done)
    data: dict[str, list[dict[str, object]]] = json.loads(done.out)["data"]
    return data


def test_there_and_back(place: Place) -> None:
    machine = place.machine
    old = reset(place)
    box = machine.workspace("update")
    machine.ok("start", "--workspace", str(box))
    machine.ok("exec", "--workspace", str(box), "--", "sh", "-c", "echo kept > ~/mine")
    place.registry.folder = place.second

    before = images(place)
    looked = document(place, "--check")
    assert [part["id"] for part in looked["parts"]] == ["image", "runsc", "profiles"]
    assert (looked["boxes"], images(place)) == ([], before), "a look changes nothing"
    assert machine.ok("update", "--dry-run").out.splitlines() == [f"pull {machine.environment['AIBOX_IMAGE']}"]
    done = machine.aibox("update")
    assert (done.code, "[consent-needed]" in done.err, images(place) == before) == (2, True, True), str(done)

    told = document(place, "--yes")
    assert told["parts"][0]["action"] == "updated"
    assert [(one["workspace"], one["running"], one["why"]) for one in told["boxes"]] == [
        (str(box), True, "older image")
    ]
    new = record(place)["image"]["id"]
    assert new != old
    assert record(place)["image_previous"]["id"] == old
    assert record(place)["proof"]["image"] == new, "a throw-away box proved it"
    assert generation(place, box) == "", "a running box stays what it is"

    assert document(place, "--yes")["parts"][0]["action"] == "none", "the second time there is nothing newer"
    assert record(place)["image_previous"]["id"] == old
    assert document(place, "--yes", "--recreate")["boxes"] == []
    assert generation(place, box) == "2"
    assert machine.ok("exec", "--workspace", str(box), "--", "cat", "/home/dev/mine").out == "kept\n"

    assert document(place, "--rollback", "--yes", "--recreate")["parts"][0]["action"] == "rolled back"
    assert (record(place)["image"]["id"], record(place)["image_previous"]["id"]) == (old, new)
    assert generation(place, box) == ""
    assert machine.ok("exec", "--workspace", str(box), "--", "cat", "/home/dev/mine").out == "kept\n"
    machine.ok("verify", "--workspace", str(box))
    machine.ok("destroy", "--workspace", str(box))


def test_what_fails_leaves_the_image_in_use(place: Place) -> None:
    machine = place.machine
    old = reset(place)
    place.registry.folder = None
    assert document(place, "--yes", code=1)["parts"][0]["action"] == "failed"
    assert record(place)["image"]["id"] == old

    place.registry.folder = place.useless
    done = machine.aibox("update", "--yes", timeout=300)
    assert done.code != 0, str(done)
    assert "the previous one is in use again" in done.err
    assert record(place)["image"]["id"] == old
    assert (
        machine.run(
            ["podman", "image", "inspect", machine.environment["AIBOX_IMAGE"], "--format", "{{.Id}}"]
        ).out.strip()
        == old
    )
    box = machine.workspace("failed")
    machine.ok("start", "--workspace", str(box))
    machine.ok("destroy", "--workspace", str(box))


def test_killed_at_any_moment(place: Place, request: pytest.FixtureRequest) -> None:
    """Killed on the way, the next run converges; the image before is never lost, nor a file of a home."""
    machine, chance = place.machine, random.Random(6)
    box = machine.workspace("killed")
    reset(place)
    machine.ok("start", "--workspace", str(box))
    machine.ok("exec", "--workspace", str(box), "--", "sh", "-c", "echo kept > ~/survivor")
    began = time.monotonic()
    place.registry.folder = place.second
    machine.ok("update", "--yes", timeout=300)
    whole = time.monotonic() - began
    new = record(place)["image"]["id"]
    for _ in range(LONG if request.config.getoption("--full") else SHORT):
        old = reset(place)
        assert old != new
        place.registry.folder = place.second
        child = subprocess.Popen(
            machine.inside([str(machine.zipapp), "update", "--yes"]),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        time.sleep(chance.uniform(0, whole))
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        machine.ok("update", "--yes", timeout=300)
        kept = record(place)
        assert (kept["image"]["id"], kept["image_previous"]["id"], kept["proof"]["image"]) == (new, old, new)
        assert {line.split()[0].removeprefix("sha256:") for line in images(place)} >= {old, new}
    assert machine.ok("exec", "--workspace", str(box), "--", "cat", "/home/dev/survivor").out == "kept\n"
    machine.ok("destroy", "--workspace", str(box))
