"""One question to the engine while another one, or this process itself, is at work."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from aibox.errors import AiboxError

T = TypeVar("T")


class Meanwhile(Generic[T]):
    """A call that runs in a thread of its own from now on. It only looks: nobody may wait for what it finds."""

    def __init__(self, act: Callable[[], T]) -> None:
        self._act = act
        self._found: list[T] = []
        self._error: AiboxError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def result(self) -> T:
        """What it returned. Raises what it raised."""
        self._thread.join()
        if not self._found:
            raise self._error or AiboxError("internal-error", "a question to the engine ended without an answer")
        return self._found[0]

    def _run(self) -> None:
        try:
            self._found.append(self._act())
        except AiboxError as error:
            self._error = error
