"""Typed access to JSON that somebody else wrote: a wrong shape is an empty value, never a traceback."""

import json
from typing import TypeAlias

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None


def parse(text: str | bytes) -> Json:
    """Parse JSON text. Raises ValueError (also for nesting that is too deep)."""
    try:
        value: Json = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return value


def once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """An `object_pairs_hook` that raises ValueError for a name that stands twice in one object."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands there twice")
    return found


def indent(text: str, usual: str) -> str:
    """How a JSON text is indented: the blanks before its first name; `usual` where nothing is."""
    for line in text.splitlines():
        blanks = line[: len(line) - len(line.lstrip())]
        if blanks:
            return blanks
    return usual


def dig(value: Json, *keys: str | int) -> Json:
    """The value under `keys` (object names or list positions), or None where the path ends early."""
    for key in keys:
        if isinstance(key, str) and isinstance(value, dict):
            value = value.get(key)
        elif isinstance(key, int) and isinstance(value, list) and -len(value) <= key < len(value):
            value = value[key]
        else:
            return None
    return value


def text(value: Json, *keys: str | int) -> str:
    """The string under `keys`, or an empty one."""
    found = dig(value, *keys)
    return found if isinstance(found, str) else ""


def number(value: Json, *keys: str | int) -> int:
    """The integer under `keys`, or 0."""
    found = dig(value, *keys)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def items(value: Json, *keys: str | int) -> list[Json]:
    """The list under `keys`, or an empty one."""
    found = dig(value, *keys)
    return found if isinstance(found, list) else []


def texts(value: Json, *keys: str | int) -> list[str]:
    """The strings of the list under `keys`."""
    return [item for item in items(value, *keys) if isinstance(item, str)]


def fields(value: Json, *keys: str | int) -> dict[str, Json]:
    """The object under `keys`, or an empty one."""
    found = dig(value, *keys)
    return found if isinstance(found, dict) else {}


def dump(value: Json) -> str:
    """Canonical JSON: sorted names, no blanks, ASCII; equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
