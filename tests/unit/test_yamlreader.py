"""The YAML reader: what it accepts is what PyYAML reads; what it refuses, it refuses with position and reason."""

import contextlib
import time

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from yamlcases import same

from aibox.errors import AiboxError
from aibox.yamlreader import MAX_BYTES, Key, Mapping, Scalar, Sequence, parse, parse_bytes, plain


def refusal(text: str | bytes) -> tuple[str, str, str]:
    with pytest.raises(AiboxError) as caught:
        parse_bytes(text, source="f.yaml") if isinstance(text, bytes) else parse(text, source="f.yaml")
    assert caught.value.code == "yaml-refused"
    return caught.value.what, caught.value.why, caught.value.fix


def test_same_tells_types_apart() -> None:
    assert not same(True, 1)
    assert not same(1, 1.0)
    assert not same(0.0, -0.0)
    assert not same([True], [1])
    assert not same({"a": 1}, {"a": True})
    assert same(float("nan"), float("nan"))


ACCEPTED = [
    "",
    "\n\n",
    "# only a comment\n",
    "---\n",
    "---  # start\na: b\n",
    "# head\n\n---\n- a\n",
    "a",
    "a: b",
    "a: b\r\nc: d\r\n",
    "engine: podman\nimage: harbor.internal/aibox/base:24.04\nlimits:\n  memory: 8G\n  cpus: 1.5\n  pids: 4096\n",
    "caches: [maven, npm]\n",
    "caches:\n  - maven\n  - npm\n",
    "caches:\n- maven\n- npm\npull: never\n",
    "a:\n- b:\n  - c\n  d: e\n-\n  f: g\n",
    "- - a\n  - b\n-   - c\n    - d\n",
    "- a: 1\n  b:\n    c: 2\n  d: 3\n- e\n",
    "a:\nb:\n  c:\n",
    "a:\n    b\nc: d\n",
    "a:\n  - [1, 2, [3]]\n  - {b: c, 'd': \"e\", f: {g: [h,]}}\n",
    '{"a":1,"b":[true,null],"c":{"d":"e"}}',
    "[]",
    "a: {}\nb: []\n",
    "a: [ ]\nb: { }\n",
    "  a: 1\n  b: 2\n",
    "a: http://host:80/x?y=z#w\n",
    "a: b # c\nd: e# f\n",
    'a: it\'s "fine" {here} [too], & so * on!\n',
    "a b: c d\n",
    "a : b\n",
    "'it''s': \"\\\"\\\\ \\n\\t\\x41\\u00e9\\U0001F600\\_\\N\\L\\P\\/\\e\\0\"\n",
    "a: 'x # y: z'\n",
    'a: "tab\there"  # comment\twith tab\n',
    "a: ''\nb: \"\"\n",
    "a: -b\n-c: d\n",
    "é: \u00a0 ü\n",
    "a: [yes, No, ON, off, True, FALSE, y, n, ~, null, NULL, nUll]\n",
    "a: [0, -0, +1, 010, 08, 0o7, 0x1F, -0b11, 1_000, 12345678901234567890123, 0_, 0x, 0b2, 1e3]\n",
    "a: [0., .5, -.5, 1.5e+3, 1.5e3, -1.E-2, +.inf, -.INF, .NaN, -.nan, -0.0, ., 1.2.3, 1__0.0_1, .e+1]\n",
    "version: 24.04.1\nmode: ---\nrange: 1-2\ndate: 2024-01\nhost: 10.0.0.1:x\n",
    "- \n-\n- a\n",
    "a:   # c\n\n  # d\n  - b   # e\n\n  # f\nc: d",
]


@pytest.mark.parametrize("text", ACCEPTED)
def test_accepted_and_equal(text: str) -> None:
    assert same(plain(parse(text)), yaml.safe_load(text))
    assert same(plain(parse_bytes(text.encode())), yaml.safe_load(text))


