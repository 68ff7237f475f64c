"""The guest's disk: Debian 13 with AppArmor, systemd, cgroup v2, Podman 5.4 and a base image, kept in a cache.

Nothing in it depends on this repository but its recipe and the image's; what a run brings along comes on a second disk.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import image
from settings import CACHE, PORTS, USERS

HERE = Path(__file__).resolve().parent
SUITE = "trixie"
PACKAGES = (
    "apparmor", "ca-certificates", "catatonit", "conmon", "crun", "dbus-user-session", "docker-registry", "gcc", "gpg",
    "gpg-agent", "iproute2", "kmod", "libc6-dev", "libcap2-bin", "libpam-systemd", "linux-image-cloud-amd64",
    "mmdebstrap", "openssl", "passt", "perl", "podman", "procps", "python3", "python3-pytest", "runc", "runsc",
    "skopeo", "strace", "systemd-sysv", "uidmap", "util-linux",
)  # fmt: skip
DISK_MB = 12_288
# only what finds the disk: a general initrd takes the emulator 20 s to unpack
INITRD = {
    "initramfs.conf": "MODULES=list\nBUSYBOX=n\nKEYMAP=n\nCOMPRESS=lz4\nCOMPRESSLEVEL=1\nRUNSIZE=10%\nFSTYPE=ext4\n",
    "modules": "virtio_pci\nvirtio_blk\next4\n",
}
UNIT = """[Unit]
Description=commands for the tests
{order}
[Service]
{prepare}ExecStart=/usr/bin/python3 -I /payload/agent.py {port}
Restart=always
[Install]
WantedBy={target}
"""


def files() -> dict[str, str]:
    """Files of the guest that no package brings."""
    network = (
        "ExecStartPre=/usr/sbin/ip link set eth0 up\nExecStartPre=/usr/sbin/ip address replace 10.0.2.15/24 dev eth0\n"
    )
    card = "sys-subsystem-net-devices-eth0.device"
    order = f"RequiresMountsFor=/payload\nAfter={card}\nWants={card}\n"
    made = {
        "/etc/fstab": "/dev/vda / ext4 defaults,noatime 0 0\n/dev/vdb /payload ext4 ro 0 0\n",
        "/etc/hostname": "guest\n",
        "/etc/hosts": "127.0.0.1 localhost guest\n",
        "/etc/systemd/system/agent.service": UNIT.format(
            order=order, prepare=network, port=PORTS["root"], target="multi-user.target"
        ),
        # the kernel's AppArmor messages must all arrive: profiles are written from them
        "/etc/sysctl.d/90-tests.conf": "kernel.printk_ratelimit=0\nkernel.dmesg_restrict=0\n",
        "/etc/containers/policy.json": '{"default": [{"type": "insecureAcceptAnything"}]}\n',
        "/etc/motd": "",
    }
    for user in USERS:
        unit = UNIT.format(order="", prepare="", port=PORTS[user], target="default.target")
        made[f"/home/{user}/.config/systemd/user/agent.service"] = unit
        made[f"/var/lib/systemd/linger/{user}"] = ""
    # every controller for users' own slices, as administrators are told to set it
    made["/etc/systemd/system/user@.service.d/delegate.conf"] = "[Service]\nDelegate=cpu cpuset io memory pids\n"
    return made


def script() -> str:
    """What is done in the new root: the users, the services, the files' owners."""
    lines = ["set -eu", "mkdir -p /payload", "systemctl enable agent.service"]
    for user, uid in USERS.items():
        lines += [
            f"useradd --uid {uid} --create-home --shell /bin/bash {user}",
            f"mkdir -p /home/{user}/.config/systemd/user/default.target.wants",
            f"ln -s ../agent.service /home/{user}/.config/systemd/user/default.target.wants/agent.service",
            f"chown -R {user}:{user} /home/{user}",
        ]
    timers = "apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer"
    unneeded = "podman-auto-update.timer getty@tty1.service e2scrub_reap.service systemd-binfmt.service docker-registry"
    mounts = "dev-hugepages.mount dev-mqueue.mount sys-kernel-config.mount proc-sys-fs-binfmt_misc.automount"
    others = "! -name crun ! -name runc ! -name podman"
    lines += [
        f"systemctl mask {timers} {unneeded} {mounts}",
        # what would be done once at the first boot, and each boot of this disk is its first
        "touch /etc/.updated /var/.updated",
        # the emulator takes a minute to compile a hundred profiles; those of the engine's own programs stay
        f"[ ! -d /etc/apparmor.d ] || find /etc/apparmor.d -maxdepth 1 -type f {others} -delete",
        "passwd -d root >/dev/null",
        "rm -rf /var/cache/apt/archives/*.deb",
    ]
    return "\n".join(lines) + "\n"


