"""Everything that a test machine holds at one moment, seen from the host: what a leak would add to."""

import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from machines import FRESH, Machine

# files of images and volumes, which the engine keeps by design, and the kernel's view of a box's own files
PRUNED = ("*/storage/overlay", "*/storage/overlay-layers", "*/volumes/*/_data", "*/docker/overlay2", "*/docker/image",
          "*/docker/buildkit", "/run/user/*/runsc/*/fd", "*/home/project-*", "*/home/many*")  # fmt: skip
TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")


class Census(NamedTuple):
    """Names of all that is there, each with how often; `descriptors` are those of dockerd."""

    processes: Counter[str]
    mounts: Counter[str]
    cgroups: Counter[str]
    containers: Counter[str]
    volumes: Counter[str]
    files: Counter[str]
    descriptors: int

    def grown(self, later: "Census") -> dict[str, list[str]]:
        """By kind, what there is more of later."""
        found = {}
        for name, old, new in zip(self._fields, self, later, strict=True):
            if isinstance(old, Counter) and isinstance(new, Counter) and new - old:
                found[name] = sorted((new - old).elements())
        # dockerd keeps a few for its clients' connections, which come and go
        if later.descriptors > self.descriptors + 5:
            found["descriptors"] = [f"{self.descriptors} -> {later.descriptors}"]
        return found

    def sizes(self) -> dict[str, int]:
        """How many of each kind."""
        counted = {name: part.total() for name, part in self._asdict().items() if isinstance(part, Counter)}
        return {**counted, "descriptors": self.descriptors}


class Seen(NamedTuple):
    """One process of the host."""

    pid: int
    words: tuple[str, ...]
    space: str
    uid: int


def take(machine: Machine, box: str = "") -> Census:
    """Count everything; `box` is the identifier of a box whose processes and cgroups count wherever they are."""
    mine = processes(machine, box)
    spaces = {process.space: process.pid for process in mine}
    mounts: Counter[str] = Counter()
    for pid in spaces.values():
        mounts.update(_mounts(pid))
    return Census(
        Counter(_shown(process) for process in mine),
        mounts,
        Counter(_cgroups(box)),
        Counter(machine.run([machine.engine, "ps", "--all", "--quiet"], timeout=120).out.split()),
        Counter(machine.run([machine.engine, "volume", "ls", "--quiet"], timeout=120).out.split()),
        Counter(_files(machine)),
        len(os.listdir(f"/proc/{int(machine.read('/run/docker.pid'))}/fd")) if machine.daemon else 0,
    )


def processes(machine: Machine, box: str) -> list[Seen]:
    """Those in the machine's mount namespace, of its user or of the user's subordinate ids, and those that name it."""
    assert machine.holder
    home = os.readlink(f"/proc/{machine.holder.pid}/ns/mnt")
    ids = _ids(machine)
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = tuple((entry / "cmdline").read_bytes().decode("utf-8", "replace").rstrip("\0").split("\0"))
            one = Seen(int(entry.name), words, os.readlink(entry / "ns/mnt"), entry.stat().st_uid)
        except OSError:
            continue
        named = str(machine.folder) in " ".join(words) or (box and box in " ".join(words))
        # what only looks, such as this test and its children, is in the host's own namespace
        if one.space == home or one.uid in ids or (named and one.space != os.readlink("/proc/self/ns/mnt")):
            found.append(one)
    return found


def _ids(machine: Machine) -> range | tuple[int, ...]:
    if not machine.rootless:
        return ()
    rows = (line.split(":") for line in Path("/etc/subuid").read_text().splitlines())
    row = next((row for row in rows if row[0] == machine.user), None)
    subordinate = range(int(row[1]), int(row[1]) + int(row[2])) if row else ()
    return (machine.uid, *subordinate)


def _shown(process: Seen) -> str:
    """A process by its program and its first words: numbers behind them differ each time."""
    return " ".join(os.path.basename(word) for word in process.words[:2]) or "(no command)"


def _mounts(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/mountinfo").read_text()
    except OSError:
        return []
    return [line.split(" ")[4] for line in text.splitlines()]


def _cgroups(box: str) -> list[str]:
    if not box:
        return []
    return [folder for folder, _, _ in os.walk("/sys/fs/cgroup") if box in os.path.basename(folder)]


def _files(machine: Machine) -> list[str]:
    """Every path in the folders that are the machine's own; in the shared temporary ones, aibox's and the engines'."""
    pruned = [word for pattern in PRUNED for word in ("-path", pattern, "-prune", "-o")]
    own = [*FRESH, machine.home, machine.data]
    done = machine.run(["find", *dict.fromkeys(own), "-xdev", *pruned, "-print"], root=True, timeout=300)
    found = list(dict.fromkeys(done.out.splitlines()))
    named = ("*aibox*", "*podman*", "*containers*", "*runsc*", "*docker*", "*libpod*")
    wanted = [word for pattern in named for word in ("-name", pattern, "-o")][:-1]
    user = ["-user", machine.user] if machine.rootless else []
    words = ["find", *TEMPORARY, "-maxdepth", "1", "-path", "/var/tmp/aibox-tests", "-prune", "-o", *user, "(", *wanted,
             ")", "-print"]  # fmt: skip
    return [*found, *machine.run(words, root=True, timeout=120).out.splitlines()]
