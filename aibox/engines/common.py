"""What Podman and Docker have in common: commands with equal words, and the fields of `container inspect`. Pure."""

from collections.abc import Sequence

from aibox import jsonview
from aibox.engines.adapter import BoxState, SessionOptions
from aibox.errors import AiboxError
from aibox.jsonview import Json, fields, number, text
from aibox.model import LABEL_OWNER, LABEL_PLAN, LABEL_WORKSPACE, Engine


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


def version(kind: str, output: str, mark: str = "") -> tuple[int, ...]:
    """The first number in the output of `--version`, as (4, 3, 1), with `mark` behind it. Raises engine-garbage."""
    word = next((word for word in output.split() if word[:1].isdigit()), "")
    numbers = word.rstrip(mark).split("-")[0].split("+")[0].split(".")
    if len(numbers) < 2 or not all(part.isascii() and part.isdigit() and len(part) < 20 for part in numbers):
        raise AiboxError("engine-garbage", f"{kind} --version printed {output.strip()[:80]!r}")
    return tuple(int(part) for part in numbers)


def records(kind: str, output: str) -> Json:
    """What `container inspect` printed. Raises engine-garbage."""
    try:
        return jsonview.parse(output)
    except ValueError as error:
        raise AiboxError("engine-garbage", f"{kind} inspect did not print JSON", why=str(error)) from error


def state(kind: str, record: Json) -> BoxState:
    """One element of `container inspect`. Docker does not tell `oci_config`: the wrapper does, see dockergate.

    Raises engine-garbage.
    """
    labels = fields(record, "Config", "Labels")
    name = text(record, "Name")
    if not name or not text(record, "Id"):
        raise AiboxError("engine-garbage", f"{kind} inspect printed JSON without a name and an id")
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
        oci_config=text(record, "OCIConfigPath"),
        inspect=record,
    )
