"""What doctor concludes from what it saw: each fact broken alone, and the nearest facts that are still right."""

import pytest
from judged import CASES

from aibox import doctorjudge as judge
from aibox.doctorjudge import OK, Look


@pytest.mark.parametrize(("look", "level", "said"), [case[2:] for case in CASES], ids=[case[1] for case in CASES])
def test_verdicts(look: Look, level: str, said: str) -> None:
    assert look.level == level
    assert said in f"{look.evidence} {look.remedy}"
    assert look.evidence or not said
    assert level != OK or not look.remedy


def test_controls_are_marked() -> None:
    """What concerns a security control leads to exit code 3, whatever the check's own severity is."""
    controls = {name for _, name, look, _, _ in CASES if look.control}
    required = {"signature required", "local, required"}
    assert controls == {"profile gone", "another's folder", "open folder", *required}


@pytest.mark.parametrize(
    ("text", "found"),
    [("conmon version 2.1.6, commit: unknown", (2, 1, 6)), ("", ()), ("version 2", ()), ("a 1.2.x 3.4", (3, 4))],
)
def test_numbers(text: str, found: tuple[int, ...]) -> None:
    assert judge.numbers(text) == found
