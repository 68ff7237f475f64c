"""Killing aibox at random moments of its work on a volume, and looking at what is there then."""

import ast
import hashlib
import os
import random
import secrets
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from machines import Machine

# a tree as the test sees it, without aibox's own code: run as root, with the tree as the argument
FACTS = """
import hashlib, os, stat, sys
top = os.fsencode(sys.argv[1])
total = hashlib.sha256()
inodes = {}
rows = []
for folder, folders, files in os.walk(top):
    for name in [b"", *folders, *files]:
        path = os.path.join(folder, name) if name else folder
        if not name and folder != top:
            continue
        s = os.lstat(path)
        plain = stat.S_ISREG(s.st_mode)
        content = b""
        if plain:
            first = inodes.setdefault(s.st_ino, os.path.relpath(path, top)) if s.st_nlink > 1 else b""
            with open(path, "rb") as file:
                content = hashlib.sha256(file.read()).hexdigest().encode()
        names = sorted(n for n in os.listxattr(path, follow_symlinks=False) if n.startswith(("user.", "system.")))
        rows.append(repr((os.path.relpath(path, top), oct(s.st_mode), s.st_uid, s.st_gid, s.st_mtime_ns,
            s.st_size * plain, s.st_nlink * plain, content, os.readlink(path) if stat.S_ISLNK(s.st_mode) else b"",
            [(n, os.getxattr(path, n, follow_symlinks=False)) for n in names])))
beside = sorted(n for n in os.listdir(os.path.dirname(top)) if n != os.path.basename(top))
print(repr(beside))
print("\\n".join(sorted(rows)))
"""


def tree(machine: Machine, folder: str) -> tuple[list[str], str]:
    """What lies beside a volume's data, and every fact about the data."""
    done = machine.run(["python3", "-I", "-c", FACTS, folder], root=True)
    assert done.code == 0, str(done)
    beside, _, rows = done.out.partition("\n")
    return [name.strip("'b") for name in beside.strip("[]").split(", ") if name], rows


def brief(rows: str) -> str:
    """A name for a tree."""
    return hashlib.sha256(rows.encode()).hexdigest()[:12]


def progress(what: str, kills: int, seen: Mapping[str, int]) -> None:
    """Say now and then how far a long loop is; with pytest's -s it is seen at once."""
    if kills % 20 == 0:
        os.write(2, f"{what}: {kills} kills, {dict(seen)}\n".encode())


def data_of(machine: Machine, purpose: str) -> str:
    """The folder of a volume of the machine's user."""
    name = f"aibox-{machine.user}-{purpose}"
    done = machine.run(["podman", "volume", "inspect", "--format", "{{.Mountpoint}}", name])
    assert done.code == 0, str(done)
    return done.out.strip()


