"""Which image a variant is, where it comes from, and what is asked of the lock."""

import hashlib
import io
import json
import re
import struct
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pytest
from test_setup import DEV, HOST, FakeEngine

from aibox import assets, baseimage, imagemaking, imagevariants, runner, setupimage, updates
from aibox.config import Policy, load_config
from aibox.context import Context
from aibox.enginecalls import QUERY_SECONDS
from aibox.errors import AiboxError
from aibox.imagemaking import Lock, Making
from aibox.model import Engine
from aibox.runner import Result
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
    # a base image that is here is of whatever day
    java = made(FakeEngine(LOCAL), {"variant": "java"})
    assert not Making(java, FakeEngine(LOCAL), anew=False).needs_base()
    assert Making(java, FakeEngine(LOCAL), anew=False, locked=True).needs_base()


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


def test_recipes() -> None:
    start = baseimage.origin("debian")
    argv = baseimage.bootstrap("/usr/bin/mmdebstrap", start, "/s.sh", "/o.tar", root=False)
    assert argv[1] == "--mode=unshare"
    assert argv[-2:] == ["trixie", "/o.tar"]
    assert baseimage.origin("arch").suite == ""
    assert {"git", "perl-base"} <= set(baseimage.packages())
    assert "perl-base" in baseimage.packages(), "the launcher needs it"
    podman = Engine("podman", "/usr/bin/podman", (4, 3), rootless=True)
    docker = Engine("docker", "/usr/bin/docker", (20, 10), False, ("--host", "unix:///s"))
    assert baseimage.build(podman, start.base, "/f", LOCAL)[:3] == ["/usr/bin/podman", "build", "--pull=never"]
    assert baseimage.build(docker, start.base, "/f", LOCAL)[:5] == [
        "/usr/bin/docker",
        "--host",
        "unix:///s",
        "build",
        "--pull=false",
    ]


class TreeMaker:
    """Stands for mmdebstrap: it fails at a tree with anything in /dev, as the real one does, and leaves such a tree."""

    def __init__(self) -> None:
        self.wanted: list[str] = []

    def run(self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str], cwd: str | None = None) -> Result:
        del timeout, cwd
        assert env["SOURCE_DATE_EPOCH"] == imagemaking.lock().epoch
        below = next((word.split()[1] for word in argv if word.startswith("--setup-hook=tar-in ")), "")
        names = {"dev": b"", "etc": b"", "dev/null": b"", "etc/base": b"1"}
        if below:
            install = next(word for word in argv if " install " in word).split()
            self.wanted.append(install[-1])
            with tarfile.open(below) as tar:
                there = [name.removeprefix("./") for name in tar.getnames()]
                held = [name for name in there if name.startswith("dev/")]
                if held:
                    return Result(tuple(argv), 1, b"", f"I: at work\nE: {held[0]} is there\nE: it failed\n".encode())
                names |= {name: b"1" for name in there if name.startswith("etc/")}
            names[f"etc/{install[-1]}"] = b"1"
        with tarfile.open(argv[-1], "w") as tar:
            for name, content in names.items():
                info = tarfile.TarInfo(f"./{name}")
                info.type, info.size = (tarfile.REGTYPE, len(content)) if "/" in name else (tarfile.DIRTYPE, 0)
                tar.addfile(info, io.BytesIO(content))
        return Result(tuple(argv), 0, b"", b"")


class Loader(FakeEngine):
    """An engine that takes images as they are made."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: dict[str, str] = {}
        self.layers: dict[str, list[str]] = {}

    def run(self, argv: Sequence[str], timeout: float = QUERY_SECONDS) -> Result:
        del timeout
        if argv[1:2] == ["load"]:
            with tarfile.open(argv[-1]) as tar:
                content = tar.extractfile("manifest.json")
                assert content
                (listed,) = json.load(content)
            name = listed["RepoTags"][0]
            self.ids[name], self.layers[name] = listed["Config"].removesuffix(".json"), listed["Layers"]
            return Result(tuple(argv), 0, b"", b"")
        if argv[1:3] == ["image", "inspect"]:
            found = self.ids.get(argv[3], "")
            record = json.dumps([{"Id": found, "Config": {}}]).encode()
            return Result(tuple(argv), 0 if found else 125, record, b"" if found else b"Error: x: image not known")
        return Result(tuple(argv), 125, b"", b"Error: refused")


def test_layers_are_made_one_above_the_other(made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    maker, fake = TreeMaker(), Loader()
    monkeypatch.setattr(runner, "run", maker.run)
    monkeypatch.setattr(runner, "find_program", lambda name: f"/usr/bin/{name}")
    setup = made(fake, {"variant": "full"})
    Making(setup, fake, anew=True).bootstrap()
    assert maker.wanted == [layer.packages[-1] for layer in imagevariants.variant("full").layers]
    full = "localhost/aibox/full:24.04"
    assert (len(fake.layers[LOCAL]), len(fake.layers[full])) == (1, 5)
    assert fake.layers[full][:1] == fake.layers[LOCAL], "the base image is the lowest layer"
    before = dict(fake.ids)
    Making(setup, fake, anew=True).bootstrap()
    assert fake.ids == before, "the same files give the same images"


def test_the_first_error_of_mmdebstrap_is_told(made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = Result(("mmdebstrap",), 25, b"", b"I: x\nE: the disk is full\nE: mmdebstrap failed to run\n")
    monkeypatch.setattr(runner, "run", lambda *_words, **_more: failed)
    monkeypatch.setattr(runner, "find_program", lambda name: f"/usr/bin/{name}")
    setup = made(FakeEngine())
    with pytest.raises(AiboxError) as caught:
        Making(setup, FakeEngine(), anew=True).bootstrap()
    assert (caught.value.code, caught.value.what) == ("setup-failed", "mmdebstrap failed: the disk is full")


def keystore(dates: tuple[int, ...], seal: bytes = b"Mighty Aphrodite") -> bytes:
    """A list of trusted certificates in JKS, as Java writes it."""
    body = bytes.fromhex("feedfeed00000002") + struct.pack(">I", len(dates))
    for number, date in enumerate(dates):
        alias, content = f"ca-{number}".encode(), bytes(range(40 + number))
        body += struct.pack(">IH", 2, len(alias)) + alias + struct.pack(">Q", date)
        body += struct.pack(">H", 5) + b"X.509" + struct.pack(">I", len(content)) + content
    return body + hashlib.sha1("changeit".encode("utf-16-be") + seal + body).digest()


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (keystore((1, 1795824000000)), keystore((0, 0))),
        (keystore((7, 8), seal=b"another"), keystore((7, 8), seal=b"another")),
        (b"PKCS12", b"PKCS12"),
        (b"", b""),
    ],
)
def test_dates_of_certificates_do_not_tell_builds_apart(tmp_path: Path, given: bytes, wanted: bytes) -> None:
    script = assets.text(baseimage.SETUP)
    found = re.search(r"<<'PY'\n(.*?)^PY$", script, re.DOTALL | re.MULTILINE)
    assert found
    (tmp_path / "cacerts").write_bytes(given)
    subprocess.run([sys.executable, "-c", found[1], str(tmp_path / "cacerts")], check=True)
    assert (tmp_path / "cacerts").read_bytes() == wanted
