"""The pages in docs/ agree with the code, and their links lead somewhere."""

import re
from pathlib import Path

import pytest
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
