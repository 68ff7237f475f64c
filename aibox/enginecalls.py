"""Calls to the engine, each with a time limit: the edge between pure command lines and the host."""

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from aibox import jsonview, runner
from aibox.engines import podman
from aibox.engines.adapter import Adapter, BoxState
from aibox.errors import AiboxError
from aibox.jsonview import Json
from aibox.model import Engine, LaunchPlan
from aibox.plan import Image
from aibox.runner import Result, checked

if TYPE_CHECKING:
    from aibox.meanwhile import Meanwhile

QUERY_SECONDS = 30.0
CHANGE_SECONDS = 120.0
CREATE_SECONDS = 600.0  # for the first box of an image, Podman copies the image for the ids of the box
# how engines say that they have no such container or image
MISSING = ("no such container", "no such image", "no such object", "no container with name or id", "image not known")
SHORTEST_SECONDS = 5.0  # what is left of a deadline never keeps a box from being removed
REDIRECTING = (
    "CONTAINERS_CONF",
    "CONTAINERS_CONF_OVERRIDE",
    "CONTAINERS_REGISTRIES_CONF",
    "CONTAINERS_STORAGE_CONF",
    "CONTAINER_CONNECTION",
    "CONTAINER_HOST",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_HOST",
    "PODMAN_CONNECTIONS_CONF",
    "STORAGE_DRIVER",
    "STORAGE_OPTS",
)


def redirecting(environ: Mapping[str, str]) -> list[str]:
    """Variables in the caller's environment that would point an engine elsewhere; aibox never passes them on."""
    return [name for name in REDIRECTING if environ.get(name)]


