"""`aibox doctor`."""

from difflib import get_close_matches
from typing import TYPE_CHECKING

from aibox import ui
from aibox.cli import Arguments
from aibox.consent import require_consent
from aibox.context import Context
from aibox.doctor import BLOCKED, Check, Examination, Verdict, counts, examine, exit_code
from aibox.doctorchecks import CHECKS, IDS
from aibox.doctorjudge import NOTE, OK, WRONG
from aibox.errors import AiboxError
from aibox.ui import Outcome, Style

if TYPE_CHECKING:
    from aibox.jsonview import Json

SLOW_SECONDS = 25.0  # a check that may take this long is announced


def run(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """Check everything that boxes need; with --fix mend what can be mended safely, and check again."""
    wanted = chosen(arguments.check)
    progress = ui.Progress(style)

    def said(check: Check) -> None:
        if check.seconds >= SLOW_SECONDS:
            progress.step(check.title)

    verdicts = examine(Examination(gathered), CHECKS, wanted, said)
    mended: list[str] = []
    if arguments.fix:
        mended = mend(gathered, verdicts, arguments, style)
        if mended:
            verdicts = examine(Examination(gathered), CHECKS, wanted, said)
    tally = counts(verdicts)
    data: dict[str, Json] = {
        "checks": [document(verdict) for verdict in verdicts],
        "counts": dict(tally),
        "mended": list(mended),
    }
    return Outcome(data, [*report(verdicts, style), "", summary(tally)], exit_code=exit_code(verdicts))


def chosen(given: list[str]) -> tuple[str, ...]:
    """The ids after --check, each known. Raises usage."""
    for name in given:
        if name not in IDS:
            near = get_close_matches(name, IDS, 1)
            hint = f"did you mean `--check {near[0]}`?" if near else f"checks: {', '.join(IDS)}"
            raise AiboxError("usage", f"there is no check {name!r}", fix=hint)
    return tuple(dict.fromkeys(given))


def mend(gathered: Context, verdicts: list[Verdict], arguments: Arguments, style: Style) -> list[str]:
    """Do the safe remedies, each announced and consented to; returns the ids of the checks that were mended."""
    examination, done = Examination(gathered), []
    for verdict in verdicts:
        act = verdict.check.mend
        if act and verdict.level in (WRONG, NOTE):
            ui.step(f"{verdict.check.title}: {verdict.evidence}", style)
            if arguments.dry_run:
                ui.detail(f"would: {verdict.check.mend_text}", style)
                continue
            ui.detail(f"will: {verdict.check.mend_text}", style)
            require_consent(verdict.check.mend_text, given=arguments.yes, style=style)
            examination.begin(verdict.check)
            act(examination)
            done.append(verdict.check.id)
    return done


def document(verdict: Verdict) -> "dict[str, Json]":
    """One check for `--json`."""
    return {
        "id": verdict.check.id,
        "title": verdict.check.title,
        "level": verdict.level,
        "severity": "control" if verdict.check.control else "host",
        "evidence": verdict.evidence,
        "remedy": verdict.remedy,
        "docs": verdict.check.docs,
        "seconds": verdict.seconds,
    }


def report(verdicts: list[Verdict], style: Style) -> list[str]:
    """One line for each check; below what is not right, its remedy and where the manual explains it."""
    lines = []
    for verdict in verdicts:
        lines.append(f"{ui.mark(MARKS[verdict.level], style)}  {verdict.check.id}: {verdict.evidence}")
        if verdict.remedy:
            lines.append(f"           fix: {verdict.remedy}")
        if verdict.level == WRONG:
            lines.append(f"          more: aibox help {verdict.check.id}")
    return lines


def summary(tally: dict[str, int]) -> str:
    """The closing line."""
    total = sum(tally.values())
    parts = [f"{tally[OK]} of {total} check{'' if total == 1 else 's'} right"]
    parts += [f"{tally[WRONG]} wrong"] if tally[WRONG] else []
    parts += [f"{tally[NOTE]} note{'' if tally[NOTE] == 1 else 's'}"] if tally[NOTE] else []
    parts += [f"{tally[BLOCKED]} not made"] if tally[BLOCKED] else []
    return ", ".join(parts)


MARKS = {OK: "ok      ", NOTE: "note    ", WRONG: "WRONG   ", BLOCKED: "not made"}
