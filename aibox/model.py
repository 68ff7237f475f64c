"""The values that travel between the parts: facts about the host, and the plan for a box. Nothing here acts."""

from typing import NamedTuple

BOX_UID = 1000
BOX_USER = "1000:1000"
BOX_HOME = "/home/dev"
BOX_WORKSPACE = "/workspace"
NATIVE_KINDS = ("runc", "crun")  # runtimes on the host's own kernel: the fallback that policy has to allow
RUNSC_PROFILE = "aibox-runsc"  # the AppArmor profile of runsc itself on the host, entered by the wrapper
SANDBOX_PROFILE = "aibox-sandbox"  # the AppArmor profile of a box's processes where they run on the host's kernel
COMPANION = "gvisor-bin"  # releases since September 2026 need this folder beside runsc
LABEL = "io.aibox."
LABEL_WORKSPACE = LABEL + "workspace"
LABEL_VERSION = LABEL + "version"
LABEL_PLAN = LABEL + "plan"
LABEL_OWNER = LABEL + "owner"
GIB = 1 << 30


class Developer(NamedTuple):
    """Whose box it is: on a rootful engine the owner of the workspace, else the caller."""

    uid: int
    gid: int
    name: str


class Identity(NamedTuple):
    """What a folder is, independent of its name: device and inode number."""

    device: int
    inode: int


class Workspace(NamedTuple):
    """A checked workspace: `path` is absolute and free of symlinks."""

    path: str
    identity: Identity
    owner: Developer
    filesystem: str
    empty: bool


class Engine(NamedTuple):
    """A container engine on this host."""

    kind: str
    path: str
    version: tuple[int, ...]
    rootless: bool
    options: tuple[str, ...] = ()

    @property
    def argv(self) -> tuple[str, ...]:
        """How each of its commands begins: the program, and the options that say which engine it speaks to."""
        return (self.path, *self.options)

    @property
    def label(self) -> str:
        """Name and version as a person would say them."""
        return f"{self.kind} {'.'.join(map(str, self.version))} ({'rootless' if self.rootless else 'rootful'})"


class Runtime(NamedTuple):
    """The OCI runtime that a box runs under.

    `path` is the executable that the engine calls (aibox's wrapper for runsc); `digest` names the exact wrapper
    files; `program` is the runtime behind it; `apparmor` the profile that it enters, or empty.
    """

    kind: str
    path: str
    digest: str
    program: str
    platform: str
    apparmor: str = ""

    @property
    def label(self) -> str:
        """What a box runs under, as a person would say it."""
        return f"gVisor ({self.platform})" if self.kind == "runsc" else f"{self.kind} (fallback: this host's kernel)"


class Mount(NamedTuple):
    """One mount of a box. `kind` is bind, volume or tmpfs; `source` a path, a volume's name or empty."""

    kind: str
    source: str
    target: str
    options: tuple[str, ...]
    size: int = 0


class IdMap(NamedTuple):
    """How a rootful engine maps ids: box id 0 is host id `base`; the workspace's `owner` appears as the box's user."""

    base: int
    size: int
    owner_uid: int
    owner_gid: int


class Limits(NamedTuple):
    """Resource limits: bytes, CPUs and tasks; 0 means none.

    `holder` says who holds the first three on this host: `engine`, `systemd` (the user's, see scope.py) or nobody.
    """

    memory: int
    cpus: float
    pids: int
    shm: int
    nofile: int
    holder: str

    @property
    def enforced(self) -> bool:
        """Whether anybody holds them."""
        return bool(self.holder)

    @property
    def remark(self) -> str:
        """What is not enforced, in one line; empty if everything is."""
        return (
            ""
            if self.enforced
            else "memory, CPU and process limits are not enforced: rootless Podman cannot hold them here"
        )


class LaunchPlan(NamedTuple):
    """Everything that decides what a box is. A pure function makes it; engines turn it into argv."""

    name: str
    owner: Developer
    workspace: Workspace
    image: str
    image_id: str
    runtime: Runtime
    rootless: bool
    id_map: IdMap | None
    mounts: tuple[Mount, ...]
    limits: Limits
    seccomp_path: str
    seccomp_digest: str
    apparmor: str
    capabilities: tuple[str, ...]
    no_new_privileges: bool
    read_only: bool
    user: str
    network: str
    environment: tuple[tuple[str, str], ...]
    command: tuple[str, ...]
    stop_timeout: int
    labels: tuple[tuple[str, str], ...]
    engine: str = "podman"


class Finding(NamedTuple):
    """One check of one control: what was expected, what was seen and how."""

    control: str
    title: str
    expected: str
    observed: str
    how: str
    ok: bool
