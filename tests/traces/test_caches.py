"""Real builds with Maven, npm and pip in a box: after destroy and start the second run has its caches, so is faster."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import places
import pytest
import repositories
from hosts import build, make, require_host
from machines import Machine
from repositories import BUILDS, CACHES, EMPTIED

SECONDS = 600.0


class Place(NamedTuple):
    """A machine whose image has the tools, a workspace with the projects, and their registries."""

    machine: Machine
    image: str
    workspace: Path

    @property
    def where(self) -> list[str]:
        """The workspace as words."""
        return ["--workspace", str(self.workspace)]

    def start(self) -> None:
        """A box that was never used."""
        self.machine.ok("start", *self.where, "--image", self.image, "--pull", "never", timeout=SECONDS)

    def timed(self, name: str) -> float:
        """Seconds of a build."""
        began = time.monotonic()
        done = self.machine.aibox("exec", *self.where, "--", "sh", "-ec", BUILDS[name], timeout=SECONDS)
        assert done.code == 0, str(done)
        return time.monotonic() - began


@pytest.fixture(scope="module", params=("rootless-2024", "rootful-2026"))
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """The projects beside their registries, and a box that was never used."""
    require_host()
    toolbox = places.toolbox()
    for zipapp in build():
        for machine in make(request.param, zipapp):
            machine.set_up()
            found = Place(machine, machine.import_image(toolbox.root), machine.workspace())
            for project in ("maven", "node", "python"):
                shutil.copytree(places.PROJECTS / project, found.workspace / project)
            homes = {project: toolbox.seeded_home(project) for project in ("maven", "node")}
            repositories.make(homes, places.PROJECTS, found.workspace / "registry")
            subprocess.run(["chown", "-R", f"{machine.uid}:{machine.uid}", str(found.workspace)], check=True)
            found.start()
            yield found


def test_second_builds_use_the_caches(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    machine, registry = place.machine, place.workspace / "registry"
    server = f"setsid sh -c '{repositories.SERVE}' > /dev/null 2>&1 < /dev/null & sleep 3"
    machine.ok("exec", *place.where, "--", "sh", "-c", server)
    first = {name: place.timed(name) for name in BUILDS}
    # only the caches have it now
    for name in EMPTIED:
        shutil.rmtree(registry / name)
    machine.ok("destroy", *place.where, timeout=SECONDS)
    place.start()
    second = {name: place.timed(name) for name in BUILDS}
    with capsys.disabled():
        for name in BUILDS:
            print(f"\n{machine.name} {name}: {first[name]:.1f} s, from the cache {second[name]:.1f} s", end="")
    for name in BUILDS:
        assert second[name] < first[name], name
    # the control: without its cache a build has nothing to take its packages from, or compiles again
    machine.ok("destroy", *place.where, timeout=SECONDS)
    machine.ok("repair", "cache", *CACHES, "--yes", timeout=SECONDS)
    place.start()
    for name in EMPTIED:
        done = machine.aibox("exec", *place.where, "--", "sh", "-ec", BUILDS[name], timeout=SECONDS)
        assert done.code not in (0, 125), str(done)
    assert place.timed("pip") > second["pip"]
