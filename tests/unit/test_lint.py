"""The linters over the whole tree, as tests: what they find fails the suite."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TYPED = ("aibox", "build_zipapp.py", "data/launch.py", "data/dockerbox.py", "tests")
SHELL = sorted(
    str(path.relative_to(ROOT))
    for folder in ("data", "tests", ".ci")
    for path in (ROOT / folder).rglob("*")
    if path.is_file() and path.read_bytes()[:30].startswith((b"#!/bin/sh", b"#!/usr/bin/env bash", b"#!/bin/bash"))
)
PERL = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "data").rglob("*.pl"))
LONGEST = 400


def passes(argv: list[str], stdin: str | None = None) -> None:
    done = subprocess.run(argv, cwd=ROOT, input=stdin, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, f"{' '.join(argv)}\n{done.stdout}{done.stderr}"


def test_ruff_finds_nothing() -> None:
    passes([sys.executable, "-m", "ruff", "check", "."])


def test_the_tree_is_formatted() -> None:
    passes([sys.executable, "-m", "ruff", "format", "--check", "."])


def test_types_hold() -> None:
    passes([sys.executable, "-m", "mypy", *TYPED])


@pytest.mark.parametrize("script", SHELL)
def test_shellcheck_finds_nothing(script: str) -> None:
    assert shutil.which("shellcheck"), "shellcheck is missing; tests/run installs it"
    passes(["shellcheck", script])


def test_all_kinds_of_scripts_were_found() -> None:
    assert {"data/wrapper.sh", "data/docker-runtime.sh", "data/base-setup.sh", ".ci/run", "tests/fresh/enter"} <= set(
        SHELL
    )
    assert {"data/init.pl", "data/session.pl", "data/verify.pl"} <= set(PERL)


@pytest.mark.parametrize("script", PERL)
def test_perl_compiles(script: str) -> None:
    """With warnings as errors; the numbers that the templates leave open are filled in."""
    text = re.sub(r"@[A-Z]+@", "1", (ROOT / script).read_text())
    strict = "use warnings FATAL => 'all';\n"
    passes(["/usr/bin/perl", "-c", "-"], stdin=strict + text)


@pytest.mark.parametrize(
    "path", sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("*/**/*.py") if "build" not in path.parts)
)
def test_files_stay_short(path: str) -> None:
    assert len((ROOT / path).read_text().splitlines()) <= LONGEST
