"""How aibox's way into a running box compares with that of distrobox, which isolates nothing, under runc."""

import os
import shlex
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), *(str(ROOT / "tests" / name) for name in ("support", "traces"))]

import places
from machines import Machine
from measure import Command, Pair, timed

NAME = "peer"
# with all of these its first start fetches nothing (the checks at the top of distrobox-init)
TOOLS = (
    "bash", "bc", "curl", "diffutils", "findutils", "less", "lsof", "mount", "passwd", "pinentry-curses", "sudo",
    "time", "wget",
)  # fmt: skip


def installed() -> bool:
    """Whether there is a distrobox to compare with."""
    return shutil.which("distrobox") is not None


def measured(machine: Machine, workspace: Path, runs: int) -> list[Pair]:
    """`true` in a running box of either, in one run. Raises SystemExit if distrobox makes none."""
    image = machine.import_image(places.toolbox(tools=TOOLS).root, "localhost/peer:1")
    create = ["distrobox", "create", "--yes", "--name", NAME, "--image", image, "--additional-flags", "--runtime runc"]
    enter = ["distrobox", "enter", "--no-tty", NAME, "--", "true"]
    for command in (create, enter):
        done = machine.run(command, timeout=300)
        if done.code != 0:
            sys.exit(str(done))
    try:
        mine = f"{shlex.quote(str(machine.zipapp))} exec --workspace {shlex.quote(str(workspace))} -- true"
        one, other = timed(machine, [Command(mine), Command(shlex.join(enter))], runs)
    finally:
        machine.run(["podman", "rm", "--force", "--time", "0", NAME], timeout=120)
    load = round(os.getloadavg()[0], 1)
    return [Pair("exec -- true, to `distrobox enter` under runc", one, other, load, machine.name)]
