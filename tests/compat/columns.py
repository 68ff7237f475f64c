"""The boxes in which the rows run: bare runc, bare gVisor, and gVisor with aibox, on one test machine."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / name) for name in ("support", "traces")] + [str(HERE.parents[1])]

import places
from compatrows import ROWS, Outcome, Row
from machines import LOCAL_IMAGE, Done, Machine

# what the rows need besides the tools of the reference builds
TOOLS = ("cmake", "fio", "gdb", "ninja-build", "python3-pip", "python3-venv", "tmux", "vim-tiny")
SAVED = HERE / "results.json"
# a first process that collects the processes which others left, as `podman run --init` has one: Bazel waits for that
IDLE = ("perl", "-e", "$SIG{CHLD} = 'IGNORE'; sleep 60 while 1")
Results = dict[str, dict[str, Outcome]]


class Column(NamedTuple):
    """A box with the workspace that holds the rows' files."""

    name: str
    machine: Machine
    workspace: Path

    def run(self, script: str, *, seconds: float) -> Done:
        """Run a shell script in the box."""
        command = ["timeout", "--kill-after=5", str(int(seconds)), "sh", "-c", script]
        if self.name.startswith("aibox"):
            return self.machine.aibox("exec", "--workspace", str(self.workspace), "--", *command, timeout=seconds + 60)
        return self.machine.run(["podman", "exec", self.name, *command], timeout=seconds + 60)

    def outcome(self, row: Row) -> Outcome:
        """Run a row."""
        helper = (
            threading.Thread(target=change, args=(self.workspace / row.folder / row.edited,)) if row.edited else None
        )
        if helper:
            helper.start()
        began = time.monotonic()
        done = self.run(f"cd /workspace/{row.folder} && {row.command}", seconds=row.seconds)
        seconds = time.monotonic() - began
        if helper:
            helper.join()
        words = " / ".join((done.err + done.out).strip().splitlines()[-4:])[-400:]
        return Outcome(done.code, "" if done.code == 0 else words, round(seconds, 2), round(os.getloadavg()[0], 1))


def change(folder: Path) -> None:
    """Change the watched file from the host as soon as the box says that it watches."""
    end = time.monotonic() + 60
    while not (folder / "ready").exists() and time.monotonic() < end:
        time.sleep(0.1)
    if (folder / "ready").exists():
        (folder / "ready").unlink()
        time.sleep(1.5)
        with open(folder / "file", "a", encoding="utf-8") as file:
            file.write("host\n")


def wanted(*, base: bool) -> list[Row]:
    """The rows that an image can run: with `base`, those that need no more than aibox's base image."""
    return [row for row in ROWS if row.base or not base]


def image_for(machine: Machine, *, base: bool) -> str:
    """The image that the rows need, on this machine."""
    return LOCAL_IMAGE if base else machine.import_image(places.toolbox(TOOLS).root)


def fill(machine: Machine, *, base: bool) -> Path:
    """A workspace with the rows' files, and a home with what was seeded."""
    workspace = machine.workspace()
    shutil.copytree(HERE / "rows", workspace / "compat", ignore=shutil.ignore_patterns("__pycache__"))
    projects = sorted({row.folder for row in wanted(base=base)} - {"compat"})
    for project in projects:
        shutil.copytree(places.PROJECTS / project, workspace / project, symlinks=True)
    home = workspace / "home"
    home.mkdir()
    for project in [] if base else [*projects, "compat"]:
        shutil.copytree(places.toolbox(TOOLS).seeded_home(project), home, symlinks=True, dirs_exist_ok=True)
    subprocess.run(["chown", "-R", f"{machine.uid}:{machine.uid}", str(workspace)], check=True)
    return workspace


@contextmanager
def column(name: str, machine: Machine, *, base: bool) -> Iterator[Column]:
    """The box of one column, of which the home holds what was seeded."""
    machine.set_up()
    with opened(name, machine, fill(machine, base=base), image_for(machine, base=base)) as here:
        yield here


@contextmanager
def opened(name: str, machine: Machine, workspace: Path, image: str) -> Iterator[Column]:
    """The box of one column of this workspace, on a machine that is set up."""
    here = Column(name, machine, workspace)
    if name.startswith("aibox"):
        words = ("start", "--workspace", str(workspace), "--image", image, "--pull", "never")
        machine.ok(*words, timeout=300)
    else:
        start = bare(name, machine, workspace, image)
        done = machine.run(start, timeout=300)
        assert done.code == 0, str(done)
    done = here.run("cp -r /workspace/home/. /home/dev", seconds=300)
    assert done.code == 0, str(done)
    try:
        yield here
    finally:
        if name.startswith("aibox"):
            machine.aibox("destroy", "--workspace", str(workspace))
        else:
            machine.run(["podman", "rm", "--force", "--time", "0", name], timeout=60)


def bare(name: str, machine: Machine, workspace: Path, image: str, runtime: str = "") -> list[str]:
    """The engine's command for a box without aibox: no control but the lack of a network. `runtime` is another one."""
    if name == "runc":
        runtime = "runc"
    elif not runtime:
        runtime = f"{machine.home}/{name}-wrapper"
        # flags given to podman are not remembered for exec, so they are in a script
        flags = "--network=none --ignore-cgroups --platform=systrap"
        machine.write(runtime, f'#!/bin/sh\nexec {machine.runsc} {flags} "$@"\n', 0o755)
    limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
    user = ["--userns", "keep-id:uid=1000,gid=1000"] if machine.rootless else []
    return [
        "podman", "--runtime", runtime, "run", "--detach", "--name", name, "--network", "none", "--user", "1000:1000",
        *limits, *user, "--volume", f"{workspace}:/workspace", "--volume", f"home-{name}:/home/dev",
        "--env", "HOME=/home/dev", "--workdir", "/workspace", image, *IDLE,
    ]  # fmt: skip


def saved(file: Path = SAVED) -> Results:
    """What was measured last."""
    if not file.exists():
        return {}
    read = json.loads(file.read_text(encoding="utf-8"))
    return {name: {row: Outcome(*entry) for row, entry in rows.items()} for name, rows in read.items()}


def save(file: Path, name: str, row: str, outcome: Outcome) -> None:
    """Add to what was measured last."""
    every = saved(file)
    every.setdefault(name, {})[row] = outcome
    file.write_text(json.dumps(every, indent=1, sort_keys=True) + "\n", encoding="utf-8")