class EngineCalls:
    """Podman, or what every engine has in common.

    It holds the environment for the engine's calls, and the moment (on the monotonic clock) when they have to end.
    """

    adapter: Adapter = podman

    def __init__(self, engine: Engine, env: Mapping[str, str], deadline: float | None = None) -> None:
        self.engine = engine
        # where the configuration of the box that is being started should lie, and the early look at it
        self._expected = ""
        self._storage = ""
        self._early: Meanwhile[bytes] | None = None
        self.env = dict(env)
        self.deadline = deadline

    def until(self, deadline: float) -> "EngineCalls":
        """The same engine, whose calls end by `deadline`."""
        return type(self)(self.engine, self.env, deadline)

    def run(self, argv: Sequence[str], timeout: float = QUERY_SECONDS) -> Result:
        """Run one engine command and return what it left."""
        if self.deadline is not None:
            timeout = min(timeout, max(SHORTEST_SECONDS, self.deadline - time.monotonic()))
        return runner.run(argv, timeout=timeout, env=self.env, cwd="/")

    def inside(self, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` as root of the engine's own user namespace, where it has one."""
        return [*self.engine.argv, "unshare", *argv] if self.engine.rootless else [*argv]

    def stream(
        self, argv: Sequence[str], timeout: float, *, stdin_from: int | None = None, stdout_to: int | None = None
    ) -> Result:
        """Run one engine command whose input or output is an open file."""
        return runner.run(argv, timeout=timeout, env=self.env, cwd="/", stdin_from=stdin_from, stdout_to=stdout_to)

    def change(self, argv: Sequence[str], *, fix: str = "aibox doctor", timeout: float = CHANGE_SECONDS) -> Result:
        """Run an engine command that has to succeed. Raises engine-failed."""
        return checked(self.run(argv, timeout), "engine-failed", fix=fix)

    def inspect(self, box: str) -> BoxState | None:
        """The engine's record of a box, or None if there is none. Raises engine-failed."""
        result = self._looked_at("container", box)
        if result is None:
            return None
        found = self.adapter.parse_inspect(result.text())
        self._expected = self._expected or found.oci_config
        return found

    def _looked_at(self, kind: str, name: str) -> Result | None:
        """What `inspect` of a container or an image left, or None if there is none. Raises engine-failed."""
        result = self.run([*self.engine.argv, kind, "inspect", name])
        if result.code == 0:
            return result
        complaint = result.err.decode("utf-8", "replace").lower()
        if any(words in complaint for words in MISSING):
            return None
        raise AiboxError(
            "engine-failed", f"{self.engine.kind} inspect failed: {result.complaint()}", fix="aibox doctor"
        )

    def boxes(self) -> list[BoxState]:
        """All boxes of this engine."""
        return podman.parse_list(self.change(podman.list_boxes(self.engine), timeout=QUERY_SECONDS).text())

    def image(self, reference: str) -> Image | None:
        """A local image, or None. Raises engine-failed, and image-unsuitable for one that tries to steer aibox."""
        result = self._looked_at("image", reference)
        if result is None:
            return None
        from aibox.engines.images import parse_image, storage_of

        self._storage = storage_of(result.text())
        return parse_image(result.text(), reference, self.engine.kind)

    def image_record(self, reference: str) -> Json:
        """What the engine says of a local image; None if it knows none. Raises engine-failed or engine-garbage."""
        result = self._looked_at("image", reference)
        try:
            return jsonview.dig(jsonview.parse(result.text()), 0) if result else None
        except ValueError as error:
            raise AiboxError(
                "engine-garbage", f"{self.engine.kind} image inspect is not JSON", why=str(error)
            ) from error

    def digest(self, reference: str) -> str:
        """The digest of a local image's manifest in its registry; empty for one that came from none."""
        from aibox.engines.images import digest_of

        return digest_of(self.image_record(reference), reference)

    def create(self, plan: LaunchPlan) -> None:
        """Make the box; nothing runs yet."""
        made = self.change(self.adapter.create(self.engine, plan), timeout=CREATE_SECONDS)
        self._expected = podman.config_path(self._storage, made.text().strip()) if self._storage else ""

    def set_up(self, plan: LaunchPlan) -> BoxState | None:
        """Have the runtime set the box up without its first process; the OCI configuration exists afterwards."""
        self.change([*self.engine.argv, "init", plan.name])
        if self._expected and self.engine.rootless:
            from aibox.meanwhile import Meanwhile

            self._early = Meanwhile(lambda: self._protected_file(self._expected))
        return self.inspect(plan.name)

    def start(self, box: str) -> None:
        """Let the first process of a box that is set up run."""
        self.change([*self.engine.argv, "start", box])

    def start_unchecked(self, plan: LaunchPlan, seconds: float) -> None:
        """Start a throw-away box that is only looked into."""
        self.change([*self.engine.argv, "start", plan.name], timeout=seconds)

    def stop(self, box: str, timeout: int) -> None:
        """Stop a box; its record stays."""
        self.change(self.adapter.stop(self.engine, box, timeout), timeout=CHANGE_SECONDS + timeout)

    def remove(self, box: str) -> None:
        """Remove a box whatever its state. Volumes stay."""
        result = self.run(self.adapter.remove(self.engine, box), CHANGE_SECONDS)
        if result.code != 0:
            # Podman 4.3 may find the box's shared memory busy right after the kill, and succeeds the second time
            result = self.run(self.adapter.remove(self.engine, box), CHANGE_SECONDS)
        if result.code != 0 and self.inspect(box) is not None:
            checked(result, "engine-failed", fix=f"{self.engine.kind} rm --force {box}")

    def oci_config(self, state: BoxState) -> Json:
        """The OCI configuration of an initialised box, as the runtime read it. Raises engine-garbage."""
        try:
            return jsonview.parse(self._config_file(state.oci_config))
        except ValueError as error:
            raise AiboxError("engine-garbage", f"{state.oci_config} is not JSON", why=str(error)) from error

    def _config_file(self, path: str) -> bytes:
        if self._early and path == self._expected:
            with contextlib.suppress(AiboxError):  # the second attempt says what is wrong
                return self._early.result()
        return self._protected_file(path)

    def _protected_file(self, path: str) -> bytes:
        try:
            with open(path, "rb") as file:
                return file.read()
        except PermissionError:
            # a rootless box's files belong to its own user namespace, which `podman unshare` enters
            return self.change([*self.engine.argv, "unshare", "cat", "--", path], timeout=QUERY_SECONDS).out
        except OSError as error:
            raise AiboxError("engine-garbage", f"the OCI configuration {path} is not there", why=str(error)) from error

    def give_to_box_user(self, folder: str, plan: LaunchPlan) -> None:
        """Make `folder`, inside a volume of the box, belong to the box's user."""
        if plan.id_map:
            owner = plan.id_map.base + 1000
            os.chown(folder, owner, owner, follow_symlinks=False)
            return
        # in the engine's own namespace the developer is uid 0, and the box maps that to its user
        self.change([*self.engine.argv, "unshare", "chown", "--no-dereference", "0:0", "--", folder])
