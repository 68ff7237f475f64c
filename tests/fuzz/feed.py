"""Feeds every reader of aibox with a million odd inputs: `PYTHONPATH=. python tests/fuzz/feed.py --cases 1000000`.

What comes out has to be a result or one of the reader's own errors, within two seconds of processor time for each
case. A case is made from its reader's name, the seed and its number, so that a failure can be repeated alone:
`--only NAME --seed N --first NUMBER --cases 1`. `--write` puts the table of counts into docs/reliability.md.
"""

import argparse
import resource
import sys
import time
import traceback
from pathlib import Path
from random import Random, SystemRandom
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "unit"), str(ROOT)]

from readers import READERS
from rows import Reader, judge

PAGE = ROOT / "docs" / "reliability.md"
MEMORY = 4 << 30  # bytes of addresses: what asks for more has lost its measure


class Ran(NamedTuple):
    """What one reader did: cases, how many of them it accepted at least in part, seconds, the slowest case's."""

    what: str
    cases: int
    accepted: int
    seconds: float
    slowest: float


def run(reader: Reader, seed: int, first: int, cases: int, ends: float) -> Ran:
    """Feed one reader. Raises AssertionError with what repeats the failing case."""
    began = time.monotonic()
    accepted, slowest, done = 0, 0.0, 0
    for number in range(first, first + cases):
        if time.monotonic() > ends:
            break
        case = reader.case(Random(f"{reader.what}/{seed}/{number}"))
        before = time.process_time()
        try:
            accepted += judge(reader, case)
        except BaseException as error:
            again = f"--only '{reader.what}' --seed {seed} --first {number} --cases 1"
            raise AssertionError(f"{again}\n{case.shown[:3000]}") from error
        slowest = max(slowest, time.process_time() - before)
        done += 1
    return Ran(reader.what, done, accepted, time.monotonic() - began, slowest)


def shares(readers: tuple[Reader, ...], cases: int) -> list[int]:
    """How many cases each reader gets; together at least `cases`."""
    whole = sum(reader.share for reader in readers)
    return [-(-cases * reader.share // whole) for reader in readers]


def write(rows: list[Ran], page: Path) -> None:
    """Put the table into the page."""
    head, begin, rest = page.read_text(encoding="utf-8").partition("<!-- fuzz -->\n")
    _, end, tail = rest.partition("<!-- fuzz end -->\n")
    lines = ["| what is read | cases | accepted | slowest case |", "| --- | --- | --- | --- |"]
    lines += [f"| {row.what} | {row.cases:,} | {row.accepted:,} | {row.slowest * 1000:.0f} ms |" for row in rows]
    total = sum(row.cases for row in rows)
    lines.append(f"| all, in {sum(row.seconds for row in rows) / 60:.0f} minutes | {total:,} |  |  |")
    page.write_text(head + begin + "\n".join(lines) + "\n" + end + tail, encoding="utf-8")


def main() -> int:
    """Run the cases; exit code 1 if any reader failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=3600.0, help="no longer than this in all")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1 << 32))
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    readers = tuple(reader for reader in READERS if given.only in ("", reader.what))
    print(f"seed {given.seed}, {given.cases} cases, {len(readers)} readers", flush=True)
    ends, failed, rows = time.monotonic() + given.seconds, 0, list[Ran]()
    for reader, cases in zip(readers, shares(readers, given.cases), strict=True):
        try:
            rows.append(run(reader, given.seed, given.first, cases, ends))
        except AssertionError:
            failed += 1
            print(f"FAILED {reader.what}\n{traceback.format_exc()}", flush=True)
            continue
        row = rows[-1]
        print(f"{row.what:<34}{row.cases:>9}{row.accepted:>9} accepted{row.seconds:>7.0f} s, slowest "
              f"{row.slowest * 1000:.0f} ms", flush=True)  # fmt: skip
    total = sum(row.cases for row in rows)
    print(f"{total} cases, {failed} readers failed, seed {given.seed}")
    if given.write and not failed and not given.only:
        write(rows, PAGE)
    return 1 if failed or total < given.cases else 0


if __name__ == "__main__":
    raise SystemExit(main())