REFUSED = [
    ("a: &x b\n", "1:4", "anchors are not read"),
    ("a: *x\n", "1:4", "aliases are not read"),
    ("a: !!str 1\n", "1:4", "tags are not read"),
    ("%YAML 1.1\n---\na: b\n", "1:1", "a value cannot start with '%', and directives are not read"),
    ("a: |\n  b\n", "1:4", "block scalars are not read"),
    ("a: >-\n  b\n", "1:4", "block scalars are not read"),
    ("a: b\n---\nc: d\n", "2:1", "a file holds one document"),
    ("---\n---\n", "2:1", "a file holds one document"),
    ("a: b\n...\n", "2:1", "a file holds one document"),
    ("--- a\n", "1:5", "content on the line of '---' is not read"),
    ("a:\n\tb: c\n", "2:1", "a tab stands in the indentation"),
    ("a:\tb\n", "1:3", "a tab stands between values"),
    ("a: b\tc\n", "1:5", "a tab stands in a value without quotes"),
    ("a: 1\nb: 2\na: 3\n", "3:1", "the key 'a' stands here twice"),
    ("{a: 1, 'a': 2}\n", "1:8", "the key 'a' stands here twice"),
    ("a: b\n  c\n", "2:3", "this line is indented more than what it follows"),
    ("a: b\n  c: d\n", "2:3", "this line is indented more than what it follows"),
    ("  a: b\n c: d\n", "2:2", "this line does not belong to what stands before it"),
    ("a\nb\n", "2:1", "this line does not belong to what stands before it"),
    ("a:\n  - b\n c: d\n", "3:2", "this line is indented more than what it follows"),
    ("a:\n  - b\n- c\n", "3:1", "a list entry stands where a key is expected"),
    ("a: - b\n", "1:4", "a list cannot start on the line of its key"),
    ("a: b: c\n", "1:5", "a second ': ' on the line, or a key that is not text"),
    ("? a\n: b\n", "1:1", "a value cannot start with '?', and complex keys are not read"),
    ("[a]: b\n", "1:4", "a second ': ' on the line, or a key that is not text"),
    ("{[a]: b}\n", "1:2", "a collection cannot be a key here"),
    ("1: a\n", "1:1", "a key that is not text (a number, a boolean or null)"),
    ("yes: a\n", "1:1", "a key that is not text (a number, a boolean or null)"),
    ("~: a\n", "1:1", "a key that is not text (a number, a boolean or null)"),
    ("<<: {a: b}\n", "1:1", "'<<' has a special meaning in YAML"),
    ("a: =\n", "1:4", "'=' has a special meaning in YAML"),
    ("a: 1:30\n", "1:4", "YAML may read 1:30 as a number in base 60"),
    ("a: 2024-01-02\n", "1:4", "YAML may read 2024-01-02 as a date"),
    ("a: 2024-1-2T03:04:05Z\n", "1:4", "YAML may read 2024-1-2T03:04:05Z as a date"),
    ("a: 0x_\n", "1:4", "0x_ is a number without digits"),
    ("a: " + "1" * 301, "1:4", "a number of more than 300 characters is not read"),
    ("'" + "k" * 1100 + "': a\n", "1:1", "the key is longer than 1024 characters"),
    ("a: 'b\n", "1:4", "the single quote is not closed on this line"),
    ('a: "b\n  c"\n', "1:4", "the double quote is not closed on this line"),
    ('a: "\\q"\n', "1:5", "the escape '\\q' does not exist"),
    ('a: "\\x4"\n', "1:5", "'\\x' needs 2 hexadecimal digits"),
    ('a: "\\ud800"\n', "1:5", "'\\ud800' is not a character"),
    ('a: "\\U00110000"\n', "1:5", "'\\U00110000' is not a character"),
    ('a: "b" c\n', "1:8", "more text follows a finished value"),
    ('a: "b"#c\n', "1:7", "more text follows a finished value"),
    ('"a":b\n', "1:4", "a second ': ' on the line, or a key that is not text"),
    ("a: 1\nb\n", "2:1", "a key followed by ': ' is expected here"),
    ("a: [b\n", "1:6", "',' or ']' is expected on this line"),
    ("a: [b,\n  c]\n", "1:7", "a value is missing here"),
    ("a: [b: c]\n", "1:6", "',' or ']' is expected on this line"),
    ("a: [,]\n", "1:5", "a value cannot start with ','"),
    ("a: {b}\n", "1:6", "a ':' is expected after the key"),
    ("a: [-]\n", "1:5", "a list entry cannot stand here"),
    ("a: ]\n", "1:4", "a value cannot start with ']'"),
    ("a: @b\n", "1:4", "a value cannot start with '@'"),
    ("a: `b`\n", "1:4", "a value cannot start with '`'"),
    ("a: b\x00\n", "1:5", "the character U+0000 may not stand in a document"),
    ("a: b\nc\x7f", "2:2", "the character U+007F may not stand in a document"),
    ("a: 'b\x85'\n", "1:6", "the character U+0085 may not stand in a document"),
    ("a: 'b\u2028'\n", "1:6", "the character U+2028 may not stand in a document"),
    ("a: b\rc: d\n", "1:5", "the character U+000D may not stand in a document"),
    ("\ufeffa: b\n", "1:1", "the character U+FEFF may not stand in a document"),
    ("a: \ud800\n", "1:4", "the character U+D800 may not stand in a document"),
    ("[" * 51 + "]" * 51, "1:51", "more than 50 levels of nesting"),
    ("- " * 51 + "a", "1:101", "more than 50 levels of nesting"),
    ("#" * (MAX_BYTES + 1), "1:1", "the document is larger than 1048576 bytes"),
    ("#" + "é" * (MAX_BYTES // 2), "1:1", "the document is larger than 1048576 bytes"),
]


@pytest.mark.parametrize(("text", "position", "why"), REFUSED, ids=[repr(row[0][:20]) for row in REFUSED])
def test_refused(text: str, position: str, why: str) -> None:
    what, reason, fix = refusal(text)
    assert (what, reason) == (f"cannot read f.yaml:{position}", why)
    assert fix


def test_refused_bytes() -> None:
    fix = "save the file as UTF-8"
    assert refusal(b"a: b\n\xc3\xa9: \xff") == ("cannot read f.yaml:2:4", "the bytes here are not UTF-8", fix)
    assert refusal("a: b".encode("utf-16"))[1] == "the bytes here are not UTF-8"
    assert refusal(b"#" * (MAX_BYTES + 1))[1] == "the document is larger than 1048576 bytes"
    assert plain(parse_bytes(b"#" * MAX_BYTES)) is None


def test_fixes_are_named() -> None:
    assert refusal("a:\n\tb: c\n")[2] == "indent with spaces"
    assert refusal("a: 1:30\n")[2] == "put the value in quotes"
    assert refusal("a: |\n  b\n")[2] == 'write the text on one line in double quotes, with "\\n" for line breaks'


def test_the_deepest_allowed_nesting() -> None:
    for text in ("[" * 50 + "]" * 50, "- " * 50 + "a"):
        assert same(plain(parse(text)), yaml.safe_load(text))


def test_positions() -> None:
    root = parse("# c\na:\n  - x\n  - {k: [1]}\nb: \n")
    inner = Mapping(((Key("k", 4, 6), Sequence((Scalar(1, 4, 10),), 4, 9)),), 4, 5)
    items = Sequence((Scalar("x", 3, 5), inner), 3, 3)
    assert root == Mapping(((Key("a", 2, 1), items), (Key("b", 5, 1), Scalar(None, 5, 4))), 2, 1)


def seconds(text: str) -> float:
    began = time.process_time()
    with contextlib.suppress(AiboxError):
        parse(text)
    return time.process_time() - began


@pytest.mark.parametrize(
    "piece", ["a", "- a\n", "-\n", "\n", "# c\n", " ", "'", '"', "\\", "[", "[],", "a: ", ":", "1", "k\n", "- - a\n"]
)
@pytest.mark.parametrize("head", ["", "a: ", "- [", '"', "a: '"])
def test_time_is_linear(head: str, piece: str) -> None:
    size = MAX_BYTES - len(head)
    assert seconds(head + (piece * (size // len(piece)))) < 10


CHARS = "ab01 \n\t:-?#,[]{}'\"\\|>&*!%@`~=<._+xeEnNyYoO\r\x85\u2028\ufeff\u00e9\x00"
TOKENS = [
    *(
        "\n",
        "\n  ",
        "\n- ",
        "- ",
        ": ",
        "a: ",
        "b: ",
        "  ",
        " # c",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "'x'",
        '"y"',
        "---\n",
        "...",
    ),
    *(
        "yes",
        "null",
        "0x1",
        "0b1",
        "010",
        "1.5",
        ".inf",
        ".nan",
        "-0.0",
        "1e3",
        "1:30",
        "2024-01-02",
        "<<",
        "=",
        "\r\n",
    ),
]


def check(text: str) -> None:
    """Equal to PyYAML, or refused."""
    try:
        ours = plain(parse(text))
    except AiboxError as error:
        assert error.code == "yaml-refused"
        assert error.what
        assert error.why
        assert error.fix
        return
    assert same(ours, yaml.safe_load(text))


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=CHARS, max_size=30))
def test_characters_against_pyyaml(text: str) -> None:
    check(text)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=14).map("".join))
@example("a: b\n  # c\n  c: d\n")
@example("a:\n- b\n-c: d\n")
def test_tokens_against_pyyaml(text: str) -> None:
    check(text)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["", "a: ", "- ", "[", "{a: "]), st.text(alphabet="0123456789_+-.:eExXobBinfINFaA", max_size=10))
