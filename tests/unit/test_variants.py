"""Which image a variant is, where it comes from, and what is asked of the lock."""

from pathlib import Path
from typing import Protocol

import pytest
from test_setup import DEV, HOST, FakeEngine

from aibox import baseimage, imagemaking, imagevariants, runner, setupimage, updates
from aibox.config import Policy, load_config
from aibox.context import Context
from aibox.errors import AiboxError
from aibox.imagemaking import Lock, Making
from aibox.setupsteps import Setup
from aibox.state import Paths

LOCAL, LOCAL_JAVA = baseimage.LOCAL_IMAGE, "localhost/aibox/java:24.04"
JAVA = "harbor.internal/aibox/java:24.04"


class Make(Protocol):
    """Makes a setup for a developer without root."""

    def __call__(self, fake: FakeEngine, flags: dict[str, str] | None = None) -> Setup: ...


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A setup for a developer without root, with a fake engine."""
    own = Paths(f"{tmp_path}/data", f"{tmp_path}/run", f"{tmp_path}/c/aibox", f"{tmp_path}/data/seccomp.json")

    def make(fake: FakeEngine, flags: dict[str, str] | None = None) -> Setup:
        context = Context({"HOME": str(tmp_path)}, DEV, own, load_config([], environ={}, flags=flags), Policy())
        monkeypatch.setattr(Context, "calls", lambda _self: fake)
        return Setup(context, HOST, "", lambda _text: None)

    return make


def test_a_variant_is_a_layer_on_the_base_image(made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "find_program", lambda _name: None)
    fake = FakeEngine(reach=("docker.io/library/debian:trixie-slim",))
    setup = made(fake, {"variant": "java"})
    assert setupimage.missing(setup) == f"the image {JAVA} is not on this host"
    setupimage.get(setup)
    assert setup.record["image"] == {"reference": LOCAL_JAVA, "id": "a" * 64}
    assert [word for word in fake.asked if word == "build"] == ["build", "build"]
    assert fake.images == {"docker.io/library/debian:trixie-slim", LOCAL, LOCAL_JAVA}


def test_a_variant_that_is_asked_for_is_not_given_another(made: Make) -> None:
    setup = made(FakeEngine(LOCAL, LOCAL_JAVA))
    setupimage.get(setup)
    asked = made(FakeEngine(LOCAL, LOCAL_JAVA), {"variant": "java"})
    assert setupimage.missing(asked) == f"the image {JAVA} is not on this host"
    setupimage.get(asked)
    assert (asked.record["image"], setupimage.missing(asked)) == ({"reference": LOCAL_JAVA, "id": "a" * 64}, "")
    assert setupimage.missing(made(FakeEngine(LOCAL, LOCAL_JAVA))) == "", "what setup chose stays without the setting"
    assert setupimage.missing(made(FakeEngine(LOCAL, LOCAL_JAVA), {"variant": "base"})) != ""


def test_what_setup_chose_stays_in_an_update(made: Make) -> None:
    chosen = made(FakeEngine(LOCAL, LOCAL_JAVA), {"variant": "java"})
    setupimage.get(chosen)
    later = made(FakeEngine(LOCAL, LOCAL_JAVA))
    assert (later.context.config.variant, later.context.config.image) == ("java", JAVA)
    assert imagemaking.local_name(later) == LOCAL_JAVA
    other = made(FakeEngine(LOCAL, LOCAL_JAVA), {"image": "localhost/other:1"})
    assert other.context.config.image == "localhost/other:1"


def test_another_recipe_of_a_layer_is_another_recipe(made: Make) -> None:
    recipes = {imagemaking.recipe_of(made(FakeEngine(), {"variant": name})) for name in imagevariants.NAMES}
    assert len(recipes) == len(imagevariants.NAMES)
    setup = made(FakeEngine(LOCAL, LOCAL_JAVA), {"variant": "java"})
    setupimage.get(setup)
    setup.note(recipe=imagemaking.recipe_of(setup))
    assert updates.settled(setup)
    setup.note(recipe=baseimage.recipe())
    assert not updates.settled(setup)


def test_names() -> None:
    assert imagevariants.of_variant(LOCAL, "java") == LOCAL_JAVA
    assert [imagevariants.variant_of(name) for name in (LOCAL_JAVA, JAVA, LOCAL, "localhost/other:1", "")] == [
        "java", "java", "base", "", ""
    ]  # fmt: skip
    assert imagevariants.local_names()[0] == LOCAL
    first = [one.layers[0].name for one in imagevariants.VARIANTS if one.layers]
    assert first[-1] == first[0] == "java", "`full` begins with a layer that another variant has, to share it"


def test_the_lock(made: Make) -> None:
    shipped = imagemaking.lock()
    wanted = {name for layer in imagevariants.variant("full").layers for name in layer.packages}
    assert wanted | set(baseimage.packages()) <= set(shipped.versions), "python tests/tools/make_lock.py"
    assert (shipped.suite, shipped.machine) == ("trixie", "amd64")
    assert Lock("# trixie amd64 1\na 1:2\n").pins == "Package: a\nPin: version 1:2\nPin-Priority: 1001\n\n"
    setup = made(FakeEngine(LOCAL))
    setup.host = HOST._replace(distribution="ubuntu", machine="x86_64")
    with pytest.raises(AiboxError) as caught:
        setupimage.build(setup, locked=True)
    assert (caught.value.code, caught.value.what) == (
        "lock-differs", "the list of versions is for trixie on amd64, and here it would be noble on amd64"
    )  # fmt: skip
    assert [way for way, _ in Making(setup, FakeEngine(), anew=False, locked=True).ways()] == ["bootstrap"]


def test_commands_of_a_layer() -> None:
    archive = baseimage.Archive("https://mirror.internal/debian", "/w/aibox-lock")
    argv = baseimage.extend(
        "/usr/bin/mmdebstrap", baseimage.origin("debian"), "/w/s.sh", ("/w/a.tar", "/w/b.tar"), archive,
        wanted=("npm", "nodejs"), root=True,
    )  # fmt: skip
    assert argv[-3:] == ["trixie", "/w/b.tar", "https://mirror.internal/debian"]
    assert {"--variant=custom", "--setup-hook=tar-in /w/a.tar /"} <= set(argv)
    assert "--setup-hook=copy-in /w/aibox-lock /etc/apt/preferences.d" in argv
    assert '--customize-hook=rm "$1/etc/apt/preferences.d/aibox-lock"' in argv
    assert any(word.endswith("install npm nodejs") for word in argv)
    assert "apt-get install --yes --no-install-recommends npm" in baseimage.layers_file([("npm",)])
