"""What aibox asks of a container engine: command lines for each act, and values from what it prints. Pure.

`podman` and `docker` are modules of this shape; enginecalls runs what they return.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from aibox.jsonview import Json
from aibox.model import Engine, LaunchPlan


class BoxState(NamedTuple):
    """One box as the engine lists or inspects it. `pid` is the Sentry's (0: nothing runs)."""

    name: str
    identifier: str
    status: str
    pid: int
    workspace: str
    owner: str
    plan: str
    image: str
    created: str
    oci_config: str
    inspect: Json

    @property
    def running(self) -> bool:
        """Whether processes run in it."""
        return self.status == "running"


class SessionOptions(NamedTuple):
    """How a session runs: with standard input, on a terminal, where, and with which further variables."""

    interactive: bool
    tty: bool
    workdir: str
    environment: tuple[tuple[str, str], ...]


class Adapter(Protocol):
    """One engine. Each function returns the words of a command, or reads one's output (raising engine-garbage)."""

    def create(self, engine: Engine, plan: LaunchPlan) -> list[str]:
        """Make the box without starting anything."""

    def session(self, engine: Engine, box: str, words: Sequence[str], options: SessionOptions) -> list[str]:
        """Run `words` in a running box."""

    def stop(self, engine: Engine, box: str, timeout: int) -> list[str]:
        """Stop a box; after `timeout` seconds it is killed."""

    def remove(self, engine: Engine, box: str) -> list[str]:
        """Remove a box and what runs in it; volumes stay."""

    def parse_version(self, output: str) -> tuple[int, ...]:
        """The version in the output of `--version`."""

    def parse_inspect(self, output: str) -> BoxState:
        """The only element of `container inspect`."""
