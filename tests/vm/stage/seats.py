"""The users of the guest for whom aibox is set up."""

import json
from dataclasses import dataclass

from guest import Done, Guest

AIBOX = "/usr/local/bin/aibox"
# Debian's own runsc, and one of July 2026; both as a user, because that is how most boxes run
RUNSC = {"root": "/usr/bin/runsc", "dev1": "/opt/gvisor-2026/runsc", "dev2": "/usr/bin/runsc"}


@dataclass
class Seat:
    """One user of the guest, for whom aibox is set up."""

    guest: Guest
    user: str

    def aibox(self, *words: str, timeout: float = 180) -> Done:
        """Run the built zipapp."""
        return self.guest.run([AIBOX, *words], user=self.user, timeout=timeout)

    def ok(self, *words: str, timeout: float = 180) -> Done:
        """Run the built zipapp, which has to succeed."""
        return self.guest.ok([AIBOX, *words], user=self.user, timeout=timeout)

    def workspace(self, name: str) -> str:
        """A fresh workspace that belongs to the user."""
        home = "/srv" if self.user == "root" else f"/home/{self.user}"
        path = f"{home}/{name}"
        self.guest.sh(f"rm -rf {path}; mkdir -p {path}", user=self.user)
        return path

    def pid(self, workspace: str) -> int:
        """The Sentry's process on the host, or the first one of a box without gVisor."""
        name = json.loads(self.ok("status", "--workspace", workspace, "--json").out)["data"]["box"]
        shown = self.guest.ok(["podman", "inspect", "--format", "{{.State.Pid}}", name], user=self.user)
        return int(shown.out)
