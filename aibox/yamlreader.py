"""A strict YAML reader (requirement C4).

A document either means exactly what PyYAML's `yaml.safe_load` says it means, or it is refused with line and column.
Read: block mappings and sequences, one-line flow collections, one-line scalars with YAML 1.1 types, comments, one
`---`. Refused: everything that surprises people (tags, anchors, `<<`, dates, `1:30`, duplicate keys, folded lines).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, NoReturn, TypeAlias

from aibox.errors import AiboxError
from aibox.yamlscalars import ScalarRefusedError, Value, read_scalar

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BYTES = 1 << 20
MAX_DEPTH = 50
_MAX_KEY = 1024  # PyYAML looks no further than this for the colon of a key

Plain: TypeAlias = "Value | list[Plain] | dict[str, Plain]"


class Scalar(NamedTuple):
    """A single value with its Python type; `line` and `column` count from 1."""

    value: Value
    line: int
    column: int


class Key(NamedTuple):
    """A mapping's key, always text."""

    value: str
    line: int
    column: int


class Sequence(NamedTuple):
    """A list, in block or flow style."""

    items: tuple[Node, ...]
    line: int
    column: int


class Mapping(NamedTuple):
    """Keys and their nodes in the order of the file; no key occurs twice."""

    entries: tuple[tuple[Key, Node], ...]
    line: int
    column: int


Node: TypeAlias = "Scalar | Sequence | Mapping"

_BREAKS = "\x85\u2028\u2029"


def parse(text: str, *, source: str = "<text>") -> Node:
    """The document's root node; an empty document is Scalar(None).

    Errors: `yaml-refused`, with `source`:line:column. `source` is only used in messages.
    """
    return _Reader(_checked(text, source), source).document()


def parse_bytes(data: bytes, *, source: str = "<bytes>") -> Node:
    """As `parse`, for the bytes of a file, which must be UTF-8 without a byte order mark."""
    if len(data) > MAX_BYTES:
        _too_large(source)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        start = data.rfind(b"\n", 0, error.start) + 1
        column = len(data[start : error.start].decode("utf-8")) + 1
        _refuse(source, line, column, "the bytes here are not UTF-8", "save the file as UTF-8")
    return parse(text, source=source)


