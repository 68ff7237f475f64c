"""Small constructors for what a check saw."""

from collections.abc import Iterable
from typing import NamedTuple


class Seen(NamedTuple):
    """One observation: what was expected, what was seen, and whether that is right."""

    expected: str
    observed: str
    ok: bool


def equal(name: str, expected: object, observed: object) -> Seen:
    """Right if both are equal."""
    return Seen(f"{name} {_show(expected)}", f"{name} {_show(observed)}", expected == observed)


def holds(expected: str, observed: str, *, ok: bool) -> Seen:
    """Right if the caller says so."""
    return Seen(expected, observed, ok)


def same_set(name: str, expected: Iterable[str], observed: Iterable[str]) -> Seen:
    """Right if both hold the same texts; shows only what is missing and what is too much."""
    wanted, found = set(expected), set(observed)
    extra, missing = sorted(found - wanted), sorted(wanted - found)
    if not extra and not missing:
        return Seen(f"exactly {len(wanted)} {name}", f"exactly {len(wanted)} {name}", ok=True)
    parts = [f"also {', '.join(extra)}"] if extra else []
    parts += [f"without {', '.join(missing)}"] if missing else []
    return Seen(f"exactly {len(wanted)} {name}", "; ".join(parts), ok=False)


def _show(value: object) -> str:
    if value is None or value in ("", (), [], {}):
        return "none"
    if isinstance(value, (list, tuple)):
        return " ".join(str(item) for item in value)
    return str(value)
