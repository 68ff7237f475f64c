"""YAML documents for the comparison of aibox's reader with PyYAML.

Three kinds: written from values (must be accepted and mean those values), the same with a few characters changed, and
fragments in random order. Whatever the reader accepts must be what PyYAML reads, types included.
"""

import random

import yaml

from aibox.errors import AiboxError
from aibox.yamlreader import parse, plain

FRAGMENTS = (
    *(
        "a",
        "b",
        "key",
        "- ",
        "-",
        "  ",
        " ",
        " ",
        "\n",
        "\n",
        "\n",
        "\n  ",
        "\n    ",
        ": ",
        ": ",
        ":",
        "a: ",
        "b: ",
        "? ",
    ),
    *(
        "[",
        "]",
        "{",
        "}",
        ",",
        ", ",
        "'",
        '"',
        '"x"',
        "'y'",
        "#",
        " # c",
        "\t",
        "\r\n",
        "\r",
        "---",
        "---\n",
        "...",
        "\n- ",
    ),
    *(
        "|",
        ">",
        "&a ",
        "*a",
        "!",
        "!!str ",
        "%",
        "@",
        "`",
        "~",
        "null",
        "yes",
        "No",
        "on",
        "true",
        "=",
        "<<",
        "\\",
        "\\x41",
    ),
    *(
        "0",
        "1",
        "-1",
        "+2",
        "0x1F",
        "0b1",
        "010",
        "0o7",
        "1_0",
        ".5",
        "1.",
        "1.5e+3",
        "1e3",
        ".inf",
        "-.inf",
        ".nan",
        "-0.0",
    ),
    *(
        "1:30",
        "2024-01-02",
        "\u00e9",
        "\u00a0",
        "\u2028",
        "\x85",
        "\ufeff",
        "\x00",
        "\x7f",
        "\U0001f600",
        "\\u00e9",
        "\\",
        "/",
    ),
)
SCALAR_CHARS = "abeExXob019_+-.:~nNyYtTfF #'\"\\,[]{}=<?!&*"
WORDS = (
    "null",
    "~",
    "yes",
    "Off",
    "true",
    "",
    " ",
    "a b",
    "1",
    "0x1f",
    "1.5",
    "-",
    "a: b",
    "#x",
    "x #y",
    "\t",
    "\n",
    "\u00e9",
    "8G",
    "http://x:1/y",
)

Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]


