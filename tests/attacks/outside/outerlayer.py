"""The outer layer around runsc: a program started by the same launcher in runsc's place, and what carries the layer."""

import json
import os
import socket
from pathlib import Path

from byhand import Refused
from scene import Ending, Scene

PYTHON = ["/usr/bin/python3", "-I", "-S", "-B"]


def launched(scene: Scene) -> dict[str, Ending]:
    """How the attempts of inside/outer.py end in the outer layer."""
    return _attempts(scene, confined=True)


def bare(scene: Scene) -> dict[str, Ending]:
    """How they end without it."""
    return _attempts(scene, confined=False)


def _attempts(scene: Scene, *, confined: bool) -> dict[str, Ending]:
    """The launcher of the box's own wrapper, with another program than runsc in its settings."""
    machine = scene.machine
    wrapper = Path(scene.create[scene.create.index("--runtime") + 1]).parent
    folder = machine.workspace("launcher")
    attack = folder / "attack"
    with socket.socket(socket.AF_INET) as made:
        # made before the filter is on, so that Landlock has to refuse its use
        os.set_inheritable(made.fileno(), True)
        script = """set -e
            cp -r "$1" "$2/wrapper"; cp -r "$3" "$2/attack"; mkdir "$2/bundle"
            printf '{"root": {"path": "%s"}}' "$2" > "$2/bundle/config.json"
            chown -R "$4" "$2" """
        words = ["sh", "-c", script, "sh", str(wrapper), str(folder), str(scene.place / ".attack"), str(machine.uid)]
        done = machine.run(words, root=True)
        assert done.code == 0, str(done)
        description = json.loads((attack / "scene-control.json").read_text())
        description["inherited"] = made.fileno()
        (attack / "scene-outer.json").write_text(json.dumps(description))
        program = attack / "program"
        program.write_text(f"#!/bin/sh\nexec {' '.join(PYTHON)} {attack}/outer.py {attack}/scene-outer.json\n")
        program.chmod(0o755)
        settings = json.loads(machine.read(f"{folder}/wrapper/settings.json"))
        # this layer alone: the AppArmor profile would let the launcher run runsc and no other program
        settings |= {"program": str(program), "apparmor": ""}
        machine.write(f"{folder}/wrapper/settings.json", json.dumps(settings))
        launch = [*PYTHON, f"{folder}/wrapper/launch.py", "create", "create", "--bundle", f"{folder}/bundle", "x"]
        done = machine.run(launch if confined else [str(program)], pass_fds=(made.fileno(),))
    assert done.code == 0, str(done)
    told = [json.loads(line) for line in done.out.splitlines()]
    return {row["program"].partition(".")[2]: Ending(row["ended"], row["what"]) for row in told}


def filters_of(pid: int) -> int:
    """How many seccomp filters a process of the host carries."""
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(row.split()[1] for row in rows if row.startswith("Seccomp_filters:")))


def parts(scene: Scene, name: str) -> dict[str, int]:
    """The Sentry and the Gofer of a container, by what their command lines begin with."""
    done = scene.machine.run(["podman", "inspect", "--format", "{{.State.Pid}} {{.Id}}", name])
    pid, identifier = done.out.split()
    found = {"sentry": int(pid)}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0].startswith(b"runsc-gofer") and identifier in b" ".join(words).decode("utf-8", "replace"):
                found["gofer"] = int(entry.name)
    if len(found) != 2:
        raise Refused(f"found only {sorted(found)}")
    return found