def plain(node: Node) -> Plain:
    """The node as ordinary Python values: what `yaml.safe_load` gives for the same text."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return {key.value: plain(value) for key, value in node.entries}


def _refuse(source: str, line: int, column: int, why: str, fix: str) -> NoReturn:
    raise AiboxError("yaml-refused", f"cannot read {source}:{line}:{column}", why=why, fix=fix)


def _too_large(source: str) -> NoReturn:
    _refuse(source, 1, 1, f"the document is larger than {MAX_BYTES} bytes", "shorten it")


def _allowed(char: str) -> bool:
    """Whether a document may hold this character outside escapes."""
    if char < "\x7f":
        return char >= " " or char in "\t\n"
    if char in _BREAKS or char in "\ufeff\ufffe\uffff":
        return False
    return "\xa0" <= char < "\ud800" or char >= "\ue000"


def _checked(text: str, source: str) -> list[str]:
    """The lines of `text`, without their ends. Refuses what no document may hold anywhere."""
    if len(text) > MAX_BYTES:
        _too_large(source)
    text = text.replace("\r\n", "\n")
    bad = {char for char in set(text) if not _allowed(char)}
    if bad:
        at = min(text.index(char) for char in bad)
        line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
        fix = "remove it, or write it as an escape in double quotes"
        _refuse(source, line, column, f"the character U+{ord(text[at]):04X} may not stand in a document", fix)
    if len(text.encode("utf-8")) > MAX_BYTES:
        _too_large(source)
    return text.split("\n")


class _Reader:
    """One pass over the lines. `row` and `col` are the first content not read yet; `col` is its indentation."""

    def __init__(self, lines: list[str], source: str) -> None:
        self.lines = lines
        self.source = source
        self.row = -1
        self.col = 0
        self.line = ""
        self.ended = False

    def more(self) -> bool:
        return not self.ended

    def refuse(self, col: int, why: str, fix: str) -> NoReturn:
        _refuse(self.source, self.row + 1, col + 1, why, fix)

    def document(self) -> Node:
        self.advance(first=True)
        if self.more() and self.is_marker("---"):
            if not self.blank(3):
                self.refuse(4, "content on the line of '---' is not read", "move it to a line of its own")
            self.advance()
        if not self.more():
            return Scalar(None, 1, 1)
        root = self.node(self.col, 1)
        if self.more():
            self.refuse(self.col, "this line does not belong to what stands before it", "check the indentation")
        return root

    # Lines.

    def advance(self, *, first: bool = False) -> None:
        """Go to the next line that holds content, past blank lines and comments."""
        for row in range(self.row + 1, len(self.lines)):
            line = self.lines[row]
            col = len(line) - len(line.lstrip(" "))
            if col == len(line) or line[col] == "#":
                continue
            self.row, self.col, self.line = row, col, line
            if line[col] == "\t":
                self.refuse(col, "a tab stands in the indentation", "indent with spaces")
            if self.is_marker("...") or (self.is_marker("---") and not first):
                self.refuse(0, "a file holds one document", "remove this line and what follows it")
            return
        self.ended = True

    def is_marker(self, marker: str) -> bool:
        return self.line.startswith(marker) and self.line[3:4] in ("", " ", "\t")

    def blank(self, pos: int) -> bool:
        """Whether nothing but spaces and a comment follows `pos`."""
        rest = self.line[pos:].lstrip(" ")
        return not rest or (rest[0] == "#" and self.line[pos] == " ")

    def is_dash(self, pos: int) -> bool:
        return self.line[pos] == "-" and self.line[pos + 1 : pos + 2] in ("", " ")

    def skip(self, pos: int) -> int:
        """The first position from `pos` on that is not a space; a tab there is refused."""
        line = self.line
        while pos < len(line) and line[pos] == " ":
            pos += 1
        if pos < len(line) and line[pos] == "\t":
            self.refuse(pos, "a tab stands between values", "use spaces, or put the value in quotes")
        return pos

    # Block style.

    def node(self, pos: int, depth: int) -> Node:
        """The node that starts at `pos` of this line; afterwards the reader is at the next line's content."""
        if self.is_dash(pos):
            return self.sequence(pos, depth)
        if self.line[pos] in "[{":
            return self.inline(pos, depth)
        scalar, end = self.scalar(pos, flow=False)
        if self.is_colon(end):
            return self.mapping(pos, depth)
        self.end_line(end)
        return scalar

    def is_colon(self, pos: int) -> bool:
        return self.line[pos : pos + 1] == ":" and self.line[pos + 1 : pos + 2] in ("", " ", "\t")

    def inline(self, pos: int, depth: int) -> Node:
        """A scalar or flow collection that must be all that is left of its line."""
        node, end = self.flow(pos, depth) if self.line[pos] in "[{" else self.scalar(pos, flow=False)
        self.end_line(end)
        return node

    def end_line(self, pos: int) -> None:
        if not self.blank(pos):
            pos = self.skip(pos)
            if self.line[pos] == ":":
                self.refuse(pos, "a second ': ' on the line, or a key that is not text", "put the value in quotes")
            self.refuse(pos, "more text follows a finished value", "put the whole value in one pair of quotes")
        self.advance()

    def sequence(self, col: int, depth: int) -> Sequence:
        self.check_depth(col, depth)
        items: list[Node] = []
        line = self.row + 1
        pos = col
        while True:
            start = self.skip(pos + 1)
            if self.blank(pos + 1):
                items.append(self.below(start, col, depth, indentless=False))
            else:
                items.append(self.node(start, depth + 1))
            if self.continues(col) and self.is_dash(col):
                pos = col
                continue
            return Sequence(tuple(items), line, col + 1)

    def mapping(self, col: int, depth: int) -> Mapping:
        self.check_depth(col, depth)
        entries: list[tuple[Key, Node]] = []
        seen: set[str] = set()
        line = self.row + 1
        while True:
            if self.is_dash(col):
                self.refuse(col, "a list entry stands where a key is expected", "check the indentation")
            key, colon = self.key(col, seen, flow=False)
            if not self.is_colon(colon):
                self.refuse(col, "a key followed by ': ' is expected here", "write 'key: value'")
            start = self.skip(colon + 1)
            if self.blank(colon + 1):
                entries.append((key, self.below(start, col, depth, indentless=True)))
            elif self.is_dash(start):
                self.refuse(start, "a list cannot start on the line of its key", "move it to the next line")
            else:
                entries.append((key, self.inline(start, depth + 1)))
            if not self.continues(col):
                return Mapping(tuple(entries), line, col + 1)

    def continues(self, col: int) -> bool:
        """Whether the next content belongs to the collection at `col`, or to one further out."""
        if self.more() and self.col > col:
            self.refuse(self.col, "this line is indented more than what it follows", "check the indentation")
        return self.more() and self.col == col

    def below(self, pos: int, col: int, depth: int, *, indentless: bool) -> Node:
        """The value of an entry at `col` that has nothing after its mark: on the following lines, or null."""
        empty = Scalar(None, self.row + 1, min(pos, len(self.line)) + 1)
        self.advance()
        if not self.more() or self.col < col:
            return empty
        if self.col == col:
            return self.sequence(col, depth + 1) if indentless and self.is_dash(col) else empty
        return self.node(self.col, depth + 1)

    def key(self, pos: int, seen: set[str], *, flow: bool) -> tuple[Key, int]:
        """The key at `pos`, and where its colon has to be."""
        if self.line[pos : pos + 1] in ("[", "{"):
            self.refuse(pos, "a collection cannot be a key here", "use text as the key")
        scalar, end = self.scalar(pos, flow=flow)
        key = scalar.value
        if not isinstance(key, str):
            self.refuse(pos, "a key that is not text (a number, a boolean or null)", "put the key in quotes")
        if end - pos > _MAX_KEY:
            self.refuse(pos, f"the key is longer than {_MAX_KEY} characters", "shorten it")
        if key in seen:
            self.refuse(pos, f"the key {key!r} stands here twice", "remove one of the two")
        seen.add(key)
        return Key(key, scalar.line, scalar.column), end

    def check_depth(self, pos: int, depth: int) -> None:
        if depth > MAX_DEPTH:
            self.refuse(pos, f"more than {MAX_DEPTH} levels of nesting", "make the document flatter")

    # Flow style.

    def flow(self, pos: int, depth: int) -> tuple[Node, int]:
        """The value at `pos` inside brackets (or the brackets themselves), and the position after it."""
        opening = self.line[pos : pos + 1]
        if opening == "[":
            items: list[Node] = []

            def item(at: int) -> int:
                node, end = self.flow(at, depth + 1)
                items.append(node)
                return end

            end = self.members(pos, depth, "]", item)
            return Sequence(tuple(items), self.row + 1, pos + 1), end
        if opening == "{":
            entries: list[tuple[Key, Node]] = []
            seen: set[str] = set()

            def entry(at: int) -> int:
                key, colon = self.key(at, seen, flow=True)
                if self.line[colon : colon + 1] != ":":
                    self.refuse(colon, "a ':' is expected after the key", "write '{key: value}'")
                node, end = self.flow(self.skip(colon + 1), depth + 1)
                entries.append((key, node))
                return end

            end = self.members(pos, depth, "}", entry)
            return Mapping(tuple(entries), self.row + 1, pos + 1), end
        return self.scalar(pos, flow=True)

    def members(self, pos: int, depth: int, closing: str, member: Callable[[int], int]) -> int:
        """Read members up to `closing`; gives the position after it."""
        self.check_depth(pos, depth)
        pos = self.skip(pos + 1)
        while self.line[pos : pos + 1] != closing:
            pos = self.skip(member(pos))
            mark = self.line[pos : pos + 1]
            if mark == ",":
                pos = self.skip(pos + 1)
            elif mark != closing:
                self.refuse(pos, f"',' or '{closing}' is expected on this line", "write the whole list on one line")
        return pos + 1

    def scalar(self, pos: int, *, flow: bool) -> tuple[Scalar, int]:
        """The scalar at `pos`, and the position after it (after the spaces behind it, if a colon follows them)."""
        try:
            value, end = read_scalar(self.line, pos, flow=flow)
        except ScalarRefusedError as refused:
            self.refuse(refused.pos, refused.why, refused.fix)
        after = self.skip(end)
        return Scalar(value, self.row + 1, pos + 1), after if self.line[after : after + 1] == ":" else end
