"""The commands that install a distribution's packages. Pure."""

from aibox.engines.dialect import dialect
from aibox.errors import AiboxError

# another package manager may be at work, on a fresh machine often unattended-upgrades: wait for it (apt.conf(5))
APT_GET = ("/usr/bin/apt-get", "-o", "DPkg::Lock::Timeout=300")
ENGINE_PACKAGES = {
    "debian": ("apt-get", ("podman", "uidmap", "runc")),
    "ubuntu": ("apt-get", ("podman", "uidmap", "crun")),
    "fedora": ("dnf", ("podman", "shadow-utils")),
}
DOCKER_PACKAGES = {
    "debian": ("apt-get", ("docker.io",)),
    "ubuntu": ("apt-get", ("docker.io",)),
    "fedora": ("dnf", ("moby-engine",)),
}


def apt_commands(*packages: str) -> list[list[str]]:
    """The commands that install packages on Debian and its relatives."""
    return [[*APT_GET, "update", "-qq"], [*APT_GET, "install", "--yes", "--no-install-recommends", *packages]]


def engine_commands(distribution: str, engine: str = "podman") -> list[list[str]]:
    """The commands that install Podman and what it needs for users without root, or Docker. Raises setup-failed."""
    known = (DOCKER_PACKAGES if engine == "docker" else ENGINE_PACKAGES).get(distribution)
    words = dialect(engine)
    if known is None:
        raise AiboxError(
            "setup-failed",
            f"aibox cannot install {words.title} on {distribution}",
            why=f"it knows the package managers of {', '.join(sorted(ENGINE_PACKAGES))}",
            fix=f"install {words.title} {'.'.join(map(str, words.oldest))} or newer with your distribution's package "
            "manager, then: aibox setup",
        )
    manager, packages = known
    if manager == "dnf":
        return [["/usr/bin/dnf", "install", "--assumeyes", *packages]]
    return apt_commands(*packages)
