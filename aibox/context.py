"""Everything a verb needs to know before it acts, gathered once."""

import os
from collections.abc import Mapping
from typing import NamedTuple

from aibox import __version__, facts, jsonview, runtimefiles, state, workspace
from aibox.config import Config, Policy, load_config, policy_violations
from aibox.enginecalls import EngineCalls, redirecting
from aibox.errors import AiboxError
from aibox.imagevariants import variant_of
from aibox.jsonview import Json
from aibox.model import Developer, LaunchPlan, Limits, Runtime, Workspace
from aibox.plan import Image, Making, Seccomp, make
from aibox.runner import clean_environment
from aibox.runtimefiles import slot
from aibox.state import Paths

NOFILE = 65_536
# what setup records of images: the one in use, and the one before
IMAGES = ("image", "image_previous")


class Context(NamedTuple):
    """The caller, their settings, and aibox's folders."""

    environ: Mapping[str, str]
    caller: Developer
    paths: Paths
    config: Config
    policy: Policy
    config_problem: AiboxError | None = None
    policy_problem: AiboxError | None = None

    @property
    def env(self) -> dict[str, str]:
        """The environment for child programs."""
        return clean_environment(self.environ)

    def calls(self) -> EngineCalls:
        """The engine, ready to be called."""
        engine = facts.find_engine(self.config.engine, self.config.engine_path, self.paths, self.env)
        if engine.kind == "docker":
            from aibox.dockercalls import DockerCalls

            return DockerCalls(engine, self.env, meetings=self.paths.meetings)
        return EngineCalls(engine, self.env)

    @property
    def engine_kind(self) -> str:
        """The engine that will be called, by its kind."""
        return facts.engine_kind(self.config.engine)

    def workspace(self, given: str) -> Workspace:
        """The checked workspace for the folder `given`."""
        home = self.environ.get("HOME", "/nonexistent")
        own = (self.paths.data, self.paths.run, self.paths.config)
        return workspace.find(given, workspace.places(self.environ, own, home), caller=self.caller)

    def notices(self) -> list[str]:
        """What the user should know about the environment that aibox does not follow."""
        names = redirecting(self.environ)
        return [f"{', '.join(names)} ignored: aibox always uses the local engine"] if names else []


def gather_leniently(environ: Mapping[str, str], flags: Mapping[str, str]) -> Context:
    """As `gather`, but what is wrong with configuration or policy is kept, with defaults instead.

    For doctor alone, which starts nothing but its own throw-away box. Raises what wrong flags raise.
    """
    from aibox.configfiles import read_config_files, read_policy

    caller = facts.caller()
    config_problem = policy_problem = None
    try:
        config = load_config(read_config_files(environ), environ=environ, flags=flags)
    except AiboxError as error:
        config_problem = error
        config = load_config((), environ={}, flags=flags)
    try:
        policy = read_policy()
    except AiboxError as error:
        policy_problem = error
        policy = Policy()
    paths = state.paths(environ, caller.uid, facts.engine_kind(config.engine))
    return Context(environ, caller, paths, config, policy, config_problem, policy_problem)


def gather(environ: Mapping[str, str], flags: Mapping[str, str]) -> Context:
    """Read who calls and what they set. Raises what configuration and policy raise."""
    from aibox.configfiles import read_config_files, read_policy

    caller = facts.caller()
    config = load_config(read_config_files(environ), environ=environ, flags=flags)
    paths = state.paths(environ, caller.uid, facts.engine_kind(config.engine))
    return Context(environ, caller, paths, config, read_policy())


def installed_runtime(context: Context) -> tuple[Runtime, Seccomp]:
    """The runtime and the seccomp profile that setup chose, each still what it was.

    Raises runtime-missing or runtime-tampered.
    """
    return recorded_runtime(state.read_record(context.paths.setup_record), context.config.runtime)