def same(left: object, right: object) -> bool:
    """Equal in value and type at every level; nan equals nan, -0.0 differs from 0.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return repr(left) == repr(right)


def quoted(rng: random.Random, text: str) -> str:
    """`text` as a YAML scalar that means exactly this text."""
    if text.isalpha() and text.isascii() and len(text) > 5 and rng.random() < 0.7:
        return text
    if rng.random() < 0.5 and text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    return '"' + "".join(char if char.isalnum() and char.isascii() else f"\\U{ord(char):08x}" for char in text) + '"'


def text_value(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return rng.choice(WORDS)
    return "".join(rng.choice("abcdefgh") for _ in range(rng.randint(6, 9)))


def value(rng: random.Random, depth: int) -> Plain:
    pick = rng.random()
    if depth < 5 and pick < 0.25:
        return [value(rng, depth + 1) for _ in range(rng.randint(0 if depth else 1, 3))]
    if depth < 5 and pick < 0.55:
        return {text_value(rng): value(rng, depth + 1) for _ in range(rng.randint(0 if depth else 1, 3))}
    return rng.choice(
        (None, True, False, 0, -1, 7, 10**30, 0.0, -0.0, 1.5, -2.25, float("inf"), float("nan"), text_value(rng))
    )


def scalar(rng: random.Random, item: Plain) -> str:
    if isinstance(item, str):
        return quoted(rng, item)
    if isinstance(item, bool):
        return rng.choice(("yes", "on", "True", "true") if item else ("no", "off", "False", "FALSE"))
    if isinstance(item, int):
        return rng.choice((str(item), hex(item), f"0{item:o}" if item > 0 else str(item), bin(item)))
    if isinstance(item, float):
        return {"inf": ".inf", "nan": ".NaN"}.get(repr(item), repr(item))
    return rng.choice(("~", "null", "Null"))


def flow(rng: random.Random, item: Plain) -> str:
    gap = rng.choice(("", " "))
    if isinstance(item, list):
        return f"[{gap}{f',{gap}'.join(flow(rng, part) for part in item)}{rng.choice(('', ',')) if item else ''}{gap}]"
    if isinstance(item, dict):
        return (
            "{"
            + gap
            + f"{gap}, ".join(f"{quoted(rng, key)}: {flow(rng, part)}" for key, part in item.items())
            + gap
            + "}"
        )
    return scalar(rng, item)


def noise(rng: random.Random) -> str:
    """The end of a line: perhaps a comment, blank lines, CRLF."""
    return rng.choice(("\n", "\n", "\n", " # note: [x\n", "\n\n", "\n  # c\n", "\r\n", "   \n"))


def block(rng: random.Random, item: Plain, indent: int) -> str:
    """The value after `-` or `key:`, with the end of its line."""
    if isinstance(item, list | dict) and item and rng.random() < 0.8:
        deeper = indent + rng.randint(1, 3)
        return noise(rng) + entries(rng, item, deeper)
    if item is None and rng.random() < 0.5:
        return noise(rng)
    gap = " " * rng.randint(1, 3) if rng.random() < 0.9 else noise(rng) + " " * (indent + rng.randint(1, 3))
    return gap + flow(rng, item) + noise(rng)


def entries(rng: random.Random, item: Plain, indent: int, *, first: bool = False) -> str:
    """A block collection; `first`: the cursor already stands at its column."""
    pad = " " * indent
    lines: list[str] = []
    if isinstance(item, list):
        for part in item:
            if isinstance(part, list | dict) and part and rng.random() < 0.4:
                gap = rng.randint(1, 3)
                lines.append("-" + " " * gap + entries(rng, part, indent + 1 + gap, first=True))
            else:
                lines.append("-" + block(rng, part, indent))
    elif isinstance(item, dict):
        for key, part in item.items():
            start = quoted(rng, key) + rng.choice(("", "", " ")) + ":"
            if isinstance(part, list) and part and rng.random() < 0.4:
                lines.append(start + noise(rng) + entries(rng, part, indent))
            else:
                lines.append(start + block(rng, part, indent))
    text = pad.join(lines)
    return text if first else pad + text


def written(rng: random.Random) -> tuple[str, Plain]:
    """A document in the supported subset, and what it means."""
    item = value(rng, 0)
    head = rng.choice(("", "", "---\n", "# c\n---  # d\n", "\n"))
    if isinstance(item, list | dict) and item:
        return head + entries(rng, item, rng.choice((0, 0, 2))), item
    return head + flow(rng, item) + noise(rng), item


def mutated(rng: random.Random, text: str) -> str:
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(text))
        pick = rng.random()
        if pick < 0.4:
            text = text[:at] + rng.choice(FRAGMENTS) + text[at:]
        elif pick < 0.7:
            text = text[:at] + text[at + rng.randint(1, 3) :]
        else:
            text = text[:at] + rng.choice(SCALAR_CHARS) + text[at + 1 :]
    return text


def fragments(rng: random.Random) -> str:
    if rng.random() < 0.3:
        return rng.choice(("", "a: ", "- ", "[", "{a: ")) + "".join(rng.choices(SCALAR_CHARS, k=rng.randint(1, 9)))
    return "".join(rng.choices(FRAGMENTS, k=rng.randint(1, 14)))


def difference(text: str) -> tuple[bool, str]:
    """Whether the reader accepted `text`, and how that differs from PyYAML ('' if it does not)."""
    try:
        ours = plain(parse(text))
    except AiboxError:
        return False, ""
    try:
        theirs: object = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        return True, f"PyYAML refuses ({type(error).__name__}: {error}), aibox reads {ours!r}"
    return True, "" if same(ours, theirs) else f"PyYAML reads {theirs!r}, aibox reads {ours!r}"


def judge(case: tuple[str, str, Plain]) -> bool:
    """Whether it was accepted.

    Raises AssertionError where aibox reads what PyYAML does not, or refuses what it has to read.
    """
    kind, text, meaning = case
    ok, wrong = difference(text)
    assert not wrong, wrong
    if kind == "written":
        assert ok, "refused"
        assert same(plain(parse(text)), meaning), "read as something else"
    return ok


def case(rng: random.Random) -> tuple[str, str, Plain]:
    """A document, how it came about, and, for one that was written from a value, that value."""
    kind = rng.choices(("written", "mutated", "fragments"), (1, 5, 6))[0]
    if kind == "fragments":
        return kind, fragments(rng), None
    text, meaning = written(rng)
    return (kind, mutated(rng, text), None) if kind == "mutated" else (kind, text, meaning)
