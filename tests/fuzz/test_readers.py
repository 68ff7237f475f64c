"""Each reader with some thousand cases, for `tests/run --full`; a million: tests/fuzz/feed.py."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CASES, SECONDS = 60_000, 1800


def test_no_reader_fails() -> None:
    """In a process of its own, whose memory is limited."""
    argv = [sys.executable, str(ROOT / "tests/fuzz/feed.py"), "--cases", str(CASES), "--seconds", str(SECONDS)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=2 * SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
