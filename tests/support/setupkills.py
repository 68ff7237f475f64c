"""Killing `setup --bundle` and `update` at random moments, and looking at what boxes and volumes are then."""

import json
import os
import random
import secrets
import signal
import subprocess
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

from conmons import unknown
from kills import SEED_TREE, brief, data_of, descendants, progress, tree
from machines import LOCAL_IMAGE, Machine
from registry import Registry

SECONDS = 600.0
WHOLE = 2  # runs before the first kill, to know how long they take
# an image that is only what a box needs, so that many runs take little time: no compiler, no manual, no git
SLIM = """
import io, os, sys, tarfile
left_out = ("usr/share/", "usr/include/", "usr/lib/gcc", "usr/libexec/gcc", "usr/lib/git-core", "usr/lib/python3",
            "var/lib/dpkg", "var/cache/", "dev/", "proc/", "sys/")
out = tarfile.open(fileobj=sys.stdout.buffer, mode="w|")
with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as whole:
    for member in whole:
        if not member.name.startswith(left_out) and not member.linkname.startswith(left_out):
            out.addfile(member, whole.extractfile(member) if member.isreg() else None)
mark = tarfile.TarInfo("usr/lib/generation")
mark.size = 8 << 20
out.addfile(mark, io.BytesIO(os.urandom(mark.size)))
out.close()
"""
IMPORT = """set -e; podman rm --force slim >/dev/null 2>&1 || true; podman create --name slim "$1" true >/dev/null
podman export slim | python3 -I -c "$2" | podman import --quiet --change USER=1000:1000 --change WORKDIR=/workspace \
    --change "ENV GENERATION=$4" - "$3"; podman rm slim >/dev/null"""
# what no finished command leaves: an unpacked bundle, folders of throw-away boxes, unfinished files
LITTER = """for place in "$@"; do
    find "$place" -name '*.new' 2>/dev/null; ls -d "$place"/bundle/* "$place"/proof/* 2>/dev/null
done; true"""


def slim(machine: Machine, name: str, generation: int) -> str:
    """A small image that boxes start from; its id."""
    done = machine.run(["sh", "-c", IMPORT, "sh", LOCAL_IMAGE, SLIM, name, str(generation)], timeout=SECONDS)
    assert done.code == 0, str(done)
    return machine.run(["podman", "image", "inspect", "--format", "{{.Id}}", name]).out.strip()


@dataclass
class Host:
    """A machine with a running box and volumes that hold something; commands on it are killed."""

    machine: Machine
    seed: str = field(default_factory=lambda: os.environ.get("AIBOX_TEST_SEED") or secrets.token_hex(4))
    seen: Counter[str] = field(default_factory=Counter)
    # seconds of the latest whole runs; a kill falls into the longest of them
    took: deque[float] = field(default_factory=lambda: deque(maxlen=4))

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.box = self.machine.workspace("survivor")
        self.start()
        self.folders = [data_of(self.machine, name) for name in ("home", "npm-cache")]
        for folder in self.folders:
            owner = self.machine.run(["stat", "-c", "%u", folder], root=True).out.strip()
            done = self.machine.run(["sh", "-c", SEED_TREE, "sh", folder, "kept", owner], root=True)
            assert done.code == 0, str(done)
        # a box that starts makes the folders over its caches again
        self.machine.ok("restart", "--workspace", str(self.box))
        self.before = self.bytes()
        self.volumes = self.names("volume", "ls")

    def start(self) -> None:
        """The box runs."""
        self.machine.ok("start", "--workspace", str(self.box), timeout=SECONDS)

    def bytes(self) -> list[str]:
        """The volumes, every fact of them."""
        return [brief(tree(self.machine, folder)[1]) for folder in self.folders]

    def names(self, *words: str) -> set[str]:
        """Names that the engine lists."""
        done = self.machine.run(["podman", *words, "--format", "{{.Name}}" if "volume" in words else "{{.Names}}"])
        assert done.code == 0, str(done)
        return set(done.out.split())

    def record(self) -> dict[str, dict[str, str]]:
        """What setup and update keep; never half of it."""
        known: dict[str, dict[str, str]] = json.loads(self.machine.read(f"{self.machine.data}/setup.json"))
        return known

    def litter(self) -> list[str]:
        """Boxes and files that should not last."""
        boxes = [name for name in self.names("ps", "--all") if ".proof" in name]
        run = f"/run/user/{self.machine.uid}/aibox" if self.machine.rootless else "/run/aibox"
        found = self.machine.run(["sh", "-c", LITTER, "sh", self.machine.data, run, "/etc/aibox"], root=True)
        return [*boxes, *sorted(self.names("volume", "ls") - self.volumes), *found.out.split()]

    def judge(self, moment: str, allowed: set[str]) -> None:
        """No byte of a volume is lost, and the image in use is a whole one that the engine has."""
        assert self.bytes() == self.before, f"seed {self.seed}, {moment}: a volume is not what it was"
        image = self.record()["image"]["id"]
        assert image in allowed, f"seed {self.seed}, {moment}: {image} is in use"
        assert self.machine.run(["podman", "image", "exists", image]).code == 0, f"{moment}: {image} is lost"

    def kill(self, words: list[str], allowed: set[str]) -> None:
        """Run a command and kill it at a random moment, alone or with all it started; one that ended is no kill."""
        argv = self.machine.inside([str(self.machine.zipapp), *words])
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait, everything = self.random.uniform(0, max(self.took)), self.random.random() < 0.5
        try:
            assert child.wait(wait) == 0, f"seed {self.seed}: {words} failed"
            self.seen["ended before"] += 1
            return
        except subprocess.TimeoutExpired:
            for pid in descendants(child.pid) if everything else [child.pid]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            child.wait()
        self.seen["kills"] += 1
        lost = unknown(self.machine)
        self.seen["with leftovers"] += bool(lost or self.litter())
        self.seen["with processes unknown to Podman"] += bool(lost)
        progress(words[0], self.seen["kills"], self.seen)
        self.judge(f"killed after {wait:.3f} s{' with all it started' if everything else ''}", allowed)

    def converge(self, words: list[str], wanted: str) -> None:
        """The next run succeeds, reaches its goal, and leaves nothing beside it; the box and its home are there."""
        fresh, began = self.record()["image"]["id"] != wanted, time.monotonic()
        done = self.machine.ok(*words, timeout=SECONDS)
        if fresh:
            self.took.append(time.monotonic() - began)
        kept = self.record()
        assert (kept["image"]["id"], kept["proof"]["image"]) == (wanted, wanted), f"seed {self.seed}: {done}"
        assert [*self.litter(), *unknown(self.machine)] == [], f"seed {self.seed}: left over after {done}"
        assert self.bytes() == self.before, f"seed {self.seed}: a volume is not what it was after {done}"
        self.start()
        where = ("--workspace", str(self.box))
        assert self.machine.ok("exec", *where, "--", "cat", "/home/dev/name").out == "kept\n"
        self.seen["converged"] += 1