def recorded_runtime(record: dict[str, Json], kind: str) -> tuple[Runtime, Seccomp]:
    """As `installed_runtime`, from setup's record for a kind of runtime."""
    runtime = runtimefiles.check(record, kind)
    kept = jsonview.fields(record, slot("seccomp", kind))
    path, digest = jsonview.text(kept, "path"), jsonview.text(kept, "sha256")
    content = state.read_bytes(path)
    if content is None or state.sha256(content) != digest:
        raise AiboxError(
            "runtime-tampered",
            f"the seccomp profile {path or '(none)'} is not the one that setup installed",
            why="missing" if content is None else "its SHA-256 differs",
            fix="aibox setup",
        )
    return runtime, Seccomp(path, digest, content)


def profile_of(seccomp: Seccomp) -> Json:
    """The installed seccomp profile: the very bytes whose SHA-256 was compared, not a second reading of the file."""
    return jsonview.parse(seccomp.content or state.read_bytes(seccomp.path) or b"{}")


def image_reference(context: Context, local: str) -> str:
    """The image to use: what was configured, else what setup found or built."""
    config = context.config
    if config.origins["image"].kind != "default" or not local:
        return config.image
    asked = config.origins["variant"].kind != "default"
    return config.image if asked and variant_of(local) not in ("", config.variant) else local


def kept_image(record: dict[str, Json], identifier: str) -> dict[str, Json]:
    """What setup's record says of an image that it uses or used before; empty for any other."""
    found = (jsonview.fields(record, entry) for entry in IMAGES)
    return next((kept for kept in found if kept.get("id") == identifier), {})


def require_policy(context: Context, reference: str, place: str) -> None:
    """Refuse what the host's policy does not allow. Raises policy-refused with every rule that is broken."""
    broken = policy_violations(context.config._replace(image=reference), context.policy, place)
    if broken:
        raise AiboxError(
            "policy-refused",
            f"the host's policy refuses this box: {'; '.join(message for _, message in broken)}",
            why=f"/etc/aibox/policy.yaml: {', '.join(rule for rule, _ in broken)}",
            fix="change the setting that is named, or ask the administrator of this host",
        )


def require_signed(policy: Policy, kept: dict[str, Json], reference: str) -> None:
    """Refuse an image whose signature was not checked, where policy demands that; `kept` is what setup noted of it.

    Raises policy-refused.
    """
    from aibox import imagetrust

    if policy.require_signature and not imagetrust.is_checked(policy, kept, reference):
        raise AiboxError(
            "policy-refused",
            f"the host's policy demands a checked signature, and that of {reference} was not checked",
            why="/etc/aibox/policy.yaml: require_signature",
            fix="aibox setup, which pulls it under the signature policy (aibox image trust writes one)",
        )


def require_fallback(context: Context, confinement: str) -> None:
    """Refuse runc and crun where the host cannot make up for gVisor (SPEC R4). Raises fallback-refused."""
    kind = context.config.runtime
    if kind == "runsc" or confinement == "apparmor":
        return
    seen = "has SELinux, which this version does not set up for it" if confinement == "selinux" else "has no AppArmor"
    raise AiboxError(
        "fallback-refused",
        f"{kind} may stand in for gVisor only where AppArmor confines the box, and this host {seen}",
        why="without gVisor a box's programs meet this host's own kernel",
        fix="use gVisor: remove --runtime, AIBOX_RUNTIME or the key 'runtime' of the configuration",
    )


def require_confinement(demanded: str, profile: str) -> None:
    """Refuse a box whose runtime no security module confines, where policy demands one. Raises policy-refused."""
    if demanded == "none" or (profile and demanded in ("any", "apparmor")):
        return
    wanted = {"any": "AppArmor or SELinux", "apparmor": "AppArmor", "selinux": "SELinux"}[demanded]
    why = "runsc does not support SELinux's labels" if demanded == "selinux" else "no profile confines the runtime here"
    raise AiboxError(
        "policy-refused",
        f"the host's policy demands that {wanted} confines boxes",
        why=f"{why} (/etc/aibox/policy.yaml: require_mac)",
        fix="have an administrator run: sudo aibox setup; then: aibox setup",
    )


