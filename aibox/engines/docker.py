"""Docker's command lines, and reading what it prints. Pure.

Sources: docker-create(1), docker-inspect(1) and docker-ps(1) of 20.10 to 28.x.
"""

from aibox.engines import common
from aibox.engines.adapter import BoxState
from aibox.jsonview import dig, items
from aibox.model import BOX_WORKSPACE, LABEL_PLAN, NATIVE_KINDS, Engine, LaunchPlan

session, stop = common.session, common.stop

PERIOD = 100_000  # microseconds
SOCKET = "/var/run/docker.sock"


def options(client_folder: str) -> tuple[str, ...]:
    """What every command begins with: no configuration of the caller's (contexts, proxies), and the local daemon."""
    return ("--config", client_folder, "--host", f"unix://{SOCKET}")


def create(engine: Engine, plan: LaunchPlan) -> list[str]:
    """The command that makes the box without starting anything."""
    from aibox.controls import CONTROLS, docker_flags

    limits = plan.limits
    argv = [*engine.argv, "create", "--name", plan.name, "--hostname", "aibox"]
    for name, value in plan.labels:
        argv += ["--label", f"{name}={value}"]
    for control in CONTROLS:
        argv += docker_flags(control, plan)
    argv += ["--memory", str(limits.memory), "--memory-swap", str(limits.memory)] if limits.memory else []
    # --cpus would be refused where it is more than the host has
    argv += ["--cpu-period", str(PERIOD), "--cpu-quota", str(round(limits.cpus * PERIOD))] if limits.cpus else []
    argv += ["--pids-limit", str(limits.pids)] if limits.pids else []
    argv += ["--ulimit", f"nofile={limits.nofile}:{limits.nofile}", "--ulimit", "core=0:0"]
    if plan.runtime.kind in NATIVE_KINDS and limits.pids:
        argv += ["--ulimit", f"nproc={limits.pids}:{limits.pids}"]
    argv += ["--workdir", BOX_WORKSPACE, "--stop-timeout", str(plan.stop_timeout), "--stop-signal", "SIGTERM"]
    argv += ["--pull", "never", "--restart", "no", "--no-healthcheck"]
    argv += ["--log-driver", "local", "--log-opt", "max-size=16m"]
    first, *rest = plan.command
    return [*argv, "--entrypoint", first, plan.image_id, *rest]


def remove(engine: Engine, box: str) -> list[str]:
    """The command that removes a box and what runs in it; volumes stay."""
    return [*engine.argv, "rm", "--force", box]


def list_boxes(engine: Engine) -> list[str]:
    """The command that lists the ids of all boxes, running or not: one a line (`docker ps` runs labels together)."""
    return [*engine.argv, "ps", "--all", "--no-trunc", "--quiet", "--filter", f"label={LABEL_PLAN}"]


def parse_version(output: str) -> tuple[int, ...]:
    """`Docker version 20.10.24+dfsg1, build 297e128` as (20, 10, 24). Raises engine-garbage."""
    return common.version("docker", output, mark=",")


def parse_inspect(output: str) -> BoxState:
    """The only element of `docker container inspect`. Raises engine-garbage."""
    return common.state("docker", dig(common.records("docker", output), 0))


def parse_boxes(output: str) -> list[BoxState]:
    """All elements of `docker container inspect`. Raises engine-garbage."""
    return [common.state("docker", record) for record in items(common.records("docker", output))]
