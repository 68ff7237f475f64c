"""`aibox verify`."""

from typing import TYPE_CHECKING

from aibox import audit, boxes, facts
from aibox.cli import Arguments
from aibox.context import Context, confinement_line
from aibox.controls import CONTROLS
from aibox.errors import CONTROL, OK, AiboxError
from aibox.model import Finding
from aibox.runner import printable
from aibox.ui import Outcome, Style
from aibox.verification import verify

if TYPE_CHECKING:
    from aibox.jsonview import Json


def run(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """Check every control of a running box; exit code 3 if one is missing or different."""
    del style
    calls = gathered.calls()
    located = boxes.locate(gathered, arguments.workspace)
    box = calls.inspect(located.name)
    if box is None or not box.running:
        raise AiboxError(
            "box-not-running" if box else "box-missing",
            f"the box of {located.workspace} is {box.status if box else 'gone'}",
            why="only a running box can be verified",
            fix=printable(["aibox", "start", "--workspace", located.workspace]),
        )
    plan, findings = verify(gathered, calls, box)
    wrong = [finding for finding in findings if not finding.ok]
    confinement = facts.host().confinement
    audit.record(
        gathered.paths, "verified", box.name, checks=len(findings), failed=[f"{f.control} {f.title}" for f in wrong]
    )
    data: dict[str, Json] = {
        "box": box.name,
        "passed": not wrong,
        "checks": len(findings),
        "failed": len(wrong),
        "confinement": confinement,
        "apparmor": plan.runtime.apparmor,
        "findings": [dict(finding._asdict()) for finding in findings],
    }
    verdict = f"{len(findings)} checks passed" if not wrong else f"{len(wrong)} of {len(findings)} checks FAILED"
    lines = [
        *report(findings),
        "",
        f"{box.name}: {verdict}",
        f"host: {confinement_line(gathered, confinement, plan.runtime.apparmor)}",
        *([f"limits: {plan.limits.remark}"] if plan.limits.remark else []),
    ]
    return Outcome(data, lines, exit_code=CONTROL if wrong else OK)


def report(findings: list[Finding]) -> list[str]:
    """One line for each control, and for limits that are held, with how it was seen; below it, what failed."""
    lines = []
    titles = {control.id: control.title for control in CONTROLS}
    # whatever else was checked has its line, too: no check fails unseen
    titles |= {finding.control: finding.title for finding in findings if finding.control not in titles}
    for control, title in titles.items():
        own = [finding for finding in findings if finding.control == control]
        wrong = [finding for finding in own if not finding.ok]
        ways = list(dict.fromkeys(finding.how for finding in own))
        verdict = "ok  " if own and not wrong else "FAIL"
        lines.append(f"{verdict} {control:<4} {title}: {len(own) - len(wrong)} of {len(own)}")
        lines.append(f"          seen in {', '.join(ways)}" if ways else "          not seen")
        for finding in wrong:
            lines.append(f"          expected {finding.expected}")
            lines.append(f"          observed {finding.observed} ({finding.how})")
    return lines
