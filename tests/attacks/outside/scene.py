"""The stage of the attempts from inside: a box with everything laid out, and the control runs beside it."""

import json
import os
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from controlruns import CONTROL_RUNS, OUTSIDE, OUTSIDE_ROOT, RUNC, ControlRun, create_words
from hostside import HostSide
from machines import PATIENCE, ROOT, Done, Machine

INSIDE = Path(__file__).resolve().parents[1] / "inside"
PYTHON = "/usr/bin/python3"
ATTACK = "/workspace/.attack"
SHM = "64M"
ATTEMPT_SECONDS = 45.0
# what the wrapper does for the sake of a rootful Podman 5, where no Gofer starts without it; none of its defences
PLAIN_RUNSC = """#!/usr/bin/python3 -IB
import json, os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import launch
bundle = launch.value_of(sys.argv[1:], "bundle", "b")
if bundle:
    with open(bundle + "/config.json", encoding="utf-8") as file:
        launch.open_the_way(bundle, json.load(file))
program = {program!r}
os.execv(program[0], [*program, *sys.argv[1:]])
"""


class Ending(NamedTuple):
    """How an attempt ended: `succeeded`, `refused`, `killed` or `hung`, and what it got or met."""

    ended: str
    what: str

    def __str__(self) -> str:
        return f"{self.ended}: {self.what}"


def numbers() -> dict[str, int]:
    """The numbers of all system calls on this machine, from the project's own table."""
    rows = (ROOT / "data" / "syscalls.tsv").read_text().splitlines()
    lines = [line.split("\t") for line in rows if line and not line.startswith("#")]
    column = lines[0].index(os.uname().machine)
    return {line[0]: int(line[column]) for line in lines[1:] if line[column] != "-"}


