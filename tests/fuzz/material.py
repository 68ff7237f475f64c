"""What readers are fed: recordings of real output with one place changed, the same as damaged text, and fragments."""

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple, TypeVar

from aibox.jsonview import Json

T = TypeVar("T")
Way = tuple[str | int, ...]

WORDS = (
    "", " ", "x", "/", "//", "..", "/a/../b", "a,b:c=d", "aibox", "ALL", "runsc", "local", "created", "sha256:", "\0",
    "\n", "\t", "é", "\udc80", "\ud800", "\u2028", "\x85", "²", "٣", "-1", "0", "1e400", "9" * 30, "9" * 5000, "1.2",
    "2026-13-45T99:99:99Z", "2026-11-28T07:05:11.123456789Z", "0001-01-01T00:00:00Z", "%s%n", "{{.}}", "$(id)",
    "\\", "\\040", "\\777", "\x1b[31m", "a" * 300, "true", "null", "dev.gvisor.flag.x", "*", "**", "[", "{", "}",
)  # fmt: skip
NUMBERS: tuple[int | float, ...] = (
    0, 1, -1, 2, 8, 255, 1000, 65_535, 2**31, 2**32, 2**53, 2**63, 2**64, -(2**63), 10**40, 10**400, 0.5, -0.0, 1e308,
    float("inf"), float("nan"),
)  # fmt: skip
JSON_FRAGMENTS = (
    "{", "}", "[", "]", ",", ":", '"', '"a"', "null", "true", "-", "0", "1e999", "NaN", "Infinity", "\\", "\\u0000",
    "\\ud800", " ", "\n", "\ufeff", "//", '"Id":', '"Names":', '"Name":"x"', '"State":{}', "[[", "{}",
)  # fmt: skip
DEEP = tuple(opening * count + "1" + closing * count for opening, closing in (("[", "]"), ('{"a":', "}"))
             for count in (300, 950, 20_000))  # fmt: skip


class Sample(NamedTuple):
    """A recorded document, and the way to each of its places."""

    value: Json
    ways: tuple[Way, ...]


def sample(value: Json) -> Sample:
    """A document with its places."""
    found: list[Way] = [()]
    waiting: list[tuple[Way, Json]] = [((), value)]
    while waiting:
        way, here = waiting.pop()
        inner: Sequence[tuple[str | int, Json]] = ()
        if isinstance(here, dict):
            inner = list(here.items())
        elif isinstance(here, list):
            inner = list(enumerate(here))
        for key, part in inner:
            found.append((*way, key))
            waiting.append(((*way, key), part))
    return Sample(value, tuple(found))


def text(rng: Random) -> str:
    """A short text, odd ones more often than chance would."""
    if rng.random() < 0.7:
        return rng.choice(WORDS)
    return "".join(chr(rng.choice((rng.randint(1, 127), rng.randint(1, 0x2FFF)))) for _ in range(rng.randint(1, 12)))


def leaf(rng: Random) -> Json:
    """A value without inner ones."""
    pick = rng.random()
    if pick < 0.5:
        return text(rng)
    return rng.choice(NUMBERS) if pick < 0.75 else rng.choice((None, True, False))


def anything(rng: Random, depth: int = 0) -> Json:
    """Any JSON value."""
    pick = rng.random()
    if depth > 3 or pick < 0.5:
        return leaf(rng)
    if pick < 0.75:
        return [anything(rng, depth + 1) for _ in range(rng.randint(0, 3))]
    return {text(rng): anything(rng, depth + 1) for _ in range(rng.randint(0, 3))}


def changed(rng: Random, samples: Sequence[Sample]) -> Json:
    """A recorded document with one to three places replaced, removed, doubled or renamed; all else is shared."""
    one = rng.choice(samples)
    value = one.value
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        value = _at(rng, value, rng.choice(one.ways))
    return value


