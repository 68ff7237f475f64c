"""Calls to Docker. A box is set up by `docker start` and held there by its own wrapper, until it is checked."""

import os
import threading
from collections.abc import Mapping, Sequence

from aibox import dockergate, jsonview
from aibox.dockergate import Gate
from aibox.enginecalls import CHANGE_SECONDS, QUERY_SECONDS, EngineCalls
from aibox.engines import docker
from aibox.engines.adapter import Adapter, BoxState
from aibox.engines.dialect import RUNTIME_KEY
from aibox.errors import AiboxError
from aibox.model import BOX_UID, Engine, LaunchPlan
from aibox.runner import Result, checked

UNREACHABLE = b"Cannot connect to the Docker daemon"


class DockerCalls(EngineCalls):
    """Docker with its rootful daemon. `meetings` is the folder in which aibox and the wrappers meet."""

    adapter: Adapter = docker

    def __init__(
        self, engine: Engine, env: Mapping[str, str], deadline: float | None = None, meetings: str = ""
    ) -> None:
        super().__init__(engine, env, deadline)
        self.meetings = meetings
        self.starting: _Starting | None = None

    def until(self, deadline: float) -> EngineCalls:
        return DockerCalls(self.engine, self.env, deadline, self.meetings)

    def inspect(self, box: str) -> BoxState | None:
        found = super().inspect(box)
        return found and found._replace(oci_config=dockergate.config_path(f"{self.meetings}/{found.identifier}"))

    def run(self, argv: Sequence[str], timeout: float = QUERY_SECONDS) -> Result:
        result = super().run(argv, timeout)
        if result.code != 0 and UNREACHABLE in result.err:
            raise AiboxError(
                "engine-failed",
                "Docker's daemon does not answer",
                why=f"nothing listens at {docker.SOCKET}",
                fix="systemctl start docker",
            )
        return result

    def boxes(self) -> list[BoxState]:
        names = self.change(docker.list_boxes(self.engine), timeout=QUERY_SECONDS).text().split()
        if not names:
            return []
        # one that was removed meanwhile makes the command fail, and the others are printed all the same
        return docker.parse_boxes(self.run([*self.engine.argv, "container", "inspect", *names]).text())

    def set_up(self, plan: LaunchPlan, seconds: float = CHANGE_SECONDS) -> BoxState | None:
        made = self.inspect(plan.name)
        if made is None:
            return None
        self._hand_over_volumes(plan, made)
        self.starting = _Starting(self, made, plan)
        asked = self.starting.gate.wait(seconds, self.starting.ended)
        if asked is None:
            self.starting.result()
            raise AiboxError(
                "engine-remote",
                f"docker started {plan.name} without calling aibox's wrapper on this host",
                why=f"the daemon at {docker.SOCKET} runs elsewhere, or its runtime {RUNTIME_KEY!r} is not aibox's",
                fix="aibox setup --engine docker",
            )
        return made._replace(pid=asked.pid, oci_config=asked.config)

    def start(self, box: str) -> None:
        if self.starting is None:
            raise AiboxError("internal-error", f"{box} was not set up")
        self.starting.gate.open()
        try:
            self.starting.result()
        finally:
            self._end_start()

    def start_unchecked(self, plan: LaunchPlan, seconds: float) -> None:
        try:
            if self.set_up(plan, seconds) is None:
                raise AiboxError("platform-failed", f"{plan.name} vanished while it was being made")
            self.start(plan.name)
        finally:
            self._end_start()

    def remove(self, box: str) -> None:
        # what still waits in the wrapper must not start, and the daemon answers nothing about a box that starts
        self._end_start()
        found = super().inspect(box)
        super().remove(box)
        if found:
            dockergate.forget(f"{self.meetings}/{found.identifier}")

    def give_to_box_user(self, folder: str, plan: LaunchPlan) -> None:
        owner = _owner(plan)
        os.chown(folder, owner, owner, follow_symlinks=False)

    def _end_start(self) -> None:
        starting, self.starting = self.starting, None
        if starting:
            starting.gate.close()
            starting.thread.join(CHANGE_SECONDS)

    def _hand_over_volumes(self, plan: LaunchPlan, box: BoxState) -> None:
        """A fresh volume holds the image's files, with ids of this host: they become the box's user's own.

        One that is the user's is left as it is: a box writes it, and nothing that a box wrote is walked through.
        """
        owner = _owner(plan)
        for mount in jsonview.items(box.inspect, "Mounts"):
            if jsonview.text(mount, "Type") != "volume":
                continue
            top = jsonview.text(mount, "Source")
            if os.lstat(top).st_uid == owner:
                continue
            for _, folders, files, at in os.fwalk(top, follow_symlinks=False):
                for name in (*folders, *files):
                    os.chown(name, owner, owner, dir_fd=at, follow_symlinks=False)
            # last, so that a walk which was interrupted is made again
            os.chown(top, owner, owner, follow_symlinks=False)


class _Starting:
    """A `docker start` under way, in a thread of its own, because it ends only when the gate has opened."""

    def __init__(self, calls: DockerCalls, box: BoxState, plan: LaunchPlan) -> None:
        self.calls = calls
        self.argv = [*calls.engine.argv, "start", box.name]
        self.gate = Gate(f"{calls.meetings}/{box.identifier}", plan)
        self.left: Result | AiboxError | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.left = self.calls.run(self.argv, CHANGE_SECONDS)
        except AiboxError as error:
            self.left = error

    def ended(self) -> bool:
        """Whether the command ended."""
        return not self.thread.is_alive()

    def result(self) -> None:
        """Wait for the command, which has to succeed. Raises engine-failed."""
        self.thread.join()
        if isinstance(self.left, AiboxError):
            raise self.left
        if self.left is not None:
            checked(self.left, "engine-failed", fix="aibox doctor")


def _owner(plan: LaunchPlan) -> int:
    if plan.id_map is None:
        raise AiboxError("internal-error", f"the plan of {plan.name} maps no ids")
    return plan.id_map.base + BOX_UID
