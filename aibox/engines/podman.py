"""Podman's command lines, and reading what it prints. Pure.

Sources: podman-create(1), podman-exec(1), podman-inspect(1) of 4.3 to 5.x.
"""

from aibox import jsonview
from aibox.engines import common
from aibox.engines.adapter import BoxState
from aibox.errors import AiboxError
from aibox.jsonview import Json, dig, fields, items, number, text, texts
from aibox.model import BOX_WORKSPACE, LABEL, LABEL_OWNER, LABEL_PLAN, LABEL_WORKSPACE, NATIVE_KINDS, Engine, LaunchPlan

session, stop = common.session, common.stop

OLDEST = (4, 3)


def config_path(storage: str, identifier: str) -> str:
    """Where Podman keeps the OCI configuration of a box, in its storage on the overlay driver."""
    return f"{storage}/overlay-containers/{identifier}/userdata/config.json"


def create(engine: Engine, plan: LaunchPlan) -> list[str]:
    """The command that makes the box without starting anything."""
    from aibox.controls import CONTROLS  # making a box needs it, a session does not

    limits = plan.limits
    argv = [*engine.argv, "--runtime", plan.runtime.path, "create", "--name", plan.name, "--hostname", "aibox"]
    for name, value in plan.labels:
        argv += ["--label", f"{name}={value}"]
    for control in CONTROLS:
        argv += control.flags(plan)
    if limits.holder == "engine":
        argv += ["--memory", str(limits.memory)] if limits.memory else []
        argv += ["--memory-swap", str(limits.memory)] if limits.memory else []
        argv += ["--cpus", f"{limits.cpus:g}"] if limits.cpus else []
        argv += ["--pids-limit", str(limits.pids)] if limits.pids else []
    argv += ["--ulimit", f"nofile={limits.nofile}:{limits.nofile}", "--ulimit", "core=0:0"]
    if plan.runtime.kind in NATIVE_KINDS and limits.pids:
        # the engine's own default may exceed what this user may set
        argv += ["--ulimit", f"nproc={limits.pids}:{limits.pids}"]
    argv += ["--workdir", BOX_WORKSPACE, "--stop-timeout", str(plan.stop_timeout), "--stop-signal", "SIGTERM"]
    argv += ["--pull", "never", "--restart", "no", "--no-healthcheck", "--umask", "0022"]
    argv += ["--log-driver", "k8s-file", "--log-opt", "max-size=16mb"]
    first, *rest = plan.command
    return [*argv, "--entrypoint", jsonview.dump([first]), plan.image_id, *rest]


def remove(engine: Engine, box: str) -> list[str]:
    """The command that removes a box and what runs in it; volumes stay."""
    return [*engine.argv, "rm", "--force", "--time", "0", "--ignore", box]


def list_boxes(engine: Engine) -> list[str]:
    """The command that lists all boxes of this engine, running or not, as JSON."""
    return [*engine.argv, "ps", "--all", "--no-trunc", "--filter", f"label={LABEL_PLAN}", "--format", "json"]


def parse_version(output: str) -> tuple[int, ...]:
    """`podman version 4.3.1` as (4, 3, 1). Raises engine-garbage."""
    return common.version("podman", output)


def parse_inspect(output: str) -> BoxState:
    """The only element of `podman container inspect`. Raises engine-garbage."""
    return common.state("podman", dig(common.records("podman", output), 0))


def parse_list(output: str) -> list[BoxState]:
    """The boxes in the output of `list_boxes`. Raises engine-garbage."""
    try:
        rows = jsonview.parse(output or "[]")
    except ValueError as error:
        raise AiboxError("engine-garbage", "podman ps did not print JSON", why=str(error)) from error
    if rows is not None and not isinstance(rows, list):
        raise AiboxError("engine-garbage", "podman ps did not print a list")
    return [
        BoxState(
            name=(texts(row, "Names") or [""])[0],
            identifier=text(row, "Id"),
            status=text(row, "State"),
            pid=number(row, "Pid"),
            workspace=text(row, "Labels", LABEL_WORKSPACE),
            owner=text(row, "Labels", LABEL_OWNER),
            plan=text(row, "Labels", LABEL_PLAN),
            image=text(row, "ImageID"),
            created=str(number(row, "Created") or ""),
            oci_config="",
            inspect=row,
        )
        for row in rows or []
        if any(name.startswith(LABEL) for name in fields(row, "Labels"))
    ]


def mounted_volumes(inspect: Json) -> list[str]:
    """Names of the volumes that a box has."""
    return [text(mount, "Name") for mount in items(inspect, "Mounts") if text(mount, "Type") == "volume"]
