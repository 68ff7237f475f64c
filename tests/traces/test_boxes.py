"""The reference builds inside real boxes: gVisor, the whole of aibox around it, an image with the tools."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import places
import pytest
from hosts import build, make, require_host
from machines import Machine

# one of each: engine with and without root, older and newer runsc
KINDS = ("rootless-2024", "rootful-2026")
SECONDS = 400.0


class Box(NamedTuple):
    """A running box of the image with the tools, and the workspace that holds all projects and their homes."""

    machine: Machine
    workspace: Path


@pytest.fixture(scope="session")
def zipapp() -> Iterator[Path]:
    """The artifact, built from this tree."""
    require_host()
    yield from build()


@pytest.fixture(scope="session", params=KINDS)
def box(request: pytest.FixtureRequest, zipapp: Path) -> Iterator[Box]:
    """A box with every project."""
    toolbox = places.toolbox()
    for machine in make(request.param, zipapp):
        machine.set_up()
        image = machine.import_image(toolbox.root)
        workspace = machine.workspace()
        for project in places.projects():
            shutil.copytree(places.PROJECTS / project, workspace / project, symlinks=True)
            shutil.copytree(toolbox.seeded_home(project), workspace / "home", symlinks=True, dirs_exist_ok=True)
        subprocess.run(["chown", "-R", f"{machine.uid}:{machine.uid}", str(workspace)], check=True)
        machine.ok("start", "--workspace", str(workspace), "--image", image, "--pull", "never", timeout=180)
        # to where each tool looks by default: the home and cache volumes
        machine.ok(
            "exec", "--workspace", str(workspace), "--", "cp", "-r", "/workspace/home/.", "/home/dev", timeout=180
        )
        yield Box(machine, workspace)


@pytest.mark.parametrize("project", places.projects())
def test_build_passes_in_a_box(box: Box, project: str) -> None:
    command = ["sh", "-c", f"cd /workspace/{project} && exec ./build.sh"]
    done = box.machine.aibox("exec", "--workspace", str(box.workspace), "--", *command, timeout=SECONDS)
    assert done.code == 0, str(done)


def test_the_box_is_gvisor_with_both_filters(box: Box) -> None:
    """The control: the builds above ran where keyctl is refused and no network is."""
    done = box.machine.ok("verify", "--workspace", str(box.workspace))
    assert "S5" in done.out
    script = "grep -c gvisor /proc/version; grep Seccomp: /proc/self/status; unshare -U true; ls /sys/class/net"
    told = box.machine.aibox("exec", "--workspace", str(box.workspace), "--", "sh", "-c", script)
    assert "Seccomp:\t2" in told.out
    assert "Operation not permitted" in told.err
