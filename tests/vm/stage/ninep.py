r"""A guest with real 9p and virtiofs mounts, as WSL2 shows Windows drives: the stock kernel, folders shared by QEMU.

Drive C is 9p with the source `C:\` and WSL's options, drive D is 9p elsewhere, drive E is virtiofs with a tag.
"""

import shutil
import subprocess
import time
from pathlib import Path

from guest import Guest
from recipe import disk

# Debian's cloud kernel has neither filesystem
PACKAGES = (
    "ca-certificates", "conmon", "crun", "dbus-user-session", "iproute2", "kmod", "libpam-systemd", "linux-image-amd64",
    "perl-base", "podman", "procps", "python3", "runsc", "systemd-sysv", "uidmap", "util-linux",
)  # fmt: skip
VIRTIOFSD = "/usr/lib/qemu/virtiofsd"
# the folders are made by root outside; in WSL they look like the user's own
OPTIONS = (
    "trans=virtio,version=9p2000.L,msize=65536,access=client,"
    "aname=drvfs;path={letter}:\\;uid=1000;gid=1000;symlinkroot=/mnt/"
)


class WindowsGuest(Guest):
    """The guest with drives C and D by 9p and drive E by virtiofs."""

    def __init__(self, payload: Path, scratch: Path) -> None:
        self.drives = scratch / "drives"
        for letter in "cde":
            place = self.drives / letter / "Users" / "me" / "my app"
            place.mkdir(parents=True)
            (place / "file").write_text("of Windows\n")
        for place in (self.drives, *self.drives.rglob("*")):
            place.chmod(0o777)
        self.socket = scratch / "virtiofs.sock"
        self.sharing = subprocess.Popen(
            [VIRTIOFSD, f"--socket-path={self.socket}", "-o", f"source={self.drives / 'e'}", "-o", "sandbox=chroot",
             "--rlimit-nofile=0", "-f"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + 20
        while not self.socket.exists() and time.monotonic() < end and self.sharing.poll() is None:
            time.sleep(0.1)
        assert self.socket.exists(), "virtiofsd does not run"
        super().__init__(payload, scratch)

    def command(self) -> list[str]:
        """QEMU's command line: the other disk and kernel, and the drives."""
        mine, usual = str(disk(PACKAGES)), str(disk())
        words = [word.replace(usual, mine) for word in super().command()]
        words[words.index("-m") + 1] = "2048"
        for letter in "cd":
            drive = f"local,id=drive-{letter},path={self.drives / letter},mount_tag={letter.upper()}:\\"
            words += ["-virtfs", f"{drive},security_model=none"]
        return [
            *words, "-object", "memory-backend-memfd,id=shared,size=2048M,share=on", "-numa", "node,memdev=shared",
            "-chardev", f"socket,id=fs,path={self.socket}", "-device", "vhost-user-fs-pci,chardev=fs,tag=drvfsaE",
        ]  # fmt: skip

    def mount(self) -> None:
        """Mount the drives where WSL mounts them, C and E below /mnt, D elsewhere."""
        self.sh("modprobe 9pnet_virtio; modprobe 9p; modprobe virtiofs; mkdir -p /mnt/c /mnt/e /win/d")
        for letter, place in (("C", "/mnt/c"), ("D", "/win/d")):
            options = OPTIONS.format(letter=letter)
            self.ok(["mount", "-t", "9p", "-o", options, f"{letter}:\\", place])
        self.ok(["mount", "-t", "virtiofs", "drvfsaE", "/mnt/e"])

    def stop(self) -> None:
        """End it, and what shared the folder."""
        super().stop()
        self.sharing.kill()
        self.sharing.wait()
        shutil.rmtree(self.drives, ignore_errors=True)
