"""Makes the plan for a box from facts and settings. Pure: no environment, file or process."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from aibox.jsonview import Json
from aibox.model import (
    BOX_HOME,
    BOX_USER,
    BOX_WORKSPACE,
    GIB,
    LABEL_OWNER,
    LABEL_PLAN,
    LABEL_VERSION,
    LABEL_WORKSPACE,
    Developer,
    Engine,
    IdMap,
    LaunchPlan,
    Limits,
    Mount,
    Runtime,
    Workspace,
)

ID_MAPPED = "workspace"  # the mount, inside a folder that only the box's root may pass
ID_MAP_FIRST = 1_900_000_000
ID_MAP_SIZE = 65_536
ID_MAP_SLOTS = 3_774
BOX_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PERSISTENT = ("nodev", "nosuid", "rw")
SCRATCH = ("nodev", "noexec", "nosuid", "rw")
# asks the engine, makes a plan and reads its seccomp profile
Making = Callable[[], tuple[LaunchPlan, Json]]


class Cache(NamedTuple):
    """A build cache: its name, what it serves, and where that tool looks by default."""

    name: str
    tool: str
    target: str


CACHES = (
    Cache("maven", "Maven", f"{BOX_HOME}/.m2"),
    Cache("gradle", "Gradle", f"{BOX_HOME}/.gradle"),
    Cache("npm", "npm", f"{BOX_HOME}/.npm"),
    Cache("bazel", "Bazel", f"{BOX_HOME}/.cache/bazel"),
    Cache("pip", "pip", f"{BOX_HOME}/.cache/pip"),
    Cache("go", "Go modules", f"{BOX_HOME}/go"),
    Cache("cargo", "Cargo's registry", f"{BOX_HOME}/.cargo/registry"),
)
# folders between the home and a nested cache: the runtime would make them as root, so they are handed to the user
CACHE_PARENTS = tuple(
    sorted({cache.target.rsplit("/", 1)[0] for cache in CACHES if cache.target.rsplit("/", 1)[0] != BOX_HOME})
)


class Image(NamedTuple):
    """An image as the engine has it: the reference that was asked for, its id, and its environment."""

    reference: str
    identifier: str
    environment: tuple[tuple[str, str], ...]


class Seccomp(NamedTuple):
    """The installed seccomp profile: a real file for the engine, the SHA-256 of what it must hold, and what it held."""

    path: str
    digest: str
    content: bytes = b""


def box_name(owner: Developer, path: str) -> str:
    """`aibox-<username>-<workspace-hash>`: equal for equal user and folder, different otherwise."""
    import hashlib

    digest = hashlib.sha256(f"{owner.uid}\0{path}".encode()).hexdigest()
    return f"aibox-{safe_name(owner.name)}-{digest[:12]}"


def volume_name(owner: Developer, purpose: str) -> str:
    """`aibox-<username>-<purpose>`."""
    return f"aibox-{safe_name(owner.name)}-{purpose}"


def safe_name(name: str) -> str:
    """A user's name in the characters that engines allow in names; no two users have the same.

    What is not allowed becomes a dot and two hex digits, as does a dot that would look like that.
    """
    kept = [
        character
        if character.isascii() and (character.isalnum() or character == "_" or _plain_dot(name, at))
        else "".join(f".{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))
        for at, character in enumerate(name)
    ]
    return "".join(kept) or "_"


def _plain_dot(name: str, at: int) -> bool:
    following = name[at + 1 : at + 3]
    return name[at] == "." and not (len(following) == 2 and set(following) <= set("0123456789abcdef"))


def mount_table(workspace: str, owner: Developer, caches: Iterable[str], shm: int) -> tuple[Mount, ...]:
    """SPEC.md's mount table: the only places of a box that can be written."""
    wanted = set(caches)
    fixed = (
        Mount("bind", workspace, BOX_WORKSPACE, PERSISTENT),
        Mount("volume", volume_name(owner, "home"), BOX_HOME, PERSISTENT),
        Mount("volume", volume_name(owner, "toolpacks"), "/opt/toolpacks", PERSISTENT),
        Mount("tmpfs", "", "/tmp", SCRATCH, 2 * GIB),
        Mount("tmpfs", "", "/var/tmp", SCRATCH, GIB),
        Mount("tmpfs", "", "/dev/shm", SCRATCH, shm),
    )
    cached = tuple(
        Mount("volume", volume_name(owner, f"{cache.name}-cache"), cache.target, PERSISTENT)
        for cache in CACHES
        if cache.name in wanted
    )
    return fixed + cached


def id_map(owner: Developer, engine: Engine) -> IdMap | None:
    """The user namespace of a rootful engine: one unused range per developer; rootless engines bring their own."""
    if engine.rootless:
        return None
    return IdMap(ID_MAP_FIRST + owner.uid % ID_MAP_SLOTS * ID_MAP_SIZE, ID_MAP_SIZE, owner.uid, owner.gid)


def make(
    *,
    workspace: Workspace,
    engine: Engine,
    runtime: Runtime,
    image: Image,
    seccomp: Seccomp,
    apparmor: str,
    limits: Limits,
    caches: Iterable[str],
    id_mapped_source: str,
    init: str,
    stop_timeout: int,
    version: str,
) -> LaunchPlan:
    """The plan for a workspace.

    `id_mapped_source` is the folder under which a rootful engine finds the workspace with its ids mapped; `init` the
    program text of PID 1; `stop_timeout` is in seconds.
    """
    owner = workspace.owner
    name = box_name(owner, workspace.path)
    source = workspace.path if engine.rootless else f"{id_mapped_source}/{name}/{ID_MAPPED}"
    environment = {
        **dict(image.environment),
        "HOME": BOX_HOME,
        "USER": "dev",
        "LOGNAME": "dev",
        "LANG": "C.UTF-8",
        "PATH": dict(image.environment).get("PATH", BOX_PATH),
    }
    plan = LaunchPlan(
        name=name,
        owner=owner,
        workspace=workspace,
        image=image.reference,
        image_id=image.identifier,
        runtime=runtime,
        rootless=engine.rootless,
        id_map=id_map(owner, engine),
        mounts=mount_table(source, owner, caches, limits.shm),
        limits=limits,
        seccomp_path=seccomp.path,
        seccomp_digest=seccomp.digest,
        apparmor=apparmor,
        capabilities=(),
        no_new_privileges=True,
        read_only=True,
        user=BOX_USER,
        network="none",
        environment=tuple(sorted(environment.items())),
        command=("/usr/bin/perl", "-e", init),
        stop_timeout=stop_timeout,
        labels=(),
        engine=engine.kind,
    )
    labels = {
        LABEL_WORKSPACE: workspace.path,
        LABEL_OWNER: owner.name,
        LABEL_VERSION: version,
        LABEL_PLAN: digest(plan),
    }
    return plan._replace(labels=tuple(sorted(labels.items())))


def digest(plan: LaunchPlan) -> str:
    """SHA-256 over everything in the plan that decides what the box is, in hex.

    Left out: labels (they carry the digest), and the workspace's passing states (empty or not, inode).
    """
    import hashlib

    lasting = plan._replace(labels=(), workspace=plan.workspace._replace(empty=False, identity=None))  # type: ignore[arg-type]
    return hashlib.sha256(repr(lasting).encode("utf-8", "surrogateescape")).hexdigest()
