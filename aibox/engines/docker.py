"""Docker's command lines, and reading what it prints. Pure.

Sources: docker-create(1), docker-inspect(1) and docker-ps(1) of 20.10 to 28.x.
"""

from collections.abc import Sequence

from aibox import jsonview
from aibox.controls import CONTROLS, docker_flags
from aibox.engines.adapter import BoxState, SessionOptions
from aibox.errors import AiboxError
from aibox.jsonview import Json, dig, fields, items, number, text
from aibox.model import BOX_WORKSPACE, LABEL_OWNER, LABEL_PLAN, LABEL_WORKSPACE, NATIVE_KINDS, Engine, LaunchPlan

PERIOD = 100_000  # microseconds
SOCKET = "/var/run/docker.sock"


def options(client_folder: str) -> tuple[str, ...]:
    """What every command begins with: no configuration of the caller's (contexts, proxies), and the local daemon."""
    return ("--config", client_folder, "--host", f"unix://{SOCKET}")


def create(engine: Engine, plan: LaunchPlan) -> list[str]:
    """The command that makes the box without starting anything."""
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


def session(engine: Engine, box: str, words: Sequence[str], options: SessionOptions) -> list[str]:
    """The command that runs `words` in a running box."""
    argv = [*engine.argv, "exec"]
    argv += ["--interactive"] if options.interactive else []
    argv += ["--tty"] if options.tty else []
    argv += ["--workdir", options.workdir]
    for name, value in options.environment:
        argv += ["--env", f"{name}={value}"]
    return [*argv, box, *words]


def stop(engine: Engine, box: str, timeout: int) -> list[str]:
    """The command that stops a box; after `timeout` seconds it is killed."""
    return [*engine.argv, "stop", "--time", str(timeout), box]


def remove(engine: Engine, box: str) -> list[str]:
    """The command that removes a box and what runs in it; volumes stay."""
    return [*engine.argv, "rm", "--force", box]


def list_boxes(engine: Engine) -> list[str]:
    """The command that lists the ids of all boxes, running or not: one a line (`docker ps` runs labels together)."""
    return [*engine.argv, "ps", "--all", "--no-trunc", "--quiet", "--filter", f"label={LABEL_PLAN}"]


def parse_version(output: str) -> tuple[int, ...]:
    """`Docker version 20.10.24+dfsg1, build 297e128` as (20, 10, 24). Raises engine-garbage."""
    word = next((word for word in output.replace(",", " ").split() if word[:1].isdigit()), "")
    numbers = word.split("-")[0].split("+")[0].split(".")
    if len(numbers) < 2 or not all(part.isascii() and part.isdigit() for part in numbers):
        raise AiboxError("engine-garbage", f"docker --version printed {output.strip()[:80]!r}")
    return tuple(int(part) for part in numbers)


def parse_inspect(output: str) -> BoxState:
    """The only element of `docker container inspect`. Raises engine-garbage."""
    return _state(dig(_records(output), 0))


def parse_boxes(output: str) -> list[BoxState]:
    """All elements of `docker container inspect`. Raises engine-garbage."""
    return [_state(record) for record in items(_records(output))]


def _records(output: str) -> Json:
    try:
        return jsonview.parse(output)
    except ValueError as error:
        raise AiboxError("engine-garbage", "docker inspect did not print JSON", why=str(error)) from error


def _state(record: Json) -> BoxState:
    labels = fields(record, "Config", "Labels")
    name = text(record, "Name")
    if not name or not text(record, "Id"):
        raise AiboxError("engine-garbage", "docker inspect printed JSON without a name and an id")
    return BoxState(
        name=name.lstrip("/"),
        identifier=text(record, "Id"),
        status=text(record, "State", "Status"),
        pid=number(record, "State", "Pid"),
        workspace=text(labels, LABEL_WORKSPACE),
        owner=text(labels, LABEL_OWNER),
        plan=text(labels, LABEL_PLAN),
        image=text(record, "Image").removeprefix("sha256:"),
        created=text(record, "Created"),
        oci_config="",  # Docker does not tell; the wrapper does, see dockergate
        inspect=record,
    )
