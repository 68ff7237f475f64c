"""The users of the guest for whom aibox is set up."""

import json
from dataclasses import dataclass

from guest import Done, Guest

SETUP_SECONDS = 900.0
AIBOX = "/usr/local/bin/aibox"
# Debian's own runsc, and one of July 2026; rootless both, because that is how most boxes run
RUNSC = {"root": "/usr/bin/runsc", "dev1": "/opt/gvisor-2026/runsc", "dev2": "/usr/bin/runsc"}

PROFILE = "/etc/apparmor.d/aibox-runsc"
COMPILED = "/root/aibox-runsc.compiled"


def unload(guest: Guest) -> None:
    """Take runsc's profile out of the kernel, by its own interface: the parser would compile it first."""
    guest.sh(f"[ -e {COMPILED} ] || apparmor_parser --skip-kernel-load --skip-cache --ofile {COMPILED} {PROFILE}")
    guest.sh("printf aibox-runsc > /sys/kernel/security/apparmor/.remove")


def load(guest: Guest) -> None:
    """Put back what `unload` took."""
    guest.sh(f"apparmor_parser --replace --binary {COMPILED}")


@dataclass
class Seat:
    """One user of the guest, for whom aibox is set up."""

    guest: Guest
    user: str

    def aibox(self, *words: str, timeout: float = 300) -> Done:
        """Run the built zipapp."""
        return self.guest.run([AIBOX, *words], user=self.user, timeout=timeout)

    def ok(self, *words: str, timeout: float = 300) -> Done:
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


class Seats:
    """The users' seats, each set up when it is first asked for."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.made: dict[str, Seat] = {}

    def __getitem__(self, user: str) -> Seat:
        if user not in self.made:
            self.guest.ok([AIBOX, "setup", "--yes", "--runsc", RUNSC[user]], user=user, timeout=SETUP_SECONDS)
            self.made[user] = Seat(self.guest, user)
        return self.made[user]
