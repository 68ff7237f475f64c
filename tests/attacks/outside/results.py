"""Results of attempts, and the table of counts that a run ends with."""

from typing import NamedTuple

import pytest


class Result(NamedTuple):
    """One attempt on one kind of machine: what the box made of it and whether the control run worked."""

    kind: str
    attempt: str
    denied: bool
    known: bool
    control: bool


RESULTS = pytest.StashKey[list[Result]]()


def lines(results: list[Result]) -> list[str]:
    """The table: a line for each kind, and the attempts that should not have succeeded."""
    rows = results
    if not rows:
        return []
    text = [
        "",
        f"{'attacks on':<16}{'attempts':>9}{'denied':>8}{'control works':>15}{'known limits':>14}{'SUCCEEDED':>11}",
    ]
    for kind in dict.fromkeys(row.kind for row in rows):
        mine = [row for row in rows if row.kind == kind]
        succeeded = [row for row in mine if not row.denied and not row.known]
        text.append(
            f"{kind:<16}{len(mine):>9}{sum(row.denied for row in mine):>8}{sum(row.control for row in mine):>15}"
            f"{sum(row.known for row in mine):>14}{len(succeeded):>11}"
        )
    text += [f"{row.kind}: {row.attempt} SUCCEEDED" for row in rows if not row.denied and not row.known]
    text += [f"{row.kind}: {row.attempt}: its control run does not work" for row in rows if not row.control]
    return text
