"""Where aibox meets the wrapper of a Docker box: before its first process runs, and later, for what was checked.

A folder for each box, which only root may enter, holds what data/dockerbox.py reads and writes: `wrapper` (a link to
the box's wrapper), `box.json` (its id map), `made.json` (where its OCI configuration is), `checked` (the SHA-256 of the
configuration that aibox let start), and while a start is under way the pipes `ask` and `answer`. The kernel closes them
when aibox dies, and the wrapper then refuses.
"""

import hashlib
import os
import select
import time
from collections.abc import Callable
from typing import NamedTuple

from aibox import jsonview, state
from aibox.errors import AiboxError
from aibox.jsonview import Json
from aibox.model import LaunchPlan

POLL_MILLISECONDS = 50
MOST_BYTES = 4096


class Asked(NamedTuple):
    """What the wrapper says when it holds a box: its main process, and the OCI configuration it was made from."""

    pid: int
    config: str


class Gate:
    """The pipes of one start; close it, and a box that still waits does not start."""

    def __init__(self, folder: str, plan: LaunchPlan) -> None:
        self.folder = folder
        prepare(folder, plan)
        for name in ("ask", "answer"):
            state.remove_file(f"{folder}/{name}")
            os.mkfifo(f"{folder}/{name}", 0o600)
        self.question = os.open(f"{folder}/ask", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        # open both ways, or there would have to be a reader first
        self.reply = os.open(f"{folder}/answer", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.config = ""

    def wait(self, seconds: float, ended: Callable[[], bool]) -> Asked | None:
        """The wrapper's question, or None when the engine's command ended without one. Raises command-timeout."""
        waiting = select.poll()
        waiting.register(self.question, select.POLLIN)
        deadline = time.monotonic() + seconds
        while True:
            over = ended()
            for _, event in waiting.poll(POLL_MILLISECONDS):
                asked = parse(os.read(self.question, MOST_BYTES)) if event & select.POLLIN else None
                if asked:
                    self.config = asked.config
                    return asked
            if over:
                return None
            if time.monotonic() > deadline:
                raise AiboxError(
                    "command-timeout",
                    f"docker did not set the box up within {seconds:g} seconds",
                    why="the daemon did not call aibox's wrapper",
                    fix="aibox doctor",
                )

    def open(self) -> None:
        """Let the box start, and note the configuration so that it may start again without aibox."""
        content = state.read_bytes(self.config) or b""
        state.write_atomically(f"{self.folder}/checked", f"{digest(jsonview.parse(content))}\n".encode())
        os.write(self.reply, b"go\n")

    def close(self) -> None:
        """Let nothing wait here any longer."""
        for descriptor in (self.question, self.reply):
            if descriptor >= 0:
                os.close(descriptor)
        self.question = self.reply = -1
        for name in ("ask", "answer"):
            state.remove_file(f"{self.folder}/{name}")


def prepare(folder: str, plan: LaunchPlan) -> None:
    """Say which wrapper the box has, and which ids. What was checked before no longer counts."""
    state.make_folder(folder, 0o700)
    state.remove_file(f"{folder}/checked")
    link = f"{folder}/wrapper"
    if not os.path.islink(link) or os.readlink(link) != plan.runtime.path:
        state.remove_file(link)
        os.symlink(plan.runtime.path, link)
    if plan.id_map:
        state.write_record(f"{folder}/box.json", {"base": plan.id_map.base, "size": plan.id_map.size})


def parse(question: bytes) -> Asked | None:
    """The wrapper's question; None if it is cut short."""
    try:
        record = jsonview.parse(question)
    except ValueError:
        return None
    return Asked(jsonview.number(record, "pid"), jsonview.text(record, "config"))


def config_path(folder: str) -> str:
    """Where the OCI configuration of the box's present or last run is; empty if the wrapper never saw it."""
    return jsonview.text(state.read_record(f"{folder}/made.json"), "config")


def digest(config: Json) -> str:
    """As data/dockerbox.py counts it."""
    mounts: list[Json] = [*sorted(map(jsonview.dump, jsonview.items(config, "mounts")))]
    return hashlib.sha256(jsonview.dump({**jsonview.fields(config), "mounts": mounts}).encode()).hexdigest()


def forget(folder: str) -> None:
    """Drop everything about a box that is gone."""
    try:
        for name in os.listdir(folder):
            state.remove_file(f"{folder}/{name}")
        os.rmdir(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise AiboxError("state-unwritable", f"{folder} cannot be removed", why=error.strerror or "") from error
