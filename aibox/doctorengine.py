"""Doctor's looks at the engine, the OCI runtime, the image, and a throw-away box that proves them together."""

import os
from collections.abc import Callable

from aibox import (
    dockersteps,
    doctorjudge,
    imagevariants,
    jsonview,
    probe,
    remotepodman,
    runner,
    runtimefiles,
    setupimage,
    setupruntime,
    state,
)
from aibox.context import installed_runtime
from aibox.doctor import INFO_SECONDS, Examination
from aibox.doctorjudge import Look, fine, note, wrong
from aibox.engines.dialect import RUNTIME_KEY
from aibox.errors import AiboxError
from aibox.execute import cause
from aibox.model import COMPANION
from aibox.setupsteps import step, unsettled_storage
from aibox.verification import judge_outer, try_outer

USAGE_SECONDS = 20.0
HOOK_FOLDERS = ("/usr/share/containers/oci/hooks.d", "/etc/containers/oci/hooks.d")
MOUNTS_FILES = ("/usr/share/containers/mounts.conf", "/etc/containers/mounts.conf")


def only_podman(look: Callable[[Examination], Look]) -> Callable[[Examination], Look]:
    """A look at what only Podman has."""
    return lambda examination: fine("Docker has none") if examination.docker else look(examination)


def engine(examination: Examination) -> Look:
    found = examination.calls().engine
    return fine(f"{found.label}: {found.path}")


def storage_choice(examination: Examination) -> Look:
    """Before anything calls the engine: its first call settles the driver of its storage, on some releases as vfs."""
    missing = unsettled_storage(examination.setup)
    return wrong(missing) if missing else fine("an earlier call or a file settled it")


def answers(examination: Examination) -> Look:
    """The engine's own report; an engine that hangs or fails is named with its last words."""
    calls = examination.calls()
    kind = calls.engine.kind
    form = "{{json .}}" if examination.docker else "json"
    result = calls.run([*calls.engine.argv, "info", "--format", form], INFO_SECONDS)
    if not examination.docker and remotepodman.elsewhere(result):
        refusal = remotepodman.refusal(calls.engine.path, remotepodman.own_folder(examination.context))
        return wrong(f"{refusal.what}: {refusal.why}", refusal.fix)
    if result.code != 0:
        remedy = "systemctl start docker" if examination.docker else ""
        return wrong(f"{kind} info fails: {result.complaint()}", remedy)
    try:
        examination.info = jsonview.parse(result.out)
    except ValueError as error:
        return wrong(f"{kind} info prints no JSON: {error}", f"{kind} info")
    if examination.docker:
        return fine(f"docker info answers: daemon version {jsonview.text(examination.info, 'ServerVersion')}")
    version = jsonview.text(examination.info, "version", "Version")
    return fine(f"podman info answers: version {version}")


def storage_driver(examination: Examination) -> Look:
    return doctorjudge.storage(examination.info)


def monitor(examination: Examination) -> Look:
    wrapper = (state.read_bytes(jsonview.text(examination.kept("runtime"), "path")) or b"").decode("utf-8", "replace")
    return doctorjudge.monitor(jsonview.text(examination.info, "host", "conmon", "version"), wrapper)


def trust(examination: Examination) -> Look:
    own = f"{os.path.dirname(examination.context.paths.config)}/containers/policy.json"
    path = own if not examination.root and os.path.exists(own) else "/etc/containers/policy.json"
    content, problem = state.read_bytes(path), ""
    try:
        jsonview.parse(content or b"{}")
    except ValueError as error:
        problem = str(error)
    return doctorjudge.trust(path, content, problem)


def hooks(_examination: Examination) -> Look:
    found = {}
    for folder in HOOK_FOLDERS:
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        found.update({f"{folder}/{name}": state.read_bytes(f"{folder}/{name}") or b"" for name in names})
    return doctorjudge.hooks(found)


def added_mounts(examination: Examination) -> Look:
    own = f"{os.path.dirname(examination.context.paths.config)}/containers/mounts.conf"
    found = {}
    for path in (*MOUNTS_FILES, *(() if examination.root else (own,))):
        lines = (state.read_bytes(path) or b"").decode("utf-8", "replace").splitlines()
        places = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
        # Podman passes over what is not there
        found[path] = [place for place in places if os.path.exists(place.split(":")[0])]
    return doctorjudge.added_mounts(found)


def set_up(examination: Examination) -> Look:
    kept = examination.kept("runtime")
    if not jsonview.text(kept, "path"):
        return wrong("aibox setup has not finished for this user")
    return fine(f"done, with {jsonview.text(kept, 'program')} from the source {jsonview.text(kept, 'source')!r}")


def program(examination: Examination) -> Look:
    """runsc itself: there, a file, and allowed to run; with the folder that newer releases need beside it."""
    path = jsonview.text(examination.kept("runtime"), "program")
    if not os.path.isfile(path):
        return wrong(f"{path} is not there")
    if not os.access(path, os.X_OK):
        return wrong(f"{path} may not be executed", f"chmod a+rx {path}")
    beside = f"{os.path.dirname(path)}/{COMPANION}"
    return fine(f"{path}{f' with {COMPANION}/' if os.path.isdir(beside) else ''}")


def new_enough(examination: Examination) -> Look:
    """Whether runsc knows the flags and the platform that boxes need; its version string says nothing reliable."""
    kept = examination.kept("runtime")
    if examination.setup.kind != "runsc":
        return fine(f"{examination.setup.kind} needs no flags")
    path, platform = jsonview.text(kept, "program"), jsonview.text(kept, "platform")
    argv = [path, *runtimefiles.FLAGS, f"--platform={platform}", "help"]
    result = runner.run(argv, timeout=USAGE_SECONDS, env=examination.context.env, cwd="/")
    if result.code != 0:
        return wrong(f"{path} is too old, or no runsc: {result.complaint()}")
    version = runner.run([path, "--version"], timeout=USAGE_SECONDS, env=examination.context.env, cwd="/")
    return fine(f"knows platform {platform} and aibox's flags; calls itself {version.text().partition(chr(10))[0]!r}")


