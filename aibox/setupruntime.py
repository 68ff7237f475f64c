"""Setup's runtime step: the first runsc that really starts a box, behind aibox's wrapper."""

import itertools
import os
from typing import TYPE_CHECKING

from aibox import apparmor, jsonview, probe, runscsources, runtimefiles, setupfallback, setupimage
from aibox.context import installed_runtime
from aibox.errors import AiboxError
from aibox.jsonview import Json
from aibox.model import RUNSC_PROFILE, Runtime
from aibox.runtimefiles import Settings

if TYPE_CHECKING:
    from aibox.setupsteps import Setup


def missing(setup: "Setup") -> str:
    """The recorded runtime is whole, is what this aibox would write, and is the program that was asked for."""
    try:
        runtime, _ = installed_runtime(setup.context)
    except AiboxError as error:
        return error.what
    if setup.kind != "runsc":
        return setupfallback.missing(setup, runtime)
    return _missing_gvisor(setup, runtime)


def _missing_gvisor(setup: "Setup", runtime: Runtime) -> str:
    kept = setup.kept("runtime")
    settings = _settings(setup, runtime.program, runtime.platform, jsonview.text(kept, "apparmor"))
    if runtimefiles.digest(runtimefiles.contents(settings, os.path.dirname(runtime.path))) != runtime.digest:
        return "the wrapper was written by another version of aibox"
    wanted = setup.runsc or setup.context.config.runsc_path or ("the bundle's runsc" if setup.bundle else "")
    other = os.path.realpath(wanted) != runtime.program
    if setup.bundle:
        other = setup.bundle.runsc_digest != jsonview.text(kept, "program_sha256")
    if wanted and other:
        return f"the wrapper calls {runtime.program}, not {wanted}"
    if setup.context.config.platform not in ("auto", runtime.platform):
        return f"the wrapper uses platform {runtime.platform}, not {setup.context.config.platform}"
    names = apparmor.loaded_names() if setup.host.confinement == "apparmor" else frozenset()
    if names is not None and (RUNSC_PROFILE in names) != bool(kept.get("apparmor")):
        return f"the AppArmor profile {RUNSC_PROFILE} {'was loaded' if RUNSC_PROFILE in names else 'is gone'} since"
    if setup.calls().engine.version and kept.get("kernel") != setup.host.kernel:
        return f"the kernel is {setup.host.kernel}; gVisor was proved on {kept.get('kernel') or 'another one'}"
    return ""


def _settings(setup: "Setup", program: str, platform: str, apparmor: str) -> Settings:
    return Settings(
        program=program,
        platform=platform,
        rootless=not setup.root,
        apparmor=apparmor,
        python=runtimefiles.python_program(),
        machine=setup.host.machine,
        boxes=setup.meetings,
    )


def commands(setup: "Setup") -> list[str]:
    if setup.kind != "runsc":
        return [f"write a wrapper around {setup.kind} in {setup.context.paths.data}/runtimes/"]
    names = [source.title for source in _sources(setup)]
    return [
        f"use the first runsc that starts a box, from: {'; '.join(names)}",
        f"write {setup.context.paths.data}/runtimes/",
    ]


def _where(setup: "Setup") -> runscsources.Where:
    context = setup.context
    return runscsources.Where(
        setup.host, context.paths, context.env, context.config.runsc_path, setup.runsc, setup.root, setup.say
    )


def choose(setup: "Setup") -> None:
    if setup.kind != "runsc":
        runtime, settings = setupfallback.choose(setup)
        setup.keep("runtime", _runtime_record(setup, runtime, settings, "host"))
        return
    reasons: list[str] = []
    for source in _sources(setup):
        try:
            candidates = source.find()
        except AiboxError as error:
            setup.say(f"{source.title}: {error.what}")
            reasons.append(f"{source.name}: {error.what}")
            continue
        for program in candidates:
            chosen = _first_platform(setup, source, program, reasons)
            if chosen:
                return
    raise AiboxError(
        "platform-failed",
        "no runsc was found that starts a box here",
        why="; ".join(reasons),
        fix="aibox setup --runsc FILE, with a runsc of gVisor release 20230801 or newer",
    )


def _sources(setup: "Setup") -> list[runscsources.Source]:
    """Where runsc may come from: unless one was named, first the one that setup chose before, if it is still that."""
    if setup.bundle:
        program_of = setup.bundle.runsc
        keep = [runscsources.keep] if setup.bundle.folder else []
        paths = setup.context.paths
        return [runscsources.Source("bundle", "the bundle", lambda: [one(paths, program_of) for one in keep])]
    known = runscsources.sources(_where(setup))
    kept = setup.kept("runtime")
    program, digest = jsonview.text(kept, "program"), jsonview.text(kept, "program_sha256")
    if setup.runsc or setup.context.config.runsc_path or not digest or runtimefiles.program_digest(program) != digest:
        return known
    return [runscsources.Source("recorded", "the runsc that setup chose before", lambda: [program]), *known]


def _first_platform(setup: "Setup", source: runscsources.Source, program: str, reasons: list[str]) -> Runtime | None:
    calls = setup.calls()
    image = setupimage.local_image(setup.context, calls, setup.record)
    seccomp = setup.seccomp()
    for platform, profile in itertools.product(probe.platforms(setup.context.config.platform), _profiles(setup)):
        settings = _settings(setup, program, platform, profile)
        named = f"{program} with platform {platform}" + (f" and AppArmor profile {profile}" if profile else "")
        try:
            runtime = runtimefiles.install(setup.context.paths, settings)
            probed = probe.try_runtime(setup.context, calls, runtime, seccomp, image)
            if probed.session_seccomp != 2:
                raise AiboxError("platform-failed", f"sessions under {program} have no seccomp filter")
        except AiboxError as error:
            setup.say(f"{named}: {error.why or error.what}")
            reasons.append(f"{source.name}: {named}: {error.why or error.what}")
            continue
        setup.keep("runtime", _runtime_record(setup, runtime, settings, source.name))
        setup.say(f"{named} starts a box (source: {source.title})")
        return runtime
    return None


def adopt(setup: "Setup", source: runscsources.Source, program: str) -> Runtime:
    """Use this runsc from now on, if it starts a box. Raises platform-failed; then the one before stays."""
    reasons: list[str] = []
    runtime = _first_platform(setup, source, program, reasons)
    if runtime is None:
        raise AiboxError(
            "platform-failed",
            f"{program} does not start a box here",
            why="; ".join(reasons),
            fix="aibox doctor; the runsc before stays in use",
        )
    return runtime


def _profiles(setup: "Setup") -> tuple[str, ...]:
    """The AppArmor profiles to try for runsc: without one only where the host's policy does not demand it."""
    if setup.host.confinement != "apparmor":
        return ("",)
    return (RUNSC_PROFILE,) if setup.context.policy.require_mac != "none" else (RUNSC_PROFILE, "")


def _runtime_record(setup: "Setup", runtime: Runtime, settings: Settings, source: str) -> Json:
    files = sorted(runtimefiles.contents(settings, os.path.dirname(runtime.path)))
    return {
        "path": runtime.path,
        "digest": runtime.digest,
        "files": list(files),
        "program": runtime.program,
        "program_sha256": runtimefiles.program_digest(runtime.program),
        "program_identity": runtimefiles.program_identity(runtime.program),
        "platform": runtime.platform,
        "apparmor": settings.apparmor,
        "source": source,
        "kernel": setup.host.kernel,
    }
