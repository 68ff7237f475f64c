"""The pages in docs/ agree with the code, and their links lead somewhere."""

import re
from pathlib import Path

import findings
import pytest
from breaks import BREAKS, FLAG, RECORD, STAND_IN
from make_docs import TABLES, filled

from aibox.errors import KINDS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_those_of_the_code(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert filled(text) == text, "run: python tests/tools/make_docs.py"


def test_every_table_is_used() -> None:
    used = {name for page in PAGES for name in re.findall(r"<!-- table: ([a-z-]+) -->", page.read_text("utf-8"))}
    assert used == set(TABLES)


def test_a_changed_table_is_noticed() -> None:
    page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    assert filled(page.replace("| `usage` |", "| `usages` |")) == page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_sections_about_errors_name_errors() -> None:
    sections = re.findall(r"^## ([a-z-]+)$", (ROOT / "docs/troubleshooting.md").read_text("utf-8"), re.MULTILINE)
    assert sections
    assert set(sections) <= set(KINDS)


def test_every_break_has_its_finding_and_no_other() -> None:
    assert set(findings.saved()) == {case.name for case in BREAKS}
    assert all(one.evidence for one in findings.saved().values())


def test_findings_are_compared_but_for_their_numbers() -> None:
    assert findings.alike("/d has room for 11 MiB only") == findings.alike("/d has room for 9 MiB only")
    assert findings.alike("mode 0755: others") != findings.alike("mode 0755: nobody")


def test_break_kinds_are_named() -> None:
    """A page that calls a stand-in real would lie: a script that is put in a program's place is always said."""
    for case in BREAKS:
        stands_in = "/run/aibox/test-engine" in case.damage or "/bin/false" in case.damage
        assert stands_in == (case.how == STAND_IN), case.name
        assert (case.how == FLAG) == (bool(case.words) and not stands_in), case.name
        assert (case.how == RECORD) == ("sed -i" in case.damage), case.name