def bundle_loop(machine: Machine, kills: int, runscs: tuple[Path, Path]) -> Host:
    """Kills of `setup --bundle`, from one bundle to the other: another image and another gVisor in each."""
    host = Host(machine)
    bundles = []
    for number, runsc in enumerate(runscs, 1):
        name = f"localhost/aibox/slim:{number}"
        identifier = slim(machine, name, number)
        machine.ok("setup", "--yes", "--runsc", str(runsc), "--image", name, timeout=SECONDS)
        path = f"{machine.home}/{number}.bundle"
        machine.ok("bundle", "create", "--image", name, "--output", path, timeout=SECONDS)
        bundles.append((["setup", "--yes", "--bundle", path], identifier, name))
    here = 1
    while host.seen["kills"] < kills:
        words, wanted, _ = bundles[1 - here]
        _, present, name = bundles[here]
        if host.seen["converged"] >= WHOLE:
            host.kill(words, {wanted, present})
            # half of the time the run after a kill is killed as well
            if host.seen["kills"] < kills and host.random.random() < 0.5:
                continue
        host.converge(words, wanted)
        machine.run(["podman", "rmi", "--force", name])
        here = 1 - here
    machine.ok("verify", "--workspace", str(host.box))
    return host


def update_loop(machine: Machine, kills: int) -> Host:
    """Kills of `update`, with `--recreate` and without, through three images of a registry."""
    host, registry = Host(machine), Registry()
    reference = f"{registry.name}/aibox/slim:1"
    machine.write("/etc/containers/registries.conf", f'[[registry]]\nlocation = "{registry.name}"\ninsecure = true\n')
    folders: list[tuple[Path, str]] = []
    for number in range(3):
        name = f"localhost/aibox/slim:{number}"
        identifier, folder = slim(machine, name, number), Path(machine.home) / f"image-{time.monotonic_ns()}"
        save = ["podman", "save", "--quiet", "--format", "docker-dir", "--output", str(folder), name]
        assert machine.run(save, timeout=SECONDS).code == 0
        machine.run(["podman", "rmi", "--force", name])
        folders.append((folder, identifier))
    here, set_up = 0, ["--yes", "--image", reference, "--pull", "always"]
    try:
        registry.folder = folders[here][0]
        machine.ok("setup", *set_up, timeout=SECONDS)
        words = ["update", "--yes", "--image", reference]
        while host.seen["kills"] < kills:
            registry.folder, wanted = folders[(here + 1) % 3]
            present = folders[here][1]
            again = [*words, "--recreate"] if host.random.random() < 0.5 else words
            if host.seen["converged"] >= WHOLE:
                host.kill(again, {wanted, present})
                if host.seen["kills"] < kills and host.random.random() < 0.5:
                    continue
            host.converge(again, wanted)
            previous = host.record()["image_previous"]["id"]
            assert previous == present, f"seed {host.seed}: the way back leads to {previous}"
            assert machine.run(["podman", "image", "exists", present]).code == 0
            here = (here + 1) % 3
        machine.ok("verify", "--workspace", str(host.box))
    finally:
        registry.close()
    return host
