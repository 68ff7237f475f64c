#!/usr/bin/env python3
"""What a user sees: scenes that are played on a terminal of 80 columns with the built zipapp, and put into the docs.

Usage: tests/support/transcripts.py --write    plays all scenes and writes them into docs/tutorial.md
A scene stands between `<!-- transcript: NAME -->` and `<!-- end -->`; tests/engine/test_transcripts.py compares them.
"""

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from hosts import build
from machines import PATH, ROOT, WORK, Machine

PAGE = ROOT / "docs" / "tutorial.md"
PLACE = re.compile(r"(<!-- transcript: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
USER, HOME = "dev1", "/home/dev1"
END = re.compile(r"^@@ ([0-9]+)\n", re.MULTILINE)
QUESTION = b"[y/N] "
SECONDS = 900.0
COLUMNS = 80


class Scene(NamedTuple):
    """Lines that a user types, in order, in one shell; `before` is what somebody did to the machine, unseen."""

    name: str
    lines: tuple[str, ...]
    before: str = ""


# in this order on one machine, which has Podman and a user, and has never seen aibox
SCENES = (
    Scene("before-setup", ("aibox start --workspace ~/project",)),
    Scene("first-run", ("aibox setup",)),
    Scene("second-run", ("aibox setup",)),
    Scene(
        "first-box",
        (
            "aibox start --workspace ~/project",
            "cd ~/project",
            "aibox exec -- sh -c 'id -u; echo hello > greeting'",
            "ls",
            "aibox status",
            "aibox list",
        ),
    ),
    Scene("forbidden", ("aibox start --workspace ~", "aibox start --workspce ~/project", "aibox strat")),
    Scene("no-box", ("mkdir -p ~/other && cd ~/other", "aibox exec -- make")),
    Scene(
        "edited-wrapper",
        (
            "cd ~/project && aibox restart",
            "aibox doctor --check wrapper",
            "aibox setup --yes",
            "aibox restart",
            "aibox doctor --check wrapper",
        ),
        before='for file in ~/.local/share/aibox/runtimes/*/aibox-runsc; do echo "# x" >> "$file"; done',
    ),
)


@contextmanager
def newcomer(zipapp: Path) -> Iterator[Machine]:
    """A machine of the user dev1 in /home/dev1, where nothing but the engine is installed."""
    folder = Path(tempfile.mkdtemp(prefix="transcript-", dir=WORK))
    os.chmod(folder, 0o755)
    machine = Machine("rootless-transcript", True, Path("/nonexistent"), zipapp, folder / "m")
    machine.enter()
    try:
        machine.own_etc()
        # the namespace's own names, so that what is printed is as wide as with any short name
        script = f"""set -e; mount -t tmpfs -o mode=0755 none /home; mkdir {HOME}; mount --bind {machine.home} {HOME}
        for file in passwd group subuid subgid; do
            sed -i 's,^{machine.user}:,{USER}:,; s,:{machine.home}:,:{HOME}:,' /etc/$file
        done
        mkdir -p {HOME}/bin {HOME}/project; ln -s {zipapp} {HOME}/bin/aibox
        echo 'int main(void) {{ return 0; }}' > {HOME}/project/main.c
        chown -R {machine.uid}:{machine.uid} {HOME}/bin {HOME}/project"""
        done = machine.run(["sh", "-c", script], root=True)
        assert done.code == 0, str(done)
        yield machine
    finally:
        machine.leave()


def play(machine: Machine, scene: Scene) -> str:
    """The scene as a terminal of 80 columns shows it, with the typed lines."""
    if scene.before:
        done = machine.run(["sh", "-c", scene.before], environment={"HOME": HOME})
        assert done.code == 0, str(done)
    script = "\n".join(part for line in scene.lines for part in (line, 'echo "@@ $?"'))
    environment = {"HOME": HOME, "USER": USER, "NO_COLOR": "1", "PATH": f"{HOME}/bin:{PATH}"}
    command = machine.inside(["setsid", "--ctty", "sh", "-c", f"cd; {script}"], environment=environment)
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    child = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        shown = conversation(ours)
    finally:
        child.kill()
        child.wait()
        os.close(ours)
    parts = END.split(shown)
    assert len(parts) == 2 * len(scene.lines) + 1, shown
    return "".join(f"$ {line}\n{parts[2 * at]}" for at, line in enumerate(scene.lines))


def conversation(terminal: int) -> str:
    """All that comes out of a terminal until its programs end; questions are answered with yes."""
    seen, deadline = b"", time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            return seen.decode().replace("\r\n", "\n")
        seen += piece
        if seen.endswith(QUESTION):
            os.write(terminal, b"y\n")
    raise AssertionError(f"it does not end: {seen.decode()}")


def normal(text: str) -> list[str]:
    """What does not differ between runs and networks: no times, sizes and ids, no details of ways that were tried."""
    text = re.sub(r"\b[0-9a-f]{12,64}\b", "ID", text)
    text = re.sub(r"\b[0-9]+(\.[0-9]+)? (s|B|KiB|MiB|GiB)\b", r"N \2", text)
    text = re.sub(r"\b([0-9]+ (day|hour|minute)s? ago|just now)\b", "AGO", text)
    text = re.sub(r"\b(Podman|podman) [0-9][0-9.]*", r"\1 N", text)
    text = re.sub(r"\b[0-9]+ (of [0-9]+ )?(host )?checks", "N checks", text)
    return [
        re.sub(" +", " ", line) for line in text.splitlines() if not re.match(r"  +(?! |will:|fix:|why:|more:)", line)
    ]


def written(page: str) -> dict[str, str]:
    """The scenes of a page."""
    return {match[2]: match[0].partition("```console\n")[2].rpartition("```\n")[0] for match in PLACE.finditer(page)}


def main() -> int:
    """Play all and write them."""
    page = PAGE.read_text(encoding="utf-8")
    builds = build()
    with newcomer(next(builds)) as machine:
        played = {scene.name: play(machine, scene) for scene in SCENES}
    next(builds, None)
    page = PLACE.sub(lambda match: f"{match[1]}```console\n{played[match[2]]}```\n{match[3]}", page)
    if "--write" in sys.argv:
        PAGE.write_text(page, encoding="utf-8")
    else:
        sys.stdout.write("\n".join(f"## {name}\n{text}" for name, text in played.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
