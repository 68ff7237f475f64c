"""A box under runc, made by hand from aibox's own command line with the profile for the host's kernel.

aibox itself refuses runc on a host without AppArmor; the attempts show what the other controls hold there.
"""

import json

from controlruns import RUNC, SAME, ControlRun, with_runtime
from machines import Done, Machine
from scene import SHM, Scene

from aibox import seccomp


class HandmadeScene(Scene):
    """As Scene, with the attempts in the container made by hand. aibox's own box stays beside it, because it keeps the
    id-mapped workspace mounted."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine, "--shm", SHM)
        self.native = f"{self.name}-native"

    def start(self) -> None:
        """Start aibox's box, then this one."""
        profile = f"{self.machine.home}/native.json"
        self.machine.write(profile, json.dumps(seccomp.profile("native")))
        done = super().aibox("start", *self.options)
        assert done.code == 0, str(done)
        self.made.append(self.native)
        self.create = with_runtime(self.create, self.native, profile)
        for words in (self.create, ["podman", "start", self.native]):
            done = self.machine.run(words, environment=self.environment)
            assert done.code == 0, str(done)
        self.lay_out()

    def runtime(self, run: ControlRun) -> str:
        """Every control run is one under runc."""
        assert run.runtime in (SAME, RUNC)
        return "runc"

    def aibox(self, verb: str, *words: str, timeout: float = 90) -> Done:
        """Sessions go into the container made by hand."""
        if verb != "exec":
            return super().aibox(verb, *words, timeout=timeout)
        return self.machine.run(["podman", "exec", self.native, *words[1:]], timeout=timeout)