def _at(rng: Random, value: Json, way: Way) -> Json:
    if not way:
        return anything(rng)
    key, *rest = way
    if isinstance(value, dict) and isinstance(key, str) and key in value:
        copy = dict(value)
        if rest:
            copy[key] = _at(rng, copy[key], tuple(rest))
            return copy
        pick = rng.random()
        if pick < 0.6:
            copy[key] = anything(rng)
        elif pick < 0.8:
            del copy[key]
        else:
            copy[text(rng)] = copy[key]
        return copy
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        items = list(value)
        if rest:
            items[key] = _at(rng, items[key], tuple(rest))
            return items
        pick = rng.random()
        if pick < 0.5:
            items[key] = anything(rng)
        elif pick < 0.75:
            del items[key]
        else:
            items.insert(key, items[key])
        return items
    return value


def damaged(rng: Random, content: bytes, fragments: Sequence[str] = WORDS) -> bytes:
    """Bytes with a few places overwritten, cut, doubled or filled."""
    for _ in range(rng.randint(1, 4)):
        at, length = rng.randint(0, len(content)), rng.choice((1, 1, 2, 5, 50))
        pick = rng.random()
        if pick < 0.3:
            piece = rng.choice(fragments).encode("utf-8", "surrogatepass" if pick < 0.1 else "replace")
            content = content[:at] + piece + content[at:]
        elif pick < 0.5:
            content = content[:at] + content[at + length :]
        elif pick < 0.7:
            content = content[:at] + rng.randbytes(length) + content[at + length :]
        elif pick < 0.8:
            content = content[:at]
        else:
            other = rng.randint(0, len(content))
            content = content[:at] + content[other : other + 4 * length] + content[at:]
    return content


def pieces(rng: Random, fragments: Sequence[str]) -> str:
    """Fragments in any order."""
    return "".join(rng.choices(fragments, k=rng.randint(0, 14)))


def json_text(*values: Json) -> Callable[[Random], str]:
    """Makes texts that an engine could have printed in place of one of these documents."""
    samples = [sample(value) for value in values]
    texts = [json.dumps(value).encode() for value in values]

    def make(rng: Random) -> str:
        pick = rng.random()
        if pick < 0.6:
            return json.dumps(changed(rng, samples), ensure_ascii=pick < 0.5)
        if pick < 0.85:
            return damaged(rng, rng.choice(texts), JSON_FRAGMENTS).decode("utf-8", "replace")
        return rng.choice(DEEP) if pick < 0.86 else pieces(rng, JSON_FRAGMENTS)

    return make


def json_value(*values: Json) -> Callable[[Random], Json]:
    """Makes documents that an engine could have printed in place of one of these."""
    samples = [sample(value) for value in values]
    return lambda rng: changed(rng, samples)


def lines(*contents: str, fragments: Sequence[str] = WORDS) -> Callable[[Random], str]:
    """Makes texts from one of these: some of its lines with one word changed, damaged, or words in any order."""
    raw = [content.encode("utf-8", "surrogateescape") for content in contents]
    own = [piece for content in contents for word in content.split(" ") for piece in (word, " ")]
    mixed = (*own, *fragments, "\n", "\n", " ", "\t")

    def make(rng: Random) -> str:
        pick = rng.random()
        if pick < 0.4:
            kept = [line for line in rng.choice(contents).splitlines(keepends=True) if rng.random() < 0.7] or [""]
            at = rng.randrange(len(kept))
            words = kept[at].split(" ")
            words[rng.randrange(len(words))] = rng.choice(mixed) + ("\n" if kept[at].endswith("\n") else "")
            kept[at] = " ".join(words)
            return "".join(kept)
        if pick < 0.7:
            return damaged(rng, rng.choice(raw), fragments).decode("utf-8", "surrogateescape")
        return pieces(rng, mixed)

    return make


def as_bytes(make: Callable[[Random], str]) -> Callable[[Random], bytes]:
    """The same as bytes, of which some are no UTF-8."""

    def encoded(rng: Random) -> bytes:
        content = make(rng).encode("utf-8", "surrogatepass" if rng.random() < 0.1 else "replace")
        return damaged(rng, content) if rng.random() < 0.1 else content

    return encoded
