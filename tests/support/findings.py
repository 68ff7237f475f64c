"""What doctor said of each break when the tests met it last, for docs/doctor.md; names of the machine taken out."""

import json
import os
import re
from pathlib import Path
from typing import NamedTuple

from machines import Machine

SAVED = Path(__file__).resolve().parents[1] / "engine" / "findings.json"
# with this in the environment a run of the tests writes down what it meets
RECORDING = "AIBOX_TEST_RECORD_FINDINGS"


class Finding(NamedTuple):
    """What doctor saw, and what it says mends it."""

    evidence: str
    remedy: str


def shown(machine: Machine, text: str) -> str:
    """A finding as it would stand for the user dev1 with uid 1001 in /home/dev1."""
    for mine, example in (
        (str(machine.runsc), "/opt/gvisor/runsc"),
        (str(machine.zipapp), "aibox"),
        (machine.home, "/home/dev1"),
        (machine.user, "dev1"),
        (os.uname().release, "6.1.0"),
    ):
        text = text.replace(mine, example)
    text = re.sub(rf"\b{machine.uid}\b", "1001", text)
    return re.sub(r"\b[0-9a-f]{12,64}\b", "ID", text)


def alike(text: str) -> str:
    """A finding without what differs from run to run: sizes, times, process ids, numbers in versions."""
    return re.sub(r"[0-9]+(\.[0-9]+)*", "N", text)


def saved() -> dict[str, Finding]:
    """By the break's name."""
    if not SAVED.exists():
        return {}
    return {name: Finding(*entry) for name, entry in json.loads(SAVED.read_text(encoding="utf-8")).items()}


def meet(name: str, finding: Finding) -> None:
    """Compare with what was met before, or, where that is asked for, write it down."""
    known = saved()
    if os.environ.get(RECORDING):
        known[name] = finding
        text = json.dumps(dict(sorted(known.items())), indent=1, ensure_ascii=False)
        SAVED.write_text(text + "\n", encoding="utf-8")
    assert name in known, f"set {RECORDING}=1 and run this test, then tests/tools/make_docs.py"
    for now, before in zip(finding, known[name], strict=True):
        assert alike(now) == alike(before), f"docs/doctor.md says of {name}: {before}"
