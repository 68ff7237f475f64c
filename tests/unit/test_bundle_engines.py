"""What engines make of a bundle's image: the archive, and the id that it gets."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from samples import engine

from aibox import setupimage
from aibox.bundleformat import Manifest
from aibox.config import Policy, load_config
from aibox.context import Context
from aibox.enginecalls import QUERY_SECONDS, EngineCalls
from aibox.engines.images import load, save
from aibox.errors import AiboxError
from aibox.facts import HostFacts
from aibox.model import Developer, Engine
from aibox.runner import Result
from aibox.setupbundle import Bundle
from aibox.setupsteps import Setup
from aibox.state import Paths

DOCKER = Engine("docker", "/usr/bin/docker", (28, 0), rootless=False, options=("--host", "unix:///s"))
HOST = HostFacts("linux", "6.1.0", "x86_64", "debian", "12", "none", cgroup2=True)
PLAIN = '[["Backing Filesystem","extfs"]]'


def test_an_archive_that_both_engines_load() -> None:
    podman = engine(rootless=True)
    assert save(podman, "x:1", "/a") == [
        podman.path, "save", "--quiet", "--format", "docker-archive", "--output", "/a", "x:1"
    ]  # fmt: skip
    assert save(DOCKER, "x:1", "/a") == ["/usr/bin/docker", "--host", "unix:///s", "save", "--output", "/a", "x:1"]
    assert load(DOCKER, "/a") == ["/usr/bin/docker", "--host", "unix:///s", "load", "--quiet", "--input", "/a"]


class Store(EngineCalls):
    """A Docker that has loaded an image under an id of its own, and says where it keeps images."""

    driver = PLAIN

    def run(self, argv: Sequence[str], timeout: float = QUERY_SECONDS) -> Result:
        del timeout
        image = json.dumps([{"Id": f"sha256:{'b' * 64}", "Config": {"Env": []}}])
        answers = {"image": image, "load": "", "info": self.driver}
        return Result(tuple(argv), 0, answers[argv[3]].encode(), b"")


@pytest.mark.parametrize(("driver", "expected"), [
    (PLAIN, "bundle-tampered"), ('[["driver-type","io.containerd.snapshotter.v1"]]', "engine-unsupported"),
])  # fmt: skip
def test_a_store_with_other_ids_is_no_tampering(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str, expected: str
) -> None:
    own = Paths(f"{tmp_path}/data", f"{tmp_path}/run", f"{tmp_path}/config", f"{tmp_path}/seccomp.json")
    gathered = Context({"HOME": str(tmp_path)}, Developer(0, 0, "root"), own, load_config([], environ={}), Policy())
    monkeypatch.setattr(Store, "driver", driver)
    monkeypatch.setattr(Context, "calls", lambda _self: Store(DOCKER, {}))
    manifest = Manifest("0.1.0", "2026-11-28T00:00:00Z", "x86_64", "localhost/x:1", "a" * 64, ())
    setup = Setup(gathered, HOST, "", lambda _text: None, Bundle(manifest, "/staged", ""))
    with pytest.raises(AiboxError) as caught:
        setupimage.get(setup)
    assert caught.value.code == expected
