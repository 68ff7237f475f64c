"""Plain Podman, as an attacker or a control run uses it, and how aibox's answers are read."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from machines import LOCAL_IMAGE, Done
from scene import Scene

LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")


class Refused(Exception):  # noqa: N818 - it is what the attempt meets, and no error of the program
    """The attempt was stopped; the text is an error's code, or says by what."""


def podman_run(
    scene: Scene,
    options: Sequence[str],
    words: Sequence[str],
    image: str = LOCAL_IMAGE,
    environment: Mapping[str, str] | None = None,
) -> Done:
    """A container without any of aibox's controls."""
    argv = ["podman", "--runtime", "runc", "run", "--rm", "--network", "none", *LIMITS, *options, image, *words]
    return scene.machine.run(argv, environment=environment)


def worked(done: Done, text: str = "") -> str:
    """What a command printed, if it succeeded and printed `text`; else it was refused."""
    if done.code or text not in done.out:
        raise Refused((done.err.strip() or done.out.strip() or f"exit {done.code}").splitlines()[-1])
    return done.out.strip()


def started(scene: Scene, place: Path | str, *words: str, environment: Mapping[str, str] | None = None) -> str:
    """Start a box there; the name of it, or Refused with the error's code."""
    done = scene.machine.aibox("start", "--workspace", str(place), "--json", *words, environment=environment)
    assert "Traceback" not in done.err, str(done)
    document = json.loads(done.out)
    if not document["ok"]:
        print(document["error"])  # what a failing test shows
        raise Refused(document["error"]["code"])
    return str(document["data"]["box"])


def in_box(scene: Scene, place: Path | str, *words: str, options: Sequence[str] = ()) -> Done:
    """A command in the box of a folder."""
    return scene.machine.aibox("exec", "--workspace", str(place), *options, "--", *words)


def destroy(scene: Scene, place: Path | str) -> None:
    """Remove the box of a folder, if there is one."""
    scene.machine.aibox("destroy", "--workspace", str(place))


def folder(scene: Scene, name: str) -> Path:
    """A folder of the host that belongs to the caller and holds the secret."""
    place = scene.machine.workspace(name)
    (place / "secret").write_text("the host's secret\n")
    return place


def hand_over(scene: Scene, *paths: Path) -> None:
    """Make files belong to the caller."""
    done = scene.machine.run(["chown", "-h", str(scene.machine.uid), *map(str, paths)], root=True)
    assert done.code == 0, str(done)


def program(scene: Scene, path: Path, text: str) -> None:
    """A script that the caller can run."""
    path.write_text(text)
    path.chmod(0o755)
    hand_over(scene, path)


def quoted(*words: object) -> str:
    """Words for a shell script."""
    return shlex.join(map(str, words))
