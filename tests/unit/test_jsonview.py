"""Typed access to other people's JSON, the words of observations, shipped files, and unmounting what is not there."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import plan_of

from aibox import assets, idmapped, jsonview
from aibox.errors import AiboxError
from aibox.jsonview import Json
from aibox.observe import equal, holds, same_set

DOCUMENT: Json = {"a": [{"n": 3, "s": "x", "t": True, "f": 1.5, "l": ["p", 1, None, "q"], "z": None}], "": {"": "e"}}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def test_paths() -> None:
    assert jsonview.text(DOCUMENT, "a", 0, "s") == "x"
    assert jsonview.text(DOCUMENT, "a", -1, "s") == "x"
    assert jsonview.number(DOCUMENT, "a", 0, "n") == 3
    assert jsonview.texts(DOCUMENT, "a", 0, "l") == ["p", "q"]
    assert jsonview.fields(DOCUMENT, "") == {"": "e"}
    assert jsonview.dig(DOCUMENT) is DOCUMENT


@pytest.mark.parametrize(
    "way", [("b",), ("a", 1), ("a", -2), ("a", "0"), ("a", 0, "s", 0), ("a", 0, "n", "x"), (0,), ("a", 0, "z", "y")]
)
def test_paths_that_end_early(way: tuple[str | int, ...]) -> None:
    assert jsonview.dig(DOCUMENT, *way) is None
    assert (jsonview.text(DOCUMENT, *way), jsonview.number(DOCUMENT, *way)) == ("", 0)
    assert (jsonview.items(DOCUMENT, *way), jsonview.fields(DOCUMENT, *way)) == ([], {})


@pytest.mark.parametrize("name", ["t", "f", "l", "z"])
def test_other_types_are_empty(name: str) -> None:
    """`true` is no number, and nothing is converted."""
    assert (jsonview.number(DOCUMENT, "a", 0, name), jsonview.text(DOCUMENT, "a", 0, name)) == (0, "")


@given(VALUES, st.lists(st.text(max_size=3) | st.integers(-3, 3), max_size=4))
def test_no_shape_is_a_traceback(value: Json, way: list[str | int]) -> None:
    for look in (jsonview.dig, jsonview.text, jsonview.number, jsonview.items, jsonview.texts, jsonview.fields):
        look(value, *way)


@given(VALUES)
def test_dumping_is_canonical(value: Json) -> None:
    text = jsonview.dump(value)
    assert text.isascii()
    assert jsonview.parse(text) == value
    assert jsonview.dump(json.loads(json.dumps(value))) == text


@pytest.mark.parametrize("text", ["", "{", "nul", b"\xff", "[" * 100000, '{"a": 1}}'])
def test_what_is_no_json(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        jsonview.parse(text)
    assert isinstance(caught.value, ValueError)


# Observations


def test_observations() -> None:
    assert equal("user", "a", "a") == ("user a", "user a", True)
    assert equal("groups", [], ["x", 3]) == ("groups none", "groups x 3", False)
    assert equal("flag", expected=True, observed=None) == ("flag True", "flag none", False)
    assert equal("flag", expected=False, observed=False) == ("flag False", "flag False", True)
    assert equal("size", 0, 0) == ("size 0", "size 0", True)
    assert holds("a", "b", ok=False) == ("a", "b", False)


def test_sets_show_only_the_difference() -> None:
    assert same_set("rules", "ab", "ba") == ("exactly 2 rules", "exactly 2 rules", True)
    assert same_set("rules", "ab", "bcd") == ("exactly 2 rules", "also c, d; without a", False)
    assert same_set("rules", "a", "") == ("exactly 1 rules", "without a", False)
    assert not same_set("rules", "", "a").ok


# Shipped files


def test_shipped_files() -> None:
    assert assets.read("launch.py") == (Path(__file__).resolve().parents[2] / "data" / "launch.py").read_bytes()
    assert assets.text("init.pl").startswith("# PID 1")
    with pytest.raises(AiboxError) as caught:
        assets.read("no-such-file")
    assert caught.value.code == "internal-error"


# Id-mapped mounts (the engine tests make real ones)


def test_nothing_is_mounted_without_an_id_map(tmp_path: Path) -> None:
    idmapped.ensure(plan_of("podman-4.3.1-rootless"), str(tmp_path / "gate" / "x"))
    assert list(tmp_path.iterdir()) == []
    assert idmapped.is_mounted("/proc")
    assert not idmapped.is_mounted(str(tmp_path))


def test_removing_what_is_not_there_or_not_ours(tmp_path: Path) -> None:
    target = tmp_path / "gate" / "workspace"
    idmapped.remove(str(target))
    target.mkdir(parents=True)
    idmapped.remove(str(target))
    assert list(tmp_path.iterdir()) == [], "with the folder that guarded it"
    target.mkdir(parents=True)
    (target / "file").touch()
    with pytest.raises(AiboxError) as caught:
        idmapped.remove(str(target))
    assert caught.value.code == "state-unwritable"
    assert (target / "file").exists(), "never a file of the workspace"
