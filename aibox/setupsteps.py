"""The steps of `aibox setup` as a table: each is checked, explained, consented to, done, and checked again."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from aibox import (
    apparmor,
    assets,
    dockersteps,
    facts,
    imagevariants,
    jsonview,
    leftovers,
    packages,
    probe,
    runner,
    runtimefiles,
    setupimage,
    setupruntime,
    state,
    verification,
)
from aibox.context import Context, installed_runtime
from aibox.enginecalls import EngineCalls
from aibox.errors import AiboxError
from aibox.facts import HostFacts
from aibox.jsonview import Json
from aibox.model import NATIVE_KINDS
from aibox.plan import Seccomp

if TYPE_CHECKING:
    from aibox.setupbundle import Bundle

INSTALL_SECONDS = 900.0
LOAD_SECONDS = 120.0
DROP_IN = "containers.conf.d/50-aibox.conf"


class Setup:
    """What the steps share: the caller's context, the host, and the record that grows as steps are done."""

    def __init__(
        self, context: Context, host: HostFacts, runsc: str, say: Callable[[str], None], bundle: "Bundle | None" = None
    ) -> None:
        self.context = context
        self.host = host
        self.runsc = runsc
        self.say = say
        self.bundle = bundle
        self.moving = False  # whether the image's name may come to stand for another image than the pinned one
        self.former: dict[str, Json] = {}  # the image that an update replaces, where the engine keeps it
        self.settled = False  # whether an image that was built here need not be built anew
        self.root = context.caller.uid == 0
        self.kind = context.config.runtime
        self.engine = facts.engine_kind(context.config.engine)
        self.record = state.read_record(context.paths.setup_record)
        # a variant that was chosen once stays, until another one is asked for
        held = imagevariants.variant_of(jsonview.text(self.record, "image", "reference"))
        if held and {context.config.origins[name].kind for name in ("image", "variant")} == {"default"}:
            image = imagevariants.of_variant(imagevariants.DEFAULT_IMAGE, held)
            self.context = context._replace(config=context.config._replace(image=image, variant=held))

    @property
    def meetings(self) -> str:
        """The folder in which aibox and the wrappers meet; Docker alone has one."""
        return self.context.paths.meetings if self.engine == "docker" else ""

    def calls(self) -> EngineCalls:
        """The engine. Raises engine-missing."""
        return self.context.calls()

    def kept(self, entry: str) -> dict[str, Json]:
        """What the record holds for the runtime that is being set up."""
        return jsonview.fields(self.record, runtimefiles.slot(entry, self.kind))

    def keep(self, entry: str, value: Json) -> None:
        """Keep a value for the runtime that is being set up."""
        self.note(**{runtimefiles.slot(entry, self.kind): value})

    def seccomp(self) -> Seccomp:
        """The profile that the seccomp step installed."""
        kept = self.kept("seccomp")
        return Seccomp(jsonview.text(kept, "path"), jsonview.text(kept, "sha256"))

    def note(self, **entries: Json) -> None:
        """Keep what a step chose, at once, so that an interrupted setup goes on where it was."""
        self.record.update(entries)
        state.write_record(self.context.paths.setup_record, self.record)

    def command(self, argv: list[str], *, timeout: float = INSTALL_SECONDS) -> None:
        """Run a command of a step. Raises setup-failed."""
        env = {**self.context.env, "DEBIAN_FRONTEND": "noninteractive"}
        runner.checked(runner.run(argv, timeout=timeout, env=env, cwd="/"), "setup-failed", fix=runner.printable(argv))


class Step(NamedTuple):
    """One step.

    `missing` says what is not as it should be, or nothing; `commands` what `do` will run or write, for people.
    `needs_root`: a user can only say what an administrator has to do. `optional`: without it setup goes on. `engine`:
    the only one that it concerns.
    """

    id: str
    title: str
    why: str
    missing: Callable[[Setup], str]
    commands: Callable[[Setup], list[str]]
    do: Callable[[Setup], None]
    needs_root: bool = False
    optional: bool = False
    engine: str = ""


def _missing_engine(setup: Setup) -> str:
    try:
        setup.calls()
    except AiboxError as error:
        if error.code != "engine-missing":
            raise
        return f"{error.what} ({error.why})"
    return ""


def _install_engine(setup: Setup) -> None:
    for command in packages.engine_commands(setup.host.distribution, setup.engine):
        setup.command(command)