def test_numbers_against_pyyaml(head: str, text: str) -> None:
    closing = {"[": "]", "{a: ": "}"}.get(head, "")
    check(head + text + closing)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=30))
def test_bytes_against_pyyaml(data: bytes) -> None:
    try:
        ours = plain(parse_bytes(data))
    except AiboxError:
        return
    assert same(ours, yaml.safe_load(data))


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(VALUES, st.sampled_from([None, False, True]), st.integers(2, 6), st.sampled_from(["\n", "\r\n"]))
def test_documents_of_pyyaml(value: object, flow: bool | None, indent: int, end: str) -> None:
    check(
        yaml.safe_dump(value, default_flow_style=flow, indent=indent, line_break=end, allow_unicode=True, width=10**6)
    )


WORDS = st.text(alphabet="abcdefgh-_./", min_size=1, max_size=12).filter(lambda word: word[0].isalpha())
SIMPLE = st.recursive(
    st.booleans() | st.integers(-(10**40), 10**40) | WORDS,
    lambda inner: st.lists(inner, min_size=1, max_size=4) | st.dictionaries(WORDS, inner, min_size=1, max_size=4),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(WORDS, SIMPLE, min_size=1), st.integers(2, 6))
def test_ordinary_documents_are_accepted(value: object, indent: int) -> None:
    text = yaml.safe_dump(value, default_flow_style=False, indent=indent, sort_keys=False)
    assert same(plain(parse(text)), value)
