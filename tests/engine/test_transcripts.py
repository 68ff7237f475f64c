"""The tutorial's transcripts are what a newcomer's terminal shows: a first run, a first box, failures, their ends."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from machines import Machine
from transcripts import COLUMNS, PAGE, SCENES, newcomer, normal, play, written

WRITTEN = written(PAGE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def fresh(zipapp: Path) -> Iterator[Machine]:
    """A machine that has never seen aibox."""
    with newcomer(zipapp) as machine:
        yield machine


def test_rootless_transcripts_are_what_is_printed(fresh: Machine) -> None:
    """One test, because each scene goes on where the one before ended."""
    assert list(WRITTEN) == [scene.name for scene in SCENES]
    for scene in SCENES:
        played = play(fresh, scene)
        assert normal(played) == normal(WRITTEN[scene.name]), played
        assert "Traceback" not in played
        if scene.name == "first-box":
            assert [line for line in played.splitlines() if len(line) > COLUMNS and line[:5] not in NOTES] == []


NOTES = ("note:", "aibox")


@pytest.mark.parametrize(("old", "new"), [("[3/9]", "[3/8]"), ("fix: aibox setup", "fix: aibox"), ("ready", "done")])
def test_a_changed_word_is_noticed(old: str, new: str) -> None:
    page = "\n".join(WRITTEN.values())
    assert normal(page) != normal(page.replace(old, new, 1))


def test_other_times_and_sizes_are_none() -> None:
    assert normal("done (1.2 s)\n      7 MiB") == normal("done (44 s)\n      9.5 MiB\n      more")
