"""The allowlist against traces of real builds: none of it is refused unknowingly, nothing is allowed for nothing."""

import re
from collections import Counter
from pathlib import Path

import demanded
import pytest

TRACES = Path(__file__).resolve().parents[1] / "traces"
ALLOWED = ("allow", "args", "native")
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16, "AF_PACKET": 17, "AF_ALG": 38, "AF_VSOCK": 40}
PERSONALITIES = {"PER_LINUX": 0, "PER_LINUX32": 8, "0xffffffff": 0xFFFFFFFF}
WANTED = {"bazel", "git", "go", "gradle", "javac", "libc", "make", "maven", "node", "python", "rust", "shell"}


def rows(name: str) -> list[list[str]]:
    lines = (TRACES / name).read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")][1:]


SUMMARY, REASONS, BREAKS = rows("summary.tsv"), rows("reasons.tsv"), rows("breaks.tsv")
VERDICTS = {row.name: row.verdict for row in demanded.calls()}


def goes_ahead(call: str, detail: str) -> bool:
    """Whether the session's filter lets a traced call through, by the part of its arguments that was noted."""
    verdict = VERDICTS[call]
    if verdict != "args":
        return verdict == "allow"
    rule = demanded.rule("box", call)
    if call in ("socket", "socketpair"):
        value = FAMILIES[detail]
    elif call == "personality":
        value = PERSONALITIES[detail]
    elif call == "clone":
        value = 0 if detail == "-" else 0x10000000
    else:
        value = {"TIOCSTI": 0x5412, "TIOCLINUX": 0x541C, "S_IFCHR": 0x2000, "S_IFBLK": 0x6000}.get(detail, 0)
    arguments = [0] * 6
    arguments[int(rule.argument)] = value
    return rule.lets(arguments)


def of_kind(*kinds: str) -> set[tuple[str, str]]:
    return {(call, detail) for call, detail, kind, _ in REASONS if kind in kinds}


def traced_calls() -> set[str]:
    return {call for call, *_ in SUMMARY}


def test_every_project_was_traced_with_the_folders_tools() -> None:
    here = {path.parent.name for path in (TRACES / "projects").glob("*/build.sh")}
    assert here == WANTED
    seen = {entry.partition("=")[0] for row in SUMMARY for entry in row[3].split(" ")}
    assert {f"bookworm/{project}" for project in WANTED} <= seen
    assert any(where.startswith("host/") for where in seen)


def test_counts_add_up() -> None:
    for call, detail, total, seen in SUMMARY:
        entries = [entry.partition("=") for entry in seen.split(" ")]
        assert int(total) == sum(int(number) for _, _, number in entries) > 0, (call, detail)
    assert sum(int(row[2]) for row in SUMMARY) > 500_000


def test_traced_calls_go_ahead_or_are_refused_knowingly() -> None:
    refused = {(call, detail) for call, detail, *_ in SUMMARY if not goes_ahead(call, detail)}
    assert refused == of_kind("refused")


def test_every_allowed_call_is_traced_or_has_a_reason_of_its_own() -> None:
    allowed = {call for call, verdict in VERDICTS.items() if verdict in ALLOWED}
    reasons = {call for call, _ in of_kind("older", "newer", "need")}
    assert allowed - traced_calls() == reasons


def test_what_a_build_would_miss_is_known_for_every_traced_call() -> None:
    at_hand = {call for call, _, _, seen in SUMMARY if "bookworm/" in seen}
    asked = {call for call in at_hand if VERDICTS[call] in ("allow", "args")}
    assert {call for call, *_ in BREAKS} == asked
    assert [call for call, project, _ in BREAKS if project == "-"] == []


def test_breaks_name_builds_that_make_the_call() -> None:
    makers = {call: set[str]() for call, *_ in SUMMARY}
    for call, _, _, seen in SUMMARY:
        makers[call] |= set(re.findall(r"bookworm/(\w+)=", seen))
    for call, project, error in BREAKS:
        assert project in makers[call], call
        assert error in ("ENOSYS", "EPERM"), call


@pytest.mark.parametrize("row", REASONS, ids=lambda row: row[0])
def test_reasons_say_something(row: list[str]) -> None:
    call, _, kind, reason = row
    assert call in VERDICTS
    assert kind in {"older", "newer", "need", "refused"}
    assert len(reason) > 25
    assert re.match(r"[A-Za-z_]", reason)


def test_reasons_are_given_once() -> None:
    assert [key for key, times in Counter((row[0], row[1]) for row in REASONS).items() if times > 1] == []
