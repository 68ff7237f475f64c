"""YAML scalars on one line: where they end and what they mean (for `aibox.yamlreader`).

The meaning is that of PyYAML's resolver, https://github.com/yaml/pyyaml/blob/main/lib/yaml/resolver.py; what that
resolver takes for a date or a base-60 number is refused.
"""

from typing import TypeAlias

Value: TypeAlias = "str | int | float | bool | None"

_MAX_NUMBER = 300  # turning digits into a number takes quadratic time
_WORDS: dict[str, Value] = {
    **dict.fromkeys(("~", "null", "Null", "NULL")),
    **dict.fromkeys(("yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_DIGITS = "0123456789"
_HEX_DIGITS = "0123456789abcdefABCDEF"
_ESCAPES = {
    **dict(zip('0abtnvfre"\\/ \t', '\0\a\b\t\n\v\f\r\x1b"\\/ \t', strict=True)),
    **dict(zip("N_LP", "\x85\xa0\u2028\u2029", strict=True)),
}
_HEX_ESCAPES = {"x": 2, "u": 4, "U": 8}
_QUOTE = "put the value in quotes"
_NOT_PLAIN = {
    "": ("a value is missing here", "write it on this line"),
    "&": ("anchors are not read", "write the value out where it is used"),
    "*": ("aliases are not read", "write the value out, or put it in quotes if it is text"),
    "!": ("tags are not read", "leave the tag out, or put the value in quotes if it is text"),
    "|": ("block scalars are not read", 'write the text on one line in double quotes, with "\\n" for line breaks'),
    ">": ("block scalars are not read", "write the text on one line"),
    "%": ("a value cannot start with '%', and directives are not read", _QUOTE),
    "@": ("a value cannot start with '@'", _QUOTE),
    "`": ("a value cannot start with '`'", _QUOTE),
    "?": ("a value cannot start with '?', and complex keys are not read", _QUOTE),
    ":": ("a value cannot start with ':'", "put the value in quotes, or write the key before it"),
    ",": ("a value cannot start with ','", "put the value in quotes, or remove the comma"),
    "[": ("a list cannot stand here", _QUOTE),
    "{": ("a mapping cannot stand here", _QUOTE),
    "]": ("a value cannot start with ']'", "put the value in quotes, or remove the bracket"),
    "}": ("a value cannot start with '}'", "put the value in quotes, or remove the brace"),
    "#": ("a value cannot start with '#', and a comment needs a space before it", _QUOTE),
}


class ScalarRefusedError(Exception):
    """A scalar that is wrong or not read: its position in the line, why, and what to write instead."""

    def __init__(self, pos: int, why: str, fix: str) -> None:
        super().__init__(why)
        self.pos = pos
        self.why = why
        self.fix = fix


def read_scalar(line: str, pos: int, *, flow: bool) -> tuple[Value, int]:
    """The scalar that starts at `pos`, and the position after it; `flow`: it stands in brackets.

    Raises ScalarRefusedError.
    """
    mark = line[pos : pos + 1]
    if mark == '"':
        return _double_quoted(line, pos)
    if mark == "'":
        return _single_quoted(line, pos)
    text = _plain(line, pos, flow=flow)
    try:
        return resolve(text), pos + len(text)
    except ValueError as error:
        raise ScalarRefusedError(pos, str(error), _QUOTE) from None


def resolve(text: str) -> Value:
    """What an unquoted scalar means. Raises ValueError for what surprises people: dates, `1:30`, `<<` and `=`."""
    if text in _WORDS:
        return _WORDS[text]
    if text in {"<<", "="}:
        raise ValueError(f"'{text}' has a special meaning in YAML")
    return _number(text) if text[:1] in "+-.0123456789" else text


def _number(text: str) -> Value:
    body = text[1:] if text[0] in "+-" else text
    if ":" in body and body[0] in _DIGITS and not body.strip("0123456789_.:"):
        raise ValueError(f"YAML may read {text} as a number in base 60")
    if _is_date(text):
        raise ValueError(f"YAML may read {text} as a date")
    prefix, base = _integer_base(body)
    if not base and not _is_float(body, signed=body is not text):
        return text
    if len(text) > _MAX_NUMBER:
        raise ValueError(f"a number of more than {_MAX_NUMBER} characters is not read")
    digits = body[prefix:].replace("_", "")
    if not digits:
        raise ValueError(f"{text} is a number without digits")
    value = int(digits, base) if base else float(digits)
    return -value if text[0] == "-" else value


def _integer_base(body: str) -> tuple[int, int]:
    """The length of the prefix and the base of an integer without its sign; base 0 if it is none."""
    if body[:2] == "0b" and len(body) > 2 and not body[2:].strip("01_"):
        return 2, 2
    if body[:2] == "0x" and len(body) > 2 and not body[2:].strip("_" + _HEX_DIGITS):
        return 2, 16
    if body[:1] == "0" and not body.strip("01234567_"):
        return 0, 8
    if body[:1] in tuple("123456789") and not body.strip("0123456789_"):
        return 0, 10
    return 0, 0


def _is_float(body: str, *, signed: bool) -> bool:
    """Whether this is a float in YAML 1.1: a point is needed, and a sign in the exponent."""
    whole, point, rest = body.partition(".")
    mantissa, exponent, power = rest.replace("E", "e").partition("e")
    if not point or (exponent and (power[:1] not in tuple("+-") or not power[1:] or power[1:].strip(_DIGITS))):
        return False
    if mantissa.strip("0123456789_"):
        return False
    if whole:
        return whole[0] in _DIGITS and not whole.strip("0123456789_")
    return not signed and mantissa[:1] in tuple(_DIGITS)


def _is_date(text: str) -> bool:
    """Whether this starts like a timestamp; takes in a little more than the resolver does."""
    parts = text.replace("T", " ").replace("t", " ").partition(" ")[0].split("-")
    return len(parts) == 3 and len(parts[0]) == 4 and all(part and not part.strip(_DIGITS) for part in parts)


def _plain(line: str, pos: int, *, flow: bool) -> str:
    """The text of the unquoted scalar at `pos`, without the spaces behind it; never empty."""
    mark = line[pos : pos + 1]
    if mark in _NOT_PLAIN:
        raise ScalarRefusedError(pos, *_NOT_PLAIN[mark])
    after_colon = " \t,[]{}" if flow else " \t"
    if mark == "-" and line[pos + 1 : pos + 2] in ("", *after_colon):
        raise ScalarRefusedError(
            pos, "a list entry cannot stand here", "move it to its own line, or put the value in quotes"
        )
    end = pos
    while end < len(line):
        char = line[end]
        if char == ":" and (end + 1 == len(line) or line[end + 1] in after_colon):
            break
        if (char == "#" and line[end - 1] == " ") or (flow and char in ",[]{}?"):
            break
        if char == "\t":
            raise ScalarRefusedError(
                end, "a tab stands in a value without quotes", "use spaces, or put the value in quotes"
            )
        end += 1
    return line[pos:end].rstrip(" ")


def _single_quoted(line: str, pos: int) -> tuple[str, int]:
    chunks: list[str] = []
    start = pos + 1
    while (end := line.find("'", start)) >= 0:
        chunks.append(line[start:end])
        if line[end + 1 : end + 2] != "'":
            return "'".join(chunks), end + 1
        start = end + 2
    raise ScalarRefusedError(pos, "the single quote is not closed on this line", "close it; text cannot span lines")


def _double_quoted(line: str, pos: int) -> tuple[str, int]:
    chunks: list[str] = []
    start = end = pos + 1
    while end < len(line):
        if line[end] == '"':
            return "".join([*chunks, line[start:end]]), end + 1
        if line[end] == "\\":
            chunks.append(line[start:end])
            char, end = _escape(line, end)
            chunks.append(char)
            start = end
        else:
            end += 1
    raise ScalarRefusedError(pos, "the double quote is not closed on this line", "close it; text cannot span lines")


def _escape(line: str, pos: int) -> tuple[str, int]:
    """The character that the escape at `pos` stands for, and the position after it."""
    mark = line[pos + 1 : pos + 2]
    if mark in _ESCAPES:
        return _ESCAPES[mark], pos + 2
    if mark not in _HEX_ESCAPES:
        raise ScalarRefusedError(pos, f"the escape '\\{mark}' does not exist", "write '\\\\' for a backslash")
    size = _HEX_ESCAPES[mark]
    digits = line[pos + 2 : pos + 2 + size]
    if len(digits) < size or digits.strip(_HEX_DIGITS):
        raise ScalarRefusedError(pos, f"'\\{mark}' needs {size} hexadecimal digits", "write '\\\\' for a backslash")
    code = int(digits, 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise ScalarRefusedError(pos, f"'\\{mark}{digits}' is not a character", "write the character itself")
    return chr(code), pos + 2 + size
