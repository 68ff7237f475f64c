"""Starts throw-away boxes: nothing about gVisor is concluded from versions, only from a box that really ran."""

import os
import shutil
import tempfile
from typing import NamedTuple

from aibox import execute, leftovers, runner, state
from aibox.boxes import forget
from aibox.context import Context, make_plan, profile_of
from aibox.enginecalls import CREATE_SECONDS, EngineCalls
from aibox.errors import AiboxError
from aibox.execute import Started
from aibox.model import BOX_WORKSPACE, Developer, Identity, LaunchPlan, Mount, Runtime, Workspace
from aibox.plan import SCRATCH, Image, Seccomp

PROBE_SECONDS = 90.0  # a platform that hangs never ends; on a busy machine, one that works may take most of this
PLATFORMS = ("systrap", "kvm", "ptrace")
KVM = "/dev/kvm"
MIB = 1 << 20
FILTERED = "Seccomp: 2"


class Probed(NamedTuple):
    """What a throw-away box showed: the seccomp mode of a session, and what gVisor calls its kernel."""

    session_seccomp: int
    kernel: str


def platforms(configured: str) -> tuple[str, ...]:
    """The platforms worth trying, in order."""
    if configured != "auto":
        return (configured,)
    usable = os.access(KVM, os.R_OK | os.W_OK)
    return tuple(name for name in PLATFORMS if name != "kvm" or usable)


def try_runtime(context: Context, calls: EngineCalls, runtime: Runtime, seccomp: Seccomp, image: Image) -> Probed:
    """Run a bare box (no workspace, no volume) under `runtime` and look into a session of it.

    Raises platform-failed with the cause as far as the engine or the host tells it.
    """
    plan = _bare(_plan(context, calls, runtime, seccomp, image, folder="/nonexistent", caches=()))
    try:
        calls.remove(plan.name)
        # the runtime has no part in this, so it says nothing about the platform and may take its time
        runner.checked(calls.run(calls.adapter.create(calls.engine, plan), CREATE_SECONDS), "platform-failed")
        calls.start_unchecked(plan, PROBE_SECONDS)
        words = ["cat", "/proc/self/status", "/proc/version"]
        result = runner.checked(calls.run([*calls.engine.argv, "exec", plan.name, *words], PROBE_SECONDS))
    except AiboxError as error:
        raise AiboxError(
            "platform-failed",
            f"{runtime.program} does not start a box with platform {runtime.platform}",
            why=execute.cause(error.what),
            fix="aibox setup --runsc FILE, or see: aibox help platform-failed",
        ) from error
    finally:
        calls.remove(plan.name)
    lines = result.text().splitlines()
    mode = next((line.split()[1] for line in lines if line.startswith("Seccomp:") and len(line.split()) > 1), "")
    return Probed(int(mode) if mode.isdigit() else -1, lines[-1] if lines else "")


def prove(context: Context, calls: EngineCalls, *, runtime: Runtime, seccomp: Seccomp, image: Image) -> Started:
    """Start a whole box with every check, run a session in it, and remove it with its volumes.

    Raises what `aibox start` raises, or control-failed if the session is without its filter.
    """
    started, seen = whole_box(context, calls, runtime=runtime, seccomp=seccomp, image=image)
    if seen != FILTERED:
        raise AiboxError(
            "control-failed",
            "a session in the throw-away box is without its seccomp filter",
            why=f"it shows {seen!r}, not {FILTERED!r}",
            fix="aibox setup",
        )
    return started


def whole_box(
    context: Context, calls: EngineCalls, *, runtime: Runtime, seccomp: Seccomp, image: Image
) -> tuple[Started, str]:
    """As `prove`, but returns the seccomp line of the session for the caller to judge."""
    folder = tempfile.mkdtemp(prefix=leftovers.folder_prefix(), dir=_scratch(context))
    os.chown(folder, context.caller.uid, context.caller.gid)
    plan = _plan(context, calls, runtime, seccomp, image, folder=folder, caches=context.config.caches)
    try:
        started = execute.start(
            calls,
            context.paths,
            plan.name,
            lambda: lambda: (plan, profile_of(seccomp)),
            lambda _text: None,
            recorded=lambda _digest: None,
            launching=lambda _plan, _checks: None,
        )
        argv = [*calls.engine.argv, "exec", plan.name, "grep", "^Seccomp:", "/proc/self/status"]
        session = calls.run(argv, PROBE_SECONDS)
        return started, " ".join(session.text().split()) or session.complaint()
    finally:
        execute.destroy(calls, context.paths, plan.name)
        forget(context.paths, plan.name)
        for mount in plan.mounts:
            if mount.kind == "volume":
                calls.run([*calls.engine.argv, "volume", "rm", "--force", mount.source])
        shutil.rmtree(folder, ignore_errors=True)


def _scratch(context: Context) -> str:
    """A folder for throw-away workspaces that the engine can mount: never /tmp, which may be without exec or full."""
    folder = f"{context.paths.data}/proof"
    state.make_folder(folder, 0o711)
    return folder


def _plan(
    context: Context,
    calls: EngineCalls,
    runtime: Runtime,
    seccomp: Seccomp,
    image: Image,
    *,
    folder: str,
    caches: tuple[str, ...],
) -> LaunchPlan:
    """A plan whose box and volumes carry a name of their own, so that they never meet a developer's."""
    status = os.stat(folder) if os.path.isdir(folder) else None
    identity = Identity(status.st_dev, status.st_ino) if status else Identity(0, 0)
    owner = Developer(context.caller.uid, context.caller.gid, f"{context.caller.name}.proof{os.getpid()}")
    place = Workspace(folder, identity, owner, "unknown", empty=True)
    altered = context._replace(config=context.config._replace(caches=caches))
    return make_plan(altered, calls, place, runtime=runtime, seccomp=seccomp, image=image)


def _bare(plan: LaunchPlan) -> LaunchPlan:
    scratch = tuple(mount for mount in plan.mounts if mount.kind == "tmpfs")
    return plan._replace(mounts=(Mount("tmpfs", "", BOX_WORKSPACE, SCRATCH, MIB), *scratch))
