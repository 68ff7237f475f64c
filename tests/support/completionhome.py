"""A home in which shells complete aibox's words."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def made(folder: Path) -> Path:
    """A home with aibox in its path, notes of two boxes, and folders to complete."""
    (folder / "bin").mkdir()
    program = folder / "bin" / "aibox"
    # as a user, whose notes are in this home, also where root runs the tests
    start = "import os, sys; os.getuid = lambda: 1001; from aibox.cli import main; sys.exit(main())"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -c "{start}" "$@"\n')
    program.chmod(0o755)
    notes = folder / ".local/share/aibox/boxes"
    notes.mkdir(parents=True)
    (notes / "aibox-a-1.json").write_text('{"workspace": "/srv/first place"}')
    (notes / "aibox-a-2.json").write_text('{"workspace": "/srv/second"}')
    (folder / "given-file").touch()
    return folder


def environment(home: Path) -> dict[str, str]:
    return {"HOME": str(home), "PATH": f"{home}/bin:/usr/bin:/bin", "TERM": "vt100", "LANG": "C.UTF-8"}
