"""One row of the table of readers, and how a case of it is judged."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import NamedTuple, TypeVar

from aibox import ui
from aibox.errors import AiboxError

T = TypeVar("T")
CASE_SECONDS = 2.0  # processor time: a machine that is busy with other work changes nothing
PLAIN = ui.Style(json=False, log_json=False, colour=False)


class Case(NamedTuple):
    """One input as it is shown, and what is done with it."""

    shown: str
    acts: tuple[Callable[[], object], ...]


class Reader(NamedTuple):
    """Something that reads what others wrote.

    `what` it reads; `modules` of aibox that do it; `case` makes an input from chance; `codes` are the errors that it
    may answer with, and nothing else may come out; `share` is how many cases it gets beside the others.
    """

    what: str
    modules: tuple[str, ...]
    case: Callable[[Random], Case]
    codes: tuple[str, ...] = ()
    share: int = 10


def reading(make: Callable[[Random], T], *reads: Callable[[T], object]) -> Callable[[Random], Case]:
    """Cases of inputs that `make` makes and each of `reads` reads."""

    def case(rng: Random) -> Case:
        given = make(rng)
        return Case(repr(given), tuple(_bound(read, given) for read in reads))

    return case


def _bound(read: Callable[[T], object], given: T) -> Callable[[], object]:
    return lambda: read(given)


def judge(reader: Reader, case: Case) -> bool:
    """Read; whether anything was accepted. Raises whatever is neither a result nor an error of the reader's own."""
    accepted = False
    for act in case.acts:
        try:
            with limited():
                accepted = act() is not False or accepted
        except AiboxError as error:
            assert error.code in reader.codes, f"{error.code} is no answer of this reader"
            assert error.what, "an error that says nothing"
            for line in ui.error_lines(error, PLAIN):
                assert line.isprintable(), f"a message that is not one printable line: {line!r}"
    return accepted


def _too_long(_number: int, _frame: object) -> None:
    raise TimeoutError(f"more than {CASE_SECONDS:g} seconds of processor time")


@contextmanager
def limited() -> Iterator[None]:
    """Raises TimeoutError when the processor has worked too long on what is inside."""
    before = signal.signal(signal.SIGVTALRM, _too_long)
    signal.setitimer(signal.ITIMER_VIRTUAL, CASE_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