def _missing_ids(setup: Setup) -> str:
    """What rootless Podman lacks (subuid(5), newuidmap(1)); nothing for root."""
    if setup.root:
        return ""
    lacking = []
    for name in ("newuidmap", "newgidmap"):
        program = runner.find_program(name)
        if program is None:
            lacking.append(f"{name} is not installed (package uidmap)")
    for path in ("/etc/subuid", "/etc/subgid"):
        lines = (state.read_bytes(path) or b"").decode("utf-8", "replace").splitlines()
        owners = {line.split(":")[0] for line in lines}
        if not owners & {setup.context.caller.name, str(setup.context.caller.uid)}:
            lacking.append(f"{path} gives {setup.context.caller.name} no range of ids")
    return "; ".join(lacking)


def _id_commands(setup: Setup) -> list[str]:
    name = setup.context.caller.name
    install = (
        [runner.printable(command) for command in packages.engine_commands(setup.host.distribution)]
        if not runner.find_program("newuidmap")
        else []
    )
    return [*install, f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}"]


def _missing_storage(setup: Setup) -> str:
    """Fresh rootless storage would get the driver vfs on some releases, which copies the whole image for each box.

    Where nothing is missing, the engine may be called, and has to be one of this host. Raises engine-remote.
    """
    missing = unsettled_storage(setup)
    if not missing and setup.engine == "podman":
        from aibox.remotepodman import require_local

        require_local(setup.context)
    return missing


def unsettled_storage(setup: Setup) -> str:
    """What leaves the driver to the engine's first call; nothing where an earlier call or a file settled it."""
    if setup.root or os.path.exists(_storage_file(setup)) or os.path.exists(_storage_folder(setup)):
        return ""
    if any(os.path.exists(path) for path in ("/etc/containers/storage.conf", "/usr/share/containers/storage.conf")):
        return ""
    return "no storage driver is chosen for this user's Podman"


def _storage_folder(setup: Setup) -> str:
    home = setup.context.environ.get("HOME", "/nonexistent")
    return f"{setup.context.environ.get('XDG_DATA_HOME') or home + '/.local/share'}/containers/storage"


def _storage_file(setup: Setup) -> str:
    return f"{os.path.dirname(setup.context.paths.config)}/containers/storage.conf"


def _write_storage(setup: Setup) -> None:
    state.write_atomically(_storage_file(setup), b'# written by aibox setup\n[storage]\ndriver = "overlay"\n', 0o644)


def _seccomp_content(setup: Setup) -> bytes:
    from aibox import seccomp

    return seccomp.content(setup.kind)


def _seccomp_path(setup: Setup) -> str:
    path = setup.context.paths.seccomp
    return path if setup.kind == "runsc" else path.replace("seccomp.json", "seccomp-native.json")


def _missing_seccomp(setup: Setup) -> str:
    path, content = _seccomp_path(setup), _seccomp_content(setup)
    if state.read_bytes(path) != content:
        return f"{path} is {'not the shipped profile' if os.path.exists(path) else 'missing'}"
    if setup.kept("seccomp").get("sha256") != state.sha256(content):
        return "the profile is not recorded"
    return ""


def _write_seccomp(setup: Setup) -> None:
    path, content = _seccomp_path(setup), _seccomp_content(setup)
    state.write_atomically(path, content, 0o644)
    setup.keep("seccomp", {"path": path, "sha256": state.sha256(content)})


def _missing_profiles(setup: Setup) -> str:
    if setup.host.confinement != "apparmor":
        return ""
    if setup.root:
        return apparmor.missing()
    # a user sees what is loaded, and cannot change it
    names = apparmor.loaded_names()
    absent = [one.name for one in apparmor.PROFILES if names is not None and one.name not in names]
    return f"not loaded: {', '.join(absent)}" if absent else ""


def _profile_commands(setup: Setup) -> list[str]:
    if not setup.root:
        return ["aibox setup"]
    install = packages.apt_commands("apparmor") if not os.path.exists(apparmor.PARSER) else []
    writes = [f"write {one.file}, which confines {one.confines}" for one in apparmor.PROFILES]
    return [*map(runner.printable, install), *writes, *map(runner.printable, apparmor.load_commands())]


def _load_profiles(setup: Setup) -> None:
    if not os.path.exists(apparmor.PARSER):
        for command in packages.apt_commands("apparmor"):
            setup.command(command)
    for one in apparmor.PROFILES:
        state.write_atomically(one.file, assets.read(one.asset), 0o644)
    for command in apparmor.load_commands():
        setup.command(command, timeout=LOAD_SECONDS)


def _drop_in(setup: Setup) -> tuple[str, bytes]:
    base = "/etc/containers" if setup.root else f"{os.path.dirname(setup.context.paths.config)}/containers"
    paths = {
        runtimefiles.slot("aibox", kind): jsonview.text(setup.record, runtimefiles.slot("runtime", kind), "path")
        for kind in ("runsc", *NATIVE_KINDS)
    }
    # a JSON string is a TOML basic string
    lines = [f"{name} = [{jsonview.dump(path)}]\n" for name, path in paths.items() if path]
    return f"{base}/{DROP_IN}", f"# written by aibox setup\n[engine.runtimes]\n{''.join(lines)}".encode()