def program_unchanged(examination: Examination) -> Look:
    kept = examination.kept("runtime")
    runtimefiles.check_program(kept, examination.setup.kind)
    return fine(f"sha256 {jsonview.text(kept, 'program_sha256')[:16]}, as proved")


def wrapper(examination: Examination) -> Look:
    kept = examination.kept("runtime")
    runtimefiles.check_wrapper(kept)
    folder = os.path.dirname(jsonview.text(kept, "path"))
    return fine(f"{folder}: {len(jsonview.texts(kept, 'files'))} files as setup wrote them")


def wrapper_current(examination: Examination) -> Look:
    """Written by this aibox, for this kernel and for today's settings."""
    missing = setupruntime.missing(examination.setup)
    kept = examination.kept("runtime")
    if missing:
        return wrong(missing)
    return fine(f"for kernel {examination.host.kernel}, {jsonview.text(kept, 'platform') or examination.setup.kind}")


def registration(examination: Examination) -> Look:
    """Setup's file is there, and the engine really finds the wrapper by name."""
    missing = step("daemon" if examination.docker else "registration").missing(examination.setup)
    if missing:
        return wrong(missing, "aibox setup --engine docker" if examination.docker else "")
    if examination.docker:
        return fine(f"the daemon's runtime {RUNTIME_KEY!r} is {dockersteps.program(examination.setup)}")
    calls = examination.calls()
    name = runtimefiles.slot("aibox", examination.setup.kind)
    argv = [*calls.engine.argv, "--runtime", name, "info", "--format", "{{.Host.OCIRuntime.Path}}"]
    result = calls.run(argv, INFO_SECONDS)
    found, wanted = result.text().strip(), jsonview.text(examination.kept("runtime"), "path")
    if result.code == 0 and found == wanted:
        return fine(f"`podman --runtime {name}` is {found}")
    told = found if result.code == 0 else result.complaint()
    return wrong(
        f"`podman --runtime {name}` is not aibox's wrapper: {told}",
        "find what else sets it: grep -r aibox /etc/containers ~/.config/containers",
    )


def register(examination: Examination) -> None:
    """Write the engine's drop-in anew."""
    step("daemon" if examination.docker else "registration").do(examination.setup)


def seccomp_profile(examination: Examination) -> Look:
    missing = step("seccomp").missing(examination.setup)
    kept = examination.kept("seccomp")
    return wrong(missing) if missing else fine(f"{jsonview.text(kept, 'path')} is the shipped profile")


def write_seccomp(examination: Examination) -> None:
    """Write the shipped profile anew."""
    step("seccomp").do(examination.setup)


def outer_layer(examination: Examination) -> Look:
    """The layer around runsc, tried by a program that goes through the same launcher."""
    if examination.setup.kind != "runsc":
        return fine(f"{examination.setup.kind} has none: AppArmor confines the box")
    wrapper_path = jsonview.text(examination.kept("runtime"), "path")
    examination.outer, problem = try_outer(wrapper_path, examination.context.env)
    if problem:
        return wrong(f"the wrapper's launcher fails: {problem}")
    findings = judge_outer(examination.outer)
    failed = [finding.observed for finding in findings if not finding.ok]
    if failed:
        return wrong(f"not refused: {'; '.join(failed)}")
    return fine(f"{len(findings)} attempts refused, as far as this kernel can")


def landlock(examination: Examination) -> Look:
    if examination.setup.kind != "runsc":
        return fine("not used with a fallback")
    return doctorjudge.landlock(jsonview.number(examination.outer, "landlock_abi"))


def image(examination: Examination) -> Look:
    missing = setupimage.missing(examination.setup)
    kept = jsonview.fields(examination.setup.record, "image")
    if missing:
        return wrong(missing)
    return fine(f"{jsonview.text(kept, 'reference')} ({jsonview.text(kept, 'id')[:12]})")


def signature(examination: Examination) -> Look:
    kept = jsonview.fields(examination.setup.record, "image")
    reference = jsonview.text(kept, "reference")
    return doctorjudge.signature(
        reference,
        jsonview.text(kept, "signature"),
        local=reference in imagevariants.local_names(),
        required=examination.context.policy.require_signature,
    )


def box(examination: Examination) -> Look:
    """Start a whole throw-away box, with every check that a start makes."""
    context, calls = examination.context, examination.calls()
    runtime, seccomp = installed_runtime(context)
    local = setupimage.local_image(context, calls, examination.setup.record)
    try:
        started, examination.session = probe.whole_box(context, calls, runtime=runtime, seccomp=seccomp, image=local)
    except AiboxError as error:
        if error.code == "control-failed":
            raise
        return wrong(f"no box starts: {cause(error.what)}", error.fix)
    return fine(f"a throw-away box ran under {runtime.label}: {len(started.findings)} checks passed")


def session(examination: Examination) -> Look:
    if examination.session != probe.FILTERED:
        return wrong(f"a session shows {examination.session!r}, not {probe.FILTERED!r}")
    return fine(f"a session of the throw-away box shows {probe.FILTERED!r}")


def proof(examination: Examination) -> Look:
    """Whether setup's own proof is of today's parts."""
    missing = step("proof").missing(examination.setup)
    return note(missing) if missing else fine("setup proved these very parts")
