"""Names of volumes: whose they are, and what people may type for them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibox.errors import AiboxError
from aibox.model import Developer
from aibox.plan import safe_name, volume_name
from aibox.volumenames import PURPOSES, SHORT, VolumeName, choose, parse, purpose_of


@given(st.text(alphabet="ab-_.2dé", min_size=1, max_size=8), st.sampled_from(PURPOSES))
def test_a_name_says_its_user_and_purpose(user: str, purpose: str) -> None:
    name = volume_name(Developer(1, 1, user), purpose)
    assert parse(name) == VolumeName(name, safe_name(user), purpose)


@pytest.mark.parametrize(
    "name",
    ["", "aibox-", "aibox-dev", "aibox-dev-", "aibox--home", "aibox-dev-npm", "x-dev-home", "aibox-dev-home-2",
     "aibox-a-b-home"],
)  # fmt: skip
def test_other_names_are_nobodys(name: str) -> None:
    assert parse(name) is None


def named(*names: str) -> list[VolumeName]:
    return [found for name in names if (found := parse(name))]


def test_the_callers_own_comes_first() -> None:
    known = named("aibox-root-home", "aibox-dev-home", "aibox-dev-npm-cache", "aibox-eve-pip-cache")
    assert choose("home", known, "root").name == "aibox-root-home"
    assert choose("npm", known, "root").name == "aibox-dev-npm-cache"
    assert choose("npm-cache", known, "dev").name == "aibox-dev-npm-cache"
    assert choose("aibox-eve-home", known, "dev").name == "aibox-eve-home"
    assert choose("maven", known, "dev") == VolumeName("aibox-dev-maven-cache", "dev", "maven-cache")
    with pytest.raises(AiboxError, match="2 users have a volume 'home' here") as caught:
        choose("home", named("aibox-a-home", "aibox-b-home"), "root")
    assert caught.value.why == "aibox-a-home, aibox-b-home"


@pytest.mark.parametrize(("word", "fix"), [("hom", "did you mean 'home'?"), ("xyz", "one of: home, toolpacks, maven")])
def test_unknown_words(word: str, fix: str) -> None:
    with pytest.raises(AiboxError) as caught:
        purpose_of(word)
    assert caught.value.code == "usage"
    assert caught.value.fix.startswith(fix)


def test_what_people_type() -> None:
    assert SHORT == ("home", "toolpacks", "maven", "gradle", "npm", "bazel", "pip", "go", "cargo")
    assert [purpose_of(word) for word in SHORT] == list(PURPOSES)
    assert [VolumeName("", "", purpose).cache for purpose in PURPOSES] == [False, False, *[True] * 7]
