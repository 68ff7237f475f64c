"""A box on Docker under attack. Its control runs are Podman's, made from the same plan, on the same machine."""

import os
import shutil

from machines import Machine, base_image_archive
from scene import SHM, Scene


class DockerScene(Scene):
    """As Scene, but the attempts run in Docker's box; Podman's stands beside it for the control runs."""

    def __init__(self, machine: Machine) -> None:
        with base_image_archive() as archive:
            done = machine.run(["podman", "load", "--quiet", "--input", str(archive)], timeout=180)
            assert done.code == 0, str(done)
        done = machine.aibox("setup", "--yes", "--engine", "podman", "--runsc", str(machine.runsc), timeout=600)
        assert done.code == 0, str(done)
        super().__init__(machine, "--shm", SHM)

    def dry_run(self) -> list[str]:
        """The command line of Podman's box, from which control runs are made."""
        self.environment["AIBOX_ENGINE"] = "podman"
        return super().dry_run()

    def start(self) -> None:
        """Start both, each with everything in its own volumes."""
        super().start()
        planted = self.place / ".attack" / "planted"
        shutil.rmtree(planted)
        planted.mkdir()
        os.chown(planted, self.machine.uid, self.machine.uid)
        self.environment["AIBOX_ENGINE"] = self.engine = "docker"
        super().start()

    def end(self) -> None:
        """Remove both."""
        super().end()
        self.environment["AIBOX_ENGINE"] = "podman"
        self.aibox("destroy")