def digest(packages: Sequence[str] = PACKAGES) -> str:
    """Names the recipe: another disk for another one."""
    parts = [SUITE, *packages, str(DISK_MB), *(f"{a}{b}" for a, b in (*INITRD.items(), *files().items())), script()]
    parts.append(image.digest())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def disk(packages: Sequence[str] = PACKAGES) -> Path:
    """The folder with `disk`, `kernel` and `initrd`, made if there is none for this recipe."""
    CACHE.joinpath("vm").mkdir(parents=True, exist_ok=True)
    place = CACHE / "vm" / digest(packages)
    with open(CACHE / "vm" / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            build(place, packages)
            (place / "complete").touch()
    return place


def build(place: Path, packages: Sequence[str]) -> None:
    """mmdebstrap, the guest's own files, mkfs.ext4."""
    with tempfile.TemporaryDirectory(dir=place) as scratch:
        root, given = Path(scratch) / "root", Path(scratch) / "given"
        for path, content in files().items():
            file = given / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        # the home folders are useradd's to make, so their files come afterwards
        before, after = Path(scratch) / "before.sh", Path(scratch) / "after.sh"
        options = given / "etc/initramfs-tools"
        options.mkdir(parents=True)
        for name, content in INITRD.items():
            (options / ("conf.d/tests" if name.endswith(".conf") else name)).parent.mkdir(exist_ok=True)
            (options / ("conf.d/tests" if name.endswith(".conf") else name)).write_text(content)
        before.write_text(f'set -eu\nmkdir -p "$1/etc/initramfs-tools"\ncp -r {options}/. "$1/etc/initramfs-tools/"\n')
        after.write_text(f'set -eu\nchroot "$1" sh -c "$(cat {scratch}/inside.sh)"\n')
        (Path(scratch) / "inside.sh").write_text(script())
        for file in (before, after):
            file.chmod(0o755)
        command = [
            "mmdebstrap", "--variant=minbase", "--components=main", f"--include={','.join(packages)}",
            "--keyring=/usr/share/keyrings/debian-archive-keyring.gpg", '--aptopt=APT::Install-Recommends "false"',
            "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=force-confold",
            f"--essential-hook={before}", f"--customize-hook=cp -r {given}/. $1/", f"--customize-hook={after}",
            SUITE, str(root), "http://deb.debian.org/debian",
        ]  # fmt: skip
        with open(place / "build.log", "wb") as log:
            done = subprocess.run(command, stdout=log, stderr=log, check=False, timeout=900)
        assert done.returncode == 0, (place / "build.log").read_text(errors="replace")[-3000:]
        shutil.copy(next(root.glob("boot/vmlinuz-*")), place / "kernel")
        shutil.copy(next(root.glob("boot/initrd.img-*")), place / "initrd")
        image.storages(root, USERS)
        make_filesystem(root, place / "disk", DISK_MB)


def make_filesystem(folder: Path, disk_file: Path, megabytes: int) -> None:
    """An ext4 disk with the content of `folder`; sparse, so that it takes only what is in it."""
    with open(disk_file, "wb") as file:
        os.truncate(file.fileno(), megabytes << 20)
    command = ["mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-d", str(folder), str(disk_file)]
    subprocess.run(command, check=True, timeout=300, stdout=subprocess.DEVNULL)