def descendants(pid: int) -> list[int]:
    """A process and everything that it started."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path(f"/proc/{entry}/stat").read_text()
            except OSError:
                continue
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry))
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting += parents.get(one, [])
    return found


@dataclass
class Loop:
    """Kills of one command: `words` is it, `allowed` names the trees that may be there afterwards."""

    machine: Machine
    folder: str
    allowed: dict[str, str]
    seed: str = field(default_factory=lambda: os.environ.get("AIBOX_TEST_SEED") or secrets.token_hex(4))
    seen: dict[str, int] = field(default_factory=dict)
    # with the time of the volume's own folder, or without it
    whole: bool = True
    leftovers: int = 0
    ended: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def shown(self, rows: str) -> str:
        """The facts that are compared."""
        if self.whole:
            return rows
        return "\n".join(
            repr(ast.literal_eval(line)[1:4]) if line.startswith("(b'.',") else line for line in rows.splitlines()
        )

    def judge(self, moment: str) -> str:
        """Which of the trees is there; anything else is a failure."""
        beside, rows = tree(self.machine, self.folder)
        name = self.allowed.get(brief(self.shown(rows)))
        assert name, (
            f"seed {self.seed}, {moment}: neither the old nor the new volume, beside it {beside}\n{rows[:3000]}"
        )
        self.leftovers += bool(beside)
        return name

    def kill(self, words: list[str], longest: float) -> None:
        """Run a command, kill it at a random moment (alone, or with all that it started), and look twice."""
        argv = self.machine.inside([str(self.machine.zipapp), *words])
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        wait, everything = self.random.uniform(0, longest), self.random.random() < 0.5
        time.sleep(wait)
        for pid in descendants(child.pid) if everything else [child.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.ended += child.wait() == 0
        moment = f"killed after {wait:.3f} s{' with all it started' if everything else ''}"
        self.judge(moment)
        # what an orphan could still do, it does now
        time.sleep(0.15)
        name = self.judge(f"{moment}, a moment later")
        self.seen[name] = self.seen.get(name, 0) + 1
        progress(" ".join(words[:2]), sum(self.seen.values()), self.seen)

    def converge(self, words: list[str], name: str) -> float:
        """The next run succeeds, reaches its goal, and leaves nothing beside it; returns its seconds."""
        began = time.monotonic()
        self.machine.ok(*words)
        took = time.monotonic() - began
        assert self.judge("after a whole run") == name
        assert tree(self.machine, self.folder)[0] == []
        return took


SEED_TREE = """set -e; cd "$1"; find . -mindepth 1 -delete; i=0
while [ $i -lt 40 ]; do
    mkdir -p d$((i % 7)); head -c $((i * 3000 + 1)) /dev/urandom > d$((i % 7))/f$i; i=$((i + 1))
done
ln d0/f0 hard; ln -s ../x link; mkfifo pipe; truncate -s 5M holes; echo "$2" > name; chmod 4750 d1/f1
chown -R "$3:$3" .
"""


def restore_loop(machine: Machine, kills: int) -> Loop:
    """Kills of `volume restore`, between two backups."""
    place = machine.workspace()
    machine.ok("run", "--rm", "--workspace", str(place), "--", "true")
    folder = data_of(machine, "home")
    owner = machine.run(["stat", "-c", "%u", folder], root=True).out.strip()
    names = {}
    for name in ("one", "two"):
        done = machine.run(["sh", "-c", SEED_TREE, "sh", folder, name, owner], root=True)
        assert done.code == 0, str(done)
        machine.ok("volume", "backup", "home", "-o", str(place / f"{name}.tar"))
        names[brief(tree(machine, folder)[1])] = name
    loop = Loop(machine, folder, names)
    words = {name: ["volume", "restore", "home", str(place / f"{name}.tar"), "--yes"] for name in ("one", "two")}
    longest = max(loop.converge(words[name], name) for name in ("one", "two", "one")) * 1.1
    for number in range(kills):
        loop.kill(words[("one", "two")[number % 2]], longest)
        if number % 10 == 9:
            name = loop.random.choice(("one", "two"))
            loop.converge(words[name], name)
    return loop


def repair_loop(machine: Machine, kills: int) -> Loop:
    """Kills of `repair cache`, each on a full cache."""
    place = machine.workspace()
    machine.ok("run", "--rm", "--workspace", str(place), "--", "true")
    folder, source = data_of(machine, "npm-cache"), str(place / "full")
    owner = machine.run(["stat", "-c", "%u", folder], root=True).out.strip()
    loop = Loop(machine, folder, {}, whole=False)
    loop.allowed[brief(loop.shown(tree(machine, folder)[1]))] = "empty"
    done = machine.run(["sh", "-c", f'mkdir "$1"; {SEED_TREE}', "sh", source, "full", owner], root=True)
    assert done.code == 0, str(done)
    refill = ["sh", "-c", 'find "$1" -mindepth 1 -delete; cp --archive "$2"/. "$1"', "sh", folder, source]
    assert machine.run(refill, root=True).code == 0
    loop.allowed[brief(loop.shown(tree(machine, folder)[1]))] = "full"
    words = ["repair", "cache", "npm", "--yes"]
    longest = loop.converge(words, "empty") * 1.1
    for number in range(kills):
        if loop.judge("before a kill") == "empty":
            assert machine.run(refill, root=True).code == 0
        loop.kill(words, longest)
        if number % 10 == 9:
            loop.converge(words, "empty")
    return loop
