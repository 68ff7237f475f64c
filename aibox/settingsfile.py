"""Settings and policy in a file's bytes: every key checked, with its line. Pure, loaded only where there is a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aibox.configkeys import Row, Value, convert, convert_item, invalid, is_list, shown, unknown
from aibox.yamlreader import Mapping, Node, Scalar, Sequence, parse_bytes, plain

if TYPE_CHECKING:
    from collections.abc import Iterator


def read(rows: tuple[Row, ...], content: bytes, source: str) -> Iterator[tuple[Row, Value, int]]:
    """Row, typed value and line of every key in a file."""
    root = parse_bytes(content, source=source)
    if isinstance(root, Scalar) and root.value is None:
        return
    yield from _read_mapping(rows, root, source, "")


def _read_mapping(rows: tuple[Row, ...], node: Node, source: str, prefix: str) -> Iterator[tuple[Row, Value, int]]:
    known = {row.path: row for row in rows}
    sections = {row.path.rpartition(".")[0] for row in rows}
    if not isinstance(node, Mapping):
        where = f"in {prefix.rstrip('.')}" if prefix else "in the file"
        invalid(f"{source}:{node.line}", f"keys are missing {where}", "lines of the form 'key: value'", "add them")
    for key, value in node.entries:
        path = prefix + key.value
        if not prefix and path in sections - {""}:
            yield from _read_mapping(rows, value, source, f"{path}.")
        elif path in known and "." not in key.value:
            yield known[path], _from_node(known[path], value, source), key.line
        else:
            unknown(f"{source}:{key.line}: unknown key {shown(path)}", path, tuple(known))


def _from_node(row: Row, node: Node, source: str) -> Value:
    if is_list(row) and isinstance(node, Sequence):
        for item in node.items:
            _converted(row, item, source, one_item=True)
    return _converted(row, node, source)


def _converted(row: Row, node: Node, source: str, *, one_item: bool = False) -> Value:
    raw = plain(node)
    try:
        return convert_item(row, raw) if one_item else convert(row, raw)
    except ValueError as error:
        invalid(f"{source}:{node.line}", f"wrong value {shown(raw)} for {row.path}", str(error), "correct this line")
