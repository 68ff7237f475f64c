"""The only place that prints: results, progress and errors, for people or as JSON."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aibox import __version__
from aibox.errors import AiboxError
from aibox.jsonview import Json

SCHEMA_VERSION = 1
QUIET_SECONDS = 1.0
TRANSFER_SECONDS = 2.0
NARROWEST, LEAST_CELLS = 40, (24, 12)


class Outcome(NamedTuple):
    """What a verb returns: the data for `--json`, the lines for people, and remarks for standard error."""

    data: dict[str, Json]
    lines: list[str]
    notices: tuple[str, ...] = ()
    exit_code: int = 0


class Style(NamedTuple):
    """How to print: as JSON or text, messages as JSON or text, with colour or without."""

    json: bool
    log_json: bool
    colour: bool


def style(environ: Mapping[str, str], *, json: bool, log_json: bool) -> Style:
    """Colour only on a terminal, and not where NO_COLOR is set (https://no-color.org) or TERM is dumb."""
    plain = bool(environ.get("NO_COLOR")) or environ.get("TERM") == "dumb" or not os.isatty(2)
    return Style(json, log_json, not plain)


class Progress:
    """Steps on standard error, each with its time; on a terminal only once the whole takes over a second."""

    def __init__(self, style: Style, *, quiet: bool = False) -> None:
        self._style = style
        self._quiet = quiet
        self._began = time.monotonic()
        self._waiting: list[str] = []

    def step(self, text: str) -> None:
        """Say what is being done now."""
        if self._quiet:
            return
        elapsed = time.monotonic() - self._began
        self._waiting.append(
            _log_line(self._style, "info", text) if self._style.log_json else f"  {elapsed:5.1f} s  {text}"
        )
        if elapsed >= QUIET_SECONDS:
            for line in self._waiting:
                _to_stderr(line)
            self._waiting.clear()


class Transfer:
    """Bytes of a long copy on standard error, every few seconds."""

    def __init__(self, style: Style, total: int = 0) -> None:
        self._style = style
        self._total = total
        self._count = 0
        self._last = time.monotonic()

    def add(self, count: int) -> None:
        """So many bytes more are done."""
        self._count += count
        if time.monotonic() - self._last >= TRANSFER_SECONDS:
            self._last = time.monotonic()
            detail(f"{size(self._count)}{f' of {size(self._total)}' if self._total else ''}", self._style)


def show(outcome: Outcome, verb: str, style: Style) -> None:
    """Print a result."""
    for notice in outcome.notices:
        note(notice, style)
    if style.json:
        _to_stdout(
            _document(
                {"ok": outcome.exit_code == 0, "verb": verb, "data": outcome.data, "notices": list(outcome.notices)}
            )
        )
    else:
        for line in outcome.lines:
            _to_stdout(line)


def note(text: str, style: Style) -> None:
    """Print a remark on standard error."""
    if style.log_json:
        _to_stderr(_log_line(style, "notice", text))
    else:
        _to_stderr(f"{_paint('33', 'note:', style)} {text}")


def step(text: str, style: Style) -> None:
    """Print a step of a long command on standard error."""
    _to_stderr(_log_line(style, "step", text) if style.log_json else text)


def detail(text: str, style: Style) -> None:
    """Print a line that belongs to a step."""
    _to_stderr(_log_line(style, "detail", text) if style.log_json else f"      {text}")


def show_error(error: AiboxError, verb: str, style: Style, exit_code: int) -> None:
    """Print a failure: on standard error for people, on standard output as the one JSON document."""
    if style.json:
        body: dict[str, Json] = {
            "code": error.code,
            "message": error.what,
            "why": error.why,
            "fix": error.fix,
            "exit_code": exit_code,
        }
        _to_stdout(_document({"ok": False, "verb": verb, "error": body}))
    if style.log_json:
        _to_stderr(_log_line(style, "error", error.what, {"code": error.code, "why": error.why, "fix": error.fix}))
    elif not style.json:
        for line in error_lines(error, style):
            _to_stderr(line)


def error_lines(error: AiboxError, style: Style) -> list[str]:
    """The text of a failure: what happened with its code, why, and what mends it."""
    lines = [f"{_paint('31', 'aibox:', style)} {_one_line(error.what)} [{error.code}]"]
    if error.why:
        lines.append(f"  why: {_one_line(error.why)}")
    if error.fix:
        lines.append(f"  fix: {_one_line(error.fix)}")
    return lines


def mark(text: str, style: Style) -> str:
    """A verdict at the head of a line of standard output: red where something is wrong, if that is a terminal."""
    return _paint("31", text, style) if text.strip() == "WRONG" and os.isatty(1) else text


def table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns as wide as their widest cell, two blanks apart; the last one free."""
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def columns() -> int:
    """The width of the terminal on standard output; 0 where there is none: a pipe gets everything."""
    if not os.isatty(1):
        return 0
    from shutil import get_terminal_size

    return max(get_terminal_size().columns, NARROWEST)


def fitted(rows: Sequence[tuple[str, ...]], width: int, shrinking: Sequence[int]) -> list[str]:
    """A table that is no wider than `width` (0: as wide as it is).

    What is too long in the columns `shrinking`, first in the first of them, loses its middle: down to 24 letters if
    that is enough, else to 12.
    """
    cells = [[_one_line(cell) for cell in row] for row in rows]
    for least, column in [(least, column) for least in LEAST_CELLS for column in shrinking] if width else []:
        excess = max(len(line) for line in table([tuple(row) for row in cells])) - width
        longest = max(len(row[column]) for row in cells)
        if excess > 0:
            for row in cells:
                row[column] = shortened(row[column], max(longest - excess, least))
    return table([tuple(row) for row in cells])


def shortened(text: str, width: int) -> str:
    """A text without its middle, where it is too long: the end of a path says more than its beginning."""
    if len(text) <= width:
        return text
    head = (width - 3) // 3
    return f"{text[:head]}...{text[len(text) - (width - 3 - head) :]}"


def pairs(rows: Sequence[tuple[str, str]], width: int) -> list[str]:
    """Names and values; a value that is too long for `width` (0: none is) goes on below its beginning."""
    from textwrap import wrap

    indent = max(len(name) for name, _ in rows) + 2
    lines = []
    for name, value in rows:
        parts = [_one_line(value)]
        if width:
            parts = wrap(parts[0], width - indent, break_on_hyphens=False) or [""]
        lines += [
            f"{title.ljust(indent)}{part}".rstrip()
            for title, part in zip([name, *[""] * (len(parts) - 1)], parts, strict=True)
        ]
    return lines


def size(count: int) -> str:
    """Bytes for people, in units of 1024."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text)


def _document(fields: dict[str, Json]) -> str:
    import json

    return json.dumps({"schema_version": SCHEMA_VERSION, "aibox": __version__, **fields}, indent=2)


def _log_line(style: Style, level: str, text: str, more: Mapping[str, Json] | None = None) -> str:
    import json

    del style
    return json.dumps(
        {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "level": level, "message": text, **(more or {})}
    )


def _paint(code: str, text: str, style: Style) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if style.colour else text


def _to_stdout(line: str) -> None:
    sys.stdout.write(line + "\n")


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
