"""A test machine whose only network interface is loopback."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from machines import Machine


@dataclass
class Island(Machine):
    """A machine in a network namespace that has nothing but loopback."""

    island: subprocess.Popen[bytes] | None = None

    def enter(self) -> None:
        """Also make the network namespace."""
        script = "ip link set lo up 2>/dev/null; echo ready; exec sleep infinity"
        self.island = subprocess.Popen(["unshare", "--net", "sh", "-c", script], stdout=subprocess.PIPE)
        assert self.island.stdout is not None
        assert self.island.stdout.readline() == b"ready\n"
        super().enter()

    def leave(self) -> None:
        """Also end the network namespace."""
        super().leave()
        if self.island:
            self.island.kill()
            self.island.wait()

    def inside(
        self, argv: Sequence[str], *, root: bool = False, environment: Mapping[str, str] | None = None
    ) -> list[str]:
        """The command as it runs there."""
        assert self.island is not None
        enter = ["nsenter", f"--net=/proc/{self.island.pid}/ns/net"]
        return [*enter, *super().inside(argv, root=root, environment=environment)]
