"""AppArmor: the two profiles that aibox ships, whether the kernel has them, and what is said where it does not.

Sources: apparmor.d(5), apparmor_parser(8), aa-exec(1); the kernel lists its profiles under
/sys/kernel/security/apparmor, the list itself for root only.
"""

import os
from collections.abc import Sequence
from typing import NamedTuple

from aibox import assets, state
from aibox.model import RUNSC_PROFILE, SANDBOX_PROFILE

FOLDER = "/etc/apparmor.d"
KERNEL = "/sys/kernel/security/apparmor"
PARSER = "/usr/sbin/apparmor_parser"


class Profile(NamedTuple):
    """A shipped profile: its name in the kernel, the shipped file, and what it confines."""

    name: str
    asset: str
    confines: str

    @property
    def file(self) -> str:
        """Where the host's AppArmor loads it from at boot."""
        return f"{FOLDER}/{self.name}"


PROFILES = (
    Profile(RUNSC_PROFILE, "apparmor-runsc", "runsc (Sentry and Gofer) on the host"),
    Profile(SANDBOX_PROFILE, "apparmor-sandbox", "a box's processes under runc and crun"),
)


def loaded_names(kernel: str = KERNEL) -> frozenset[str] | None:
    """The profiles that the kernel has in enforce mode; None if this user may not know."""
    listing = state.read_bytes(f"{kernel}/profiles")
    if listing is not None:
        return enforced(listing.decode("utf-8", "replace"))
    try:
        entries = os.listdir(f"{kernel}/policy/profiles")
    except OSError:
        return None
    folders = [f"{kernel}/policy/profiles/{entry}" for entry in entries]
    return frozenset(
        (state.read_bytes(f"{folder}/name") or b"").decode("utf-8", "replace").strip()
        for folder in folders
        if (state.read_bytes(f"{folder}/mode") or b"").strip() == b"enforce"
    )


def enforced(listing: str) -> frozenset[str]:
    """Names in the kernel's list, whose lines read `NAME (MODE)`, that are in enforce mode."""
    lines = (line.rpartition(" ") for line in listing.splitlines())
    return frozenset(name for name, _, mode in lines if mode == "(enforce)")


def unlike() -> list[str]:
    """Files of the shipped profiles that are missing on this host or differ."""
    return [one.file for one in PROFILES if state.read_bytes(one.file) != assets.read(one.asset)]


def missing() -> str:
    """What is not as it should be on a host with AppArmor, or nothing. For root, who can see all of it."""
    different = unlike()
    if different:
        return f"{', '.join(different)}: missing or not the shipped profile"
    names = loaded_names() or frozenset()
    absent = [one.name for one in PROFILES if one.name not in names]
    return f"not loaded: {', '.join(absent)}" if absent else ""


def load_commands() -> list[list[str]]:
    """The commands that load the profiles from their files."""
    return [[PARSER, "--replace", "--skip-cache", one.file] for one in PROFILES]


def describe(confinement: str, profile: str, lacking: Sequence[str]) -> str:
    """One line on what confines runsc on this host.

    `profile` is the one that it enters, or empty; `lacking` is what this kernel's Landlock cannot refuse.
    """
    without = f" (this kernel's Landlock cannot refuse {', '.join(lacking)})" if lacking else ""
    if profile:
        return f"AppArmor confines runsc (profile {profile}){without}"
    rest = f"reduced mode: gVisor, seccomp and the outer layer hold{without}"
    if confinement == "apparmor":
        return f"AppArmor is here but does not confine runsc, because aibox's profile is not loaded: {rest}"
    if confinement == "selinux":
        return f"SELinux is here but cannot confine runsc, which does not support its labels: {rest}"
    return f"neither AppArmor nor SELinux is here: {rest}"