def planning(context: Context, calls: EngineCalls, place: Workspace) -> Making:
    """Judge what needs no engine: what policy refuses and what setup has not made is raised here.

    The call that it returns asks the engine, and makes the plan. It raises image-missing and what its parts raise.
    """
    record = state.read_record(context.paths.setup_record)
    kept = jsonview.fields(record, "image")
    reference = image_reference(context, jsonview.text(kept, "reference"))
    require_policy(context, reference, place.path)
    require_signed(context.policy, kept, reference)
    if context.config.runtime != "runsc":
        require_fallback(context, facts.host().confinement)
    runtime, seccomp = recorded_runtime(record, context.config.runtime)
    require_confinement(context.policy.require_mac, runtime.apparmor)

    def making() -> tuple[LaunchPlan, Json]:
        from aibox import imagetrust

        image = calls.image(reference)
        if image is None:
            never = context.config.pull == "never"
            raise AiboxError(
                "image-missing",
                f"the image {reference} is not on this host",
                why="aibox start does not fetch images by itself" if never else "it was not found",
                fix="aibox setup",
            )
        imagetrust.require_checked(context, kept, image)
        return make_plan(context, calls, place, runtime=runtime, seccomp=seccomp, image=image), profile_of(seccomp)

    return making


def plan_for(context: Context, calls: EngineCalls, place: Workspace) -> tuple[LaunchPlan, Json]:
    """The plan for a workspace and the seccomp profile it uses. Raises what `planning` and its call raise."""
    return planning(context, calls, place)()


def make_plan(
    context: Context, calls: EngineCalls, place: Workspace, *, runtime: Runtime, seccomp: Seccomp, image: Image
) -> LaunchPlan:
    """The plan, from parts that were found."""
    config = context.config
    limits = Limits(
        memory=config.memory,
        cpus=config.cpus,
        pids=config.pids,
        shm=config.shm,
        nofile=_open_files(),
        holder=limits_holder(context, rootless=calls.engine.rootless, kind=runtime.kind),
    )
    return make(
        workspace=place,
        engine=calls.engine,
        runtime=runtime,
        image=image,
        seccomp=seccomp,
        apparmor="" if runtime.kind == "runsc" else runtime.apparmor,
        limits=limits,
        caches=config.caches,
        id_mapped_source=context.paths.workspaces,
        init=runtimefiles.init_program(os.uname().machine),
        stop_timeout=config.stop_timeout,
        version=__version__,
    )


def confinement_line(context: Context, confinement: str, profile: str) -> str:
    """One line on what confines runsc on this host.

    `confinement` is the host's security module, `profile` the AppArmor profile that runsc enters, or empty.
    """
    from aibox import apparmor

    record = state.read_record(context.paths.setup_record)
    return apparmor.describe(confinement, profile, jsonview.texts(record, "outer", "lacking"))


def limits_holder(context: Context, *, rootless: bool, kind: str) -> str:
    """Who holds resource limits here: a rootful engine always; without root only systemd can (docs/limits.md)."""
    from aibox import scope

    if not rootless:
        return "engine"
    if not scope.available(context.caller.uid, context.environ.get("XDG_RUNTIME_DIR", "")):
        return ""
    return "systemd" if kind == "runsc" else "engine"


def _open_files() -> int:
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return NOFILE if hard == resource.RLIM_INFINITY else min(hard, NOFILE)


def current_folder() -> str:
    """The caller's current folder. Raises workspace-missing if it was deleted."""
    try:
        return os.getcwd()
    except OSError as error:
        raise AiboxError("workspace-missing", "the current folder no longer exists", fix="cd to a folder") from error
