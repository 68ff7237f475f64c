"""How far a transfer is, in bytes: for what takes longer than a second."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aibox.ui import size

FIRST_SECONDS = 1.0
NEXT_SECONDS = 3.0
PULSE_SECONDS = 10.0


@contextmanager
def pulse(what: str, said: Callable[[str], None], every: float = PULSE_SECONDS) -> Iterator[None]:
    """While the block runs, say every few seconds how long it has: for programs that are silent while they work."""
    began, over = time.monotonic(), threading.Event()

    def beat() -> None:
        while not over.wait(every):
            said(f"{what}: {time.monotonic() - began:.0f} s so far")

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Meter:
    """Says how much has come after a second, then every three seconds, and once more at the end.

    `total` is in bytes, 0 where nobody knows it. Nothing is said of what is over within a second.
    """

    def __init__(
        self, what: str, total: int, said: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._what, self._total, self._said, self._clock = what, total, said, clock
        self._count = 0
        self._spoke = False
        self._began = clock()
        self._due = self._began + FIRST_SECONDS

    def add(self, count: int) -> None:
        """So many bytes have come."""
        self._count += count
        now = self._clock()
        if now >= self._due:
            self._due = now + NEXT_SECONDS
            self._spoke = True
            share = f" of {size(self._total)} ({100 * self._count // self._total} %)" if self._total else ""
            self._said(f"{self._what}: {size(self._count)}{share}, {self._speed(now)}")

    def end(self) -> None:
        """It is whole."""
        if self._spoke:
            now = self._clock()
            self._said(f"{self._what}: {size(self._count)} in {now - self._began:.0f} s, {self._speed(now)}")

    def _speed(self, now: float) -> str:
        return f"{size(round(self._count / max(now - self._began, 0.001)))}/s"
