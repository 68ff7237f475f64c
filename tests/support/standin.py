"""The stand-in engine of faulty.py on a test machine."""

import json
import shutil

from machines import ROOT, Machine

SOURCE = ROOT / "tests" / "support" / "faulty.py"


class StandIn:
    """A program that the machine's aibox may be given as its engine."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.folder = machine, machine.workspace("engine")
        self.program = self.folder / machine.engine
        self.program.write_text("#!/usr/bin/python3 -I\n" + SOURCE.read_text())
        self.program.chmod(0o755)
        self.real = machine.run(["which", machine.engine]).out.strip()
        self.set("none", "fails", "before")
        for name in ("met.txt", "calls.txt"):
            (self.folder / name).touch()
        for file in (self.folder, *self.folder.iterdir()):
            shutil.chown(file, machine.uid, machine.uid)

    def set(self, command: str, fault: str, when: str) -> None:
        """Choose the fault."""
        given = {"command": command, "fault": fault, "when": when, "engine": self.real}
        (self.folder / "fault.json").write_text(json.dumps(given))

    def met(self) -> int:
        """How often the fault was met."""
        return len((self.folder / "met.txt").read_text().splitlines())

    def calls(self) -> list[str]:
        """The engine's commands since the last time."""
        noted = (self.folder / "calls.txt").read_text().splitlines()
        (self.folder / "calls.txt").write_text("")
        return noted
