"""Runs doctor's checks: each once, after what it needs, within its time limit."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from aibox import facts, jsonview
from aibox.context import Context
from aibox.doctorjudge import NOTE, OK, WRONG, Look, wrong
from aibox.enginecalls import EngineCalls
from aibox.engines.adapter import BoxState
from aibox.errors import CONTROL, HOST, AiboxError
from aibox.errors import OK as DONE
from aibox.jsonview import Json
from aibox.setupsteps import Setup

BLOCKED = "unchecked"
GRACE_SECONDS = 15.0  # for what an interrupted check removes again
INFO_SECONDS = 25.0


class Examination:
    """What the checks of one run share: the caller, the host, and what was found out at some cost."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.host = facts.host()
        self.setup: Setup = _Setup(self)
        self.root = context.caller.uid == 0
        self.deadline = 0.0
        self.info: Json = None
        self.outer: dict[str, Json] = {}
        self.session = ""
        self._listed: list[BoxState] | None = None

    def begin(self, check: "Check") -> None:
        """From now on the time of this check runs."""
        self.deadline = time.monotonic() + check.seconds

    def calls(self) -> EngineCalls:
        """The engine; no call outlasts the check that makes it. Raises engine-missing."""
        return self.context.calls().until(self.deadline)

    def listed(self) -> list[BoxState]:
        """All boxes of the engine, asked for once in a run: five checks read the list."""
        if self._listed is None:
            self._listed = self.calls().boxes()
        return self._listed

    def kept(self, entry: str) -> dict[str, Json]:
        """What setup's record holds for the runtime in use."""
        return self.setup.kept(entry)

    def graph_root(self) -> str:
        """Where the engine keeps images and boxes."""
        return jsonview.text(self.info, "DockerRootDir") or jsonview.text(self.info, "store", "graphRoot")

    @property
    def docker(self) -> bool:
        """Whether the engine is Docker."""
        return self.setup.engine == "docker"


class _Setup(Setup):
    """Setup's view of the host, whose engine calls end with the check that makes them."""

    def __init__(self, examination: Examination) -> None:
        super().__init__(examination.context, examination.host, "", lambda _text: None)
        self.examination = examination

    def calls(self) -> EngineCalls:
        return self.examination.calls()


class Check(NamedTuple):
    """One check.

    `why` says what it is good for; `cure` is the usual remedy; `control`: a wrong one concerns a security control;
    `needs` names checks without which it says nothing; `mend` does what is safe to do, announced by `mend_text`.
    """

    id: str
    title: str
    why: str
    cure: str
    look: Callable[[Examination], Look]
    seconds: float = 5.0
    needs: tuple[str, ...] = ()
    control: bool = False
    mend: Callable[[Examination], None] | None = None
    mend_text: str = ""

    @property
    def docs(self) -> str:
        """Where the manual explains it."""
        return f"docs/doctor.md#{self.id}"


class Verdict(NamedTuple):
    """What one check found. `level` is ok, note, wrong or unchecked."""

    check: Check
    level: str
    evidence: str
    remedy: str
    exit_code: int
    seconds: float


def examine(
    examination: Examination, checks: Sequence[Check], wanted: Sequence[str], said: Callable[[Check], None]
) -> list[Verdict]:
    """Judge the wanted checks (none named: all), and those that they need; each needed one at most once."""
    by_id = {check.id: check for check in checks}
    chosen = _with_needs(by_id, wanted or tuple(by_id))
    verdicts: dict[str, Verdict] = {}
    for check in checks:
        if check.id in chosen:
            verdicts[check.id] = _judge(examination, check, verdicts, said)
    shown = set(wanted) or set(by_id)
    return [verdict for name, verdict in verdicts.items() if name in shown or verdict.level == WRONG]


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """3 if a control is wrong, 4 if the host lacks something, else 0."""
    codes = {verdict.exit_code for verdict in verdicts if verdict.level == WRONG}
    return CONTROL if CONTROL in codes else HOST if codes else DONE


def _with_needs(by_id: dict[str, Check], wanted: Sequence[str]) -> set[str]:
    chosen: set[str] = set()
    waiting = list(wanted)
    while waiting:
        name = waiting.pop()
        if name not in chosen:
            chosen.add(name)
            waiting += by_id[name].needs
    return chosen


def _judge(
    examination: Examination, check: Check, before: dict[str, Verdict], said: Callable[[Check], None]
) -> Verdict:
    """One verdict; a check whose ground is missing is not made, so that one cause is named once."""
    lost = [name for name in check.needs if before[name].level in (WRONG, BLOCKED)]
    if lost:
        return Verdict(check, BLOCKED, f"needs {', '.join(lost)}", "", DONE, 0.0)
    said(check)
    began = time.monotonic()
    look = limited(examination, check)
    control = look.control or check.control
    return Verdict(
        check,
        look.level,
        look.evidence,
        "" if look.level == OK else look.remedy or check.cure,
        CONTROL if look.level == WRONG and control else HOST if look.level == WRONG else DONE,
        round(time.monotonic() - began, 2),
    )


def limited(examination: Examination, check: Check) -> Look:
    """The check's own look, ended after its time: a host that hangs is a finding, too."""
    found: list[Look] = []
    examination.begin(check)

    def work() -> None:
        try:
            found.append(check.look(examination))
        except AiboxError as error:
            reason = f" ({error.why})" if error.why else ""
            # a remedy that leads back here is none
            remedy = "" if error.fix == "aibox doctor" else error.fix
            found.append(wrong(f"{error.what}{reason}", remedy, control=error.exit_code == CONTROL))
        except OSError as error:
            found.append(wrong(f"{error.filename or check.title}: {error.strerror or error}"))

    # a thread, because nothing else ends a read from a filesystem whose server is gone; it dies with the process
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(check.seconds + GRACE_SECONDS)
    return found[0] if found else wrong(f"nothing was found out within {check.seconds:g} seconds")


def counts(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """How many checks ended how."""
    return {level: sum(one.level == level for one in verdicts) for level in (OK, NOTE, WRONG, BLOCKED)}
