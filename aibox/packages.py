"""The commands that install a distribution's packages. Pure."""

from aibox.errors import AiboxError

# another package manager may be at work, on a fresh machine often unattended-upgrades: wait for it (apt.conf(5))
APT_GET = ("/usr/bin/apt-get", "-o", "DPkg::Lock::Timeout=300")
ENGINE_PACKAGES = {
    "debian": ("apt-get", ("podman", "uidmap", "runc")),
    "ubuntu": ("apt-get", ("podman", "uidmap", "crun")),
    "fedora": ("dnf", ("podman", "shadow-utils")),
}


def apt_commands(*packages: str) -> list[list[str]]:
    """The commands that install packages on Debian and its relatives."""
    return [[*APT_GET, "update", "-qq"], [*APT_GET, "install", "--yes", "--no-install-recommends", *packages]]


def engine_commands(distribution: str) -> list[list[str]]:
    """The commands that install Podman and what it needs for users without root. Raises setup-failed."""
    known = ENGINE_PACKAGES.get(distribution)
    if known is None:
        raise AiboxError(
            "setup-failed",
            f"aibox cannot install Podman on {distribution}",
            why=f"it knows the package managers of {', '.join(sorted(ENGINE_PACKAGES))}",
            fix="install Podman 4.3 or newer with your distribution's package manager, then: aibox setup",
        )
    manager, packages = known
    if manager == "dnf":
        return [["/usr/bin/dnf", "install", "--assumeyes", *packages]]
    return apt_commands(*packages)
