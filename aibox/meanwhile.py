"""One question to the engine while another one, or this process itself, is at work."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from aibox.errors import AiboxError

T = TypeVar("T")


class Meanwhile(Generic[T]):
    """A call that runs in a thread of its own from now on, and only looks.

    As a context it is waited for at the end, so that no program outlives the command that asked; Ctrl-C does not wait.
    """

    def __init__(self, act: Callable[[], T]) -> None:
        self._act = act
        self._found: list[T] = []
        self._error: AiboxError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> "Meanwhile[T]":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or issubclass(kind, Exception):
            self._thread.join()

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
