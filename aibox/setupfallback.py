"""Setup's part for the fallback: runc or crun behind aibox's wrapper, where policy and AppArmor are there for it."""

import os
from typing import TYPE_CHECKING

from aibox import probe, runner, runtimefiles, setupimage
from aibox.context import require_fallback
from aibox.errors import AiboxError
from aibox.model import SANDBOX_PROFILE, Runtime
from aibox.runtimefiles import Settings

if TYPE_CHECKING:
    from aibox.setupsteps import Setup


def settings(setup: "Setup", program: str) -> Settings:
    """What the wrapper around runc or crun is made for."""
    return Settings(
        program=program,
        platform="",
        rootless=not setup.root,
        apparmor=SANDBOX_PROFILE,
        python=runtimefiles.python_program(),
        machine=setup.host.machine,
        kind=setup.kind,
        boxes=setup.meetings,
    )


def missing(setup: "Setup", runtime: Runtime) -> str:
    """What differs from the wrapper that this aibox would write, or nothing."""
    wanted = settings(setup, runner.find_program(setup.kind) or "")
    same = runtimefiles.digest(runtimefiles.contents(wanted, os.path.dirname(runtime.path))) == runtime.digest
    return "" if same else "the wrapper was written by another version of aibox, or for another program"


def choose(setup: "Setup") -> tuple[Runtime, Settings]:
    """Wrap the host's runc or crun and prove it with a throw-away box.

    Raises policy-refused, fallback-refused, runtime-missing, platform-failed or control-failed.
    """
    if not setup.context.policy.fallback_runtime:
        raise AiboxError(
            "policy-refused",
            f"the host's policy does not allow the fallback {setup.kind}",
            why="/etc/aibox/policy.yaml: fallback_runtime",
            fix="ask the administrator of this host for 'fallback_runtime: true'",
        )
    require_fallback(setup.context, setup.host.confinement)
    program = runner.find_program(setup.kind)
    if program is None:
        raise AiboxError(
            "runtime-missing",
            f"{setup.kind} is not installed",
            why=f"looked in {runner.SYSTEM_PATH}",
            fix=f"install the package {setup.kind}, then: aibox setup --runtime {setup.kind}",
        )
    wanted = settings(setup, program)
    calls = setup.calls()
    image = setupimage.local_image(setup.context, calls, setup.record)
    runtime = runtimefiles.install(setup.context.paths, wanted)
    probed = probe.try_runtime(setup.context, calls, runtime, setup.seccomp(), image)
    if probed.session_seccomp != 2:
        raise AiboxError("control-failed", f"sessions under {program} have no seccomp filter")
    return runtime, wanted