class Scene:
    """A running box with attempts in its workspace. `options` are further words for `aibox start`."""

    def __init__(self, machine: Machine, *options: str) -> None:
        self.machine = machine
        self.options = options
        self.place = machine.workspace("attacked")
        shutil.copytree(INSIDE, self.place / ".attack", ignore=shutil.ignore_patterns("__pycache__"))
        (self.place / ".attack" / "planted").mkdir()
        for path in (self.place / ".attack", *(self.place / ".attack").rglob("*")):
            os.chown(path, machine.uid, machine.uid)
        self.environment = {"CALLERS_TOKEN": "?"}
        self.create = self.dry_run()
        self.host = HostSide(Path(machine.home), self.user_on_host)
        self.environment["CALLERS_TOKEN"] = self.host.leak
        self.rows: list[tuple[str, str]] = []
        self.endings: dict[tuple[str, str], Ending] = {}
        self.ran: set[str] = set()
        self.made: list[str] = []
        self.kind = machine.name
        self.engine = "podman"

    def dry_run(self) -> list[str]:
        """The box's own `podman create`."""
        done = self.aibox("start", "--dry-run", "--json", *self.options)
        assert done.code == 0, str(done)
        return shlex.split(json.loads(done.out)["data"]["commands"][0])

    @property
    def name(self) -> str:
        """The box's name."""
        return self.create[self.create.index("--name") + 1]

    @property
    def root_on_host(self) -> int:
        """Who the box's root is on the host."""
        if not self.machine.rootless:
            return int(self.create[self.create.index("--uidmap") + 1].split(":")[1])
        lines = Path("/etc/subuid").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(f"{self.machine.user}:")).split(":")[1])

    @property
    def user_on_host(self) -> int:
        """Who the box's user is on the host."""
        return self.machine.uid if self.machine.rootless else self.root_on_host + 1000

    def aibox(self, verb: str, *words: str, timeout: float = 90) -> Done:
        """A verb about this box."""
        own = ("--workspace", str(self.place))
        return self.machine.aibox(verb, *own, *words, timeout=timeout, environment=self.environment)

    def start(self) -> None:
        """Start the box and lay everything out."""
        done = self.aibox("start", *self.options)
        assert done.code == 0, str(done)
        self.lay_out()

    def lay_out(self) -> None:
        """Put everything into place that attempts need."""
        copying = f"cp /usr/bin/id /usr/bin/grep {ATTACK}/planted/ && cp /usr/bin/id /home/dev/planted-setuid"
        words = ("sh", "-c", copying)
        done = self.aibox("exec", "--", *words)
        assert done.code == 0, str(done)
        self.plant()
        self.describe()

    def plant(self) -> None:
        """As the host's root: what a box must not be able to use."""
        planted = self.place / ".attack" / "planted"
        home = next(word for word in self.create if "destination=/home/dev," in word)
        volume = home.split("source=")[1].split(",")[0]
        found = self.machine.run([self.engine, "volume", "inspect", "--format", "{{.Mountpoint}}", volume])
        in_home = f"{found.out.strip()}/planted-setuid"
        root = self.root_on_host
        script = f"""set -e
            # copies, because the Gofer may still hold what the box wrote open for writing
            cp {planted}/id {planted}/setuid; cp {planted}/grep {planted}/capable
            cp {in_home} {in_home}.new; mv {in_home}.new {in_home}
            chown {root}:{root} {planted}/setuid {planted}/capable {in_home}
            chmod 4755 {planted}/setuid {in_home}; chmod 755 {planted}/capable
            setcap -n {root} cap_sys_admin,cap_net_raw+ep {planted}/capable
            mknod -m 666 {planted}/kmsg c 1 11
            ln -s {self.host.secret} {planted}/link; ln -s ../../../{self.host.secret.name} {planted}/dots
            test $(stat -c %u {in_home}) = {root}"""
        done = self.machine.run(["sh", "-c", script], root=True)
        assert done.code == 0, str(done)
        self.host.listen(planted / "socket")
        seen = self.aibox("exec", "--", "stat", "-c", "%u %a", f"{ATTACK}/planted/setuid", "/home/dev/planted-setuid")
        assert seen.out.split() == ["0", "4755", "0", "4755"], str(seen)

    def describe(self) -> None:
        """Write what attempts need to know, for boxes and for control runs."""
        engine_sockets = [str(self.place.parent / "engine.sock")]
        if not os.path.exists(engine_sockets[0]):
            self.host.listen(Path(engine_sockets[0]))
        for control in (False, True):
            content = {
                **self.host.describe(),
                "calls": numbers(),
                "control": control,
                "seconds": ATTEMPT_SECONDS * PATIENCE,
                "writable": ["/workspace", "/home/dev", "/tmp"],
                "engine_sockets": [*engine_sockets, "/run/podman/podman.sock", "/var/run/docker.sock"],
                "peer": "aibox-peer-control" if control else "aibox-peer",
            }
            path = self.place / ".attack" / f"scene-{'control' if control else 'box'}.json"
            path.write_text(json.dumps(content))
            os.chown(path, self.machine.uid, self.machine.uid)

    def ending(self, run: str, program: str) -> Ending:
        """How a program ended in the box or in a control run, which is made whole when it is first asked for."""
        if run not in self.ran:
            self.ran.add(run)
            programs = [name for name, control in self.rows if run in ("box", control)]
            if run == "box":
                self.attack(programs)
            else:
                self.control(CONTROL_RUNS[run], programs)
        return self.endings.get((run, program)) or Ending("broken", f"{run} did not come about")

    def attack(self, programs: Iterable[str]) -> None:
        """All attempts in one session of the box."""
        words = [PYTHON, f"{ATTACK}/run.py", f"{ATTACK}/scene-box.json", *programs]
        done = self.aibox("exec", "--", *words, timeout=900)
        self.note("box", done, programs)

    def control(self, run: ControlRun, programs: Iterable[str]) -> None:
        """The same programs without the defence."""
        names = list(programs)
        if run.runtime in (OUTSIDE, OUTSIDE_ROOT):
            folder = self.outside_copy()
            words = [PYTHON, f"{folder}/run.py", f"{folder}/scene-control.json", *names]
            self.note(run.id, self.machine.run(words, root=run.runtime == OUTSIDE_ROOT, timeout=900), names)
            return
        name = f"{self.name}-{run.id}"
        self.made.append(name)
        for words in (
            create_words(self.create, run, name, self.runtime(run), str(self.place)),
            ["podman", "start", name],
        ):
            done = self.machine.run(words, environment=self.environment)
            assert done.code == 0, f"{run.id}: {done}"
        words = [PYTHON, f"{ATTACK}/run.py", f"{ATTACK}/scene-control.json", *names]
        done = self.machine.run(["podman", "exec", name, *words], timeout=900, environment=self.environment)
        self.note(run.id, done, names)

    def runtime(self, run: ControlRun) -> str:
        """The runtime of a control run: runc, or the box's own without aibox's wrapper."""
        if run.runtime == RUNC:
            return "runc"
        wrapper = f"{self.machine.home}/plain-runsc"
        flags = ["--network=none", "--overlay2=none", *(["--ignore-cgroups"] if self.machine.rootless else [])]
        text = PLAIN_RUNSC.format(program=[str(self.machine.runsc), *flags])
        self.machine.write(f"{self.machine.home}/launch.py", (ROOT / "data" / "launch.py").read_text())
        self.machine.write(wrapper, text, 0o755)
        return wrapper

    def outside_copy(self) -> str:
        """The attempts on the host. What they look for under the box's paths is looked for there."""
        folder = self.place.parent / "attack-outside"
        if not folder.exists():
            shutil.copytree(
                self.place / ".attack", folder, ignore=shutil.ignore_patterns("socket", "kmsg", "setuid", "capable")
            )
            for path in folder.rglob("*.py"):
                path.write_text(path.read_text().replace("/workspace/.attack", str(self.place / ".attack")))
            scene = json.loads((folder / "scene-control.json").read_text())
            scene["writable"] = [str(self.place)]
            (folder / "scene-control.json").write_text(json.dumps(scene))
        return str(folder)

    def note(self, run: str, done: Done, programs: Iterable[str]) -> None:
        """Keep how each program ended."""
        for line in done.out.splitlines():
            told = json.loads(line)
            self.endings[run, told["program"]] = Ending(told["ended"], told["what"])
        for program in programs:
            self.endings.setdefault((run, program), Ending("killed", f"no word of it: {done}"))

    def end(self) -> None:
        """Remove everything."""
        if self.made:
            self.machine.run(["podman", "rm", "--force", "--time", "0", *self.made], timeout=90)
        self.aibox("destroy")
        self.host.end()