def _missing_registration(setup: Setup) -> str:
    if not setup.kept("runtime"):
        return "the runtime is not chosen yet"
    path, content = _drop_in(setup)
    return "" if state.read_bytes(path) == content else f"{path} does not name the wrapper"


def _register(setup: Setup) -> None:
    path, content = _drop_in(setup)
    state.write_atomically(path, content, 0o644)


def _missing_proof(setup: Setup) -> str:
    proof = setup.kept("proof")
    if not proof:
        return "no box was started yet"
    same = proof == _proof_of(setup)
    return "" if same else "something changed since a box was last proved"


def _proof_of(setup: Setup) -> dict[str, Json]:
    return {
        "runtime": jsonview.text(setup.kept("runtime"), "digest"),
        "program": jsonview.text(setup.kept("runtime"), "program_sha256"),
        "seccomp": jsonview.text(setup.kept("seccomp"), "sha256"),
        "image": jsonview.text(setup.record, "image", "id"),
        "kernel": setup.host.kernel,
        "engine": setup.calls().engine.label,
    }


def _prove(setup: Setup) -> None:
    calls = setup.calls()
    runtime, seccomp = installed_runtime(setup.context)
    image = setupimage.local_image(setup.context, calls, setup.record)
    # an interrupted proof is not recorded, so the next run comes here
    for name in leftovers.sweep(setup.context, calls):
        setup.say(f"removed {name}, which an interrupted command left")
    started = probe.prove(setup.context, calls, runtime=runtime, seccomp=seccomp, image=image)
    told = verification.try_outer(runtime.path, setup.context.env)[0] if setup.kind == "runsc" else {}
    if told:
        setup.note(outer={"landlock_abi": told.get("landlock_abi"), "lacking": told.get("lacking")})
    setup.keep("proof", _proof_of(setup))
    setup.say(f"a throw-away box ran: {len(started.findings)} checks passed, its sessions are filtered")


STEPS: tuple[Step, ...] = (
    Step(
        "engine",
        "container engine",
        "it makes and runs the boxes",
        _missing_engine,
        lambda setup: [
            runner.printable(command) for command in packages.engine_commands(setup.host.distribution, setup.engine)
        ],
        _install_engine,
        needs_root=True,
    ),
    Step(
        "ids",
        "user and group ids",
        "rootless Podman maps a box's users to ids of your own",
        _missing_ids,
        _id_commands,
        lambda _setup: None,
        needs_root=True,
    ),
    Step(
        "storage",
        "storage driver",
        "with overlay a box starts without copying its image",
        _missing_storage,
        lambda setup: [f"write {_storage_file(setup)} with driver = overlay"],
        _write_storage,
    ),
    Step(
        "daemon",
        "runtime in Docker's daemon.json",
        "Docker starts only what its daemon knows by name",
        dockersteps.missing,
        dockersteps.commands,
        dockersteps.register,
        needs_root=True,
        engine="docker",
    ),
    Step(
        "image",
        "image",
        "a box's root filesystem; without a registry it is built here from your distribution's packages",
        setupimage.unready,
        setupimage.commands,
        setupimage.get,
    ),
    Step(
        "seccomp",
        "seccomp profile",
        "the system calls that programs in a box may use",
        _missing_seccomp,
        lambda setup: [f"write {_seccomp_path(setup)}"],
        _write_seccomp,
    ),
    Step(
        "apparmor",
        "AppArmor profiles",
        "they confine runsc itself on this host, and the fallback's boxes",
        _missing_profiles,
        _profile_commands,
        _load_profiles,
        needs_root=True,
        optional=True,
    ),
    Step(
        "runtime",
        "OCI runtime and its wrapper",
        "gVisor (runsc) is the kernel that a box has instead of this host's",
        setupruntime.missing,
        setupruntime.commands,
        setupruntime.choose,
    ),
    Step(
        "registration",
        "registration with the engine",
        "so that `podman --runtime aibox` finds the wrapper by name",
        _missing_registration,
        lambda setup: [f"write {_drop_in(setup)[0]}"],
        _register,
        engine="podman",
    ),
    Step(
        "proof",
        "proof",
        "a throw-away box is started and every control checked",
        _missing_proof,
        lambda _setup: ["start a throw-away box, check every control, remove it"],
        _prove,
    ),
)


def step(name: str) -> Step:
    """The step with this id."""
    return next(row for row in STEPS if row.id == name)
