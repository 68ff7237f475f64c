"""aibox's own update: what is believed of an offered file, and how it takes the running file's place."""

import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from aibox import __version__, download, programupdate, signing, state
from aibox.config import Policy, load_config
from aibox.context import Context
from aibox.download import Limits
from aibox.errors import AiboxError
from aibox.model import Developer
from aibox.programupdate import Offered, Running
from aibox.runner import clean_environment
from aibox.state import Paths

ENV = clean_environment(os.environ)
MAIN = "import sys\nprint('aibox {}' if sys.argv[1:] == ['--version'] else 'nothing')\n"


def program(path: Path, version: str, main: str = MAIN) -> str:
    """A file that is enough of an aibox to be looked at and started."""
    with path.open("wb") as file:
        file.write(f"#!{sys.executable} -I\n".encode())
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("__main__.py", main.format(version))
            archive.writestr("site-packages/aibox/__init__.py", f'"""aibox."""\n\n__version__ = "{version}"\n')
    path.chmod(0o755)
    return str(path)


class Published:
    """A place with an offered file, its sum and its signature, and the host that asks there."""

    def __init__(self, folder: Path, version: str = "9.1") -> None:
        self.folder = folder
        self.key, self.public = folder / "key.pem", folder / "public.pem"
        self.openssl("genpkey", "-algorithm", "ed25519", "-out", str(self.key))
        self.openssl("pkey", "-in", str(self.key), "-pubout", "-out", str(self.public))
        self.file = folder / "aibox"
        program(self.file, version)
        self.publish()
        (folder / "bin").mkdir()
        self.here = Running(program(folder / "bin" / "aibox", "9.0"), "9.0", "")

    @staticmethod
    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60)

    def publish(self, key: Path | None = None) -> None:
        content = self.file.read_bytes()
        (self.folder / "aibox.sha256").write_text(f"{state.sha256(content)}  aibox\n")
        (self.folder / "aibox.sig").write_bytes(signing.sign(str(key or self.key), content, ENV))

    def context(self, policy: Policy | None = None, **flags: str) -> Context:
        settings = {"program_url": f"file://{self.file}", "signing_key": str(self.public), **flags}
        config = load_config([], environ={}, flags=settings)
        own = Paths(f"{self.folder}/data", f"{self.folder}/run", f"{self.folder}/c", f"{self.folder}/data/seccomp.json")
        return Context({"HOME": str(self.folder)}, Developer(0, 0, "dev1"), own, config, policy or Policy())

    def fetch(self, policy: Policy | None = None, **flags: str) -> Offered:
        target = self.folder / f"fetched-{time.monotonic_ns()}"
        target.mkdir()
        return programupdate.fetch(self.context(policy, **flags), str(target), lambda _text: None)


@pytest.fixture
def place(tmp_path: Path) -> Published:
    return Published(tmp_path)


def refused(act: Callable[[], object]) -> AiboxError:
    with pytest.raises(AiboxError) as caught:
        act()
    return caught.value


def test_a_signed_file_is_offered(place: Published) -> None:
    offered = place.fetch()
    assert (offered.version, offered.sha256) == ("9.1", state.sha256_file(str(place.file)))
    assert offered.signed_by == f"the key in {place.public}"


def test_each_flipped_byte_is_refused(place: Published) -> None:
    content = place.file.read_bytes()
    for at in range(0, len(content), max(1, len(content) // 25)):
        place.file.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert refused(place.fetch).code == "program-tampered", at
    # whoever can write there writes the sum, too
    (place.folder / "aibox.sha256").write_text(f"{state.sha256_file(str(place.file))}  aibox\n")
    assert refused(place.fetch).code == "program-untrusted"


def test_signed_by_another_key_not_at_all_or_with_no_key_here(place: Published) -> None:
    other = Published.__new__(Published)
    other.key = place.folder / "other.pem"
    place.openssl("genpkey", "-algorithm", "ed25519", "-out", str(other.key))
    place.publish(other.key)
    told = refused(place.fetch)
    assert (told.code, told.exit_code) == ("program-untrusted", 3)
    assert told.what == f"the signature of file://{place.file} is not by the key in {place.public}"
    (place.folder / "aibox.sig").unlink()
    assert refused(place.fetch).what == f"file://{place.file} has no signature"
    place.publish()
    place.fetch()
    assert refused(lambda: place.fetch(signing_key="")).what == "no key is configured to check aibox's own update with"


def test_the_policys_key_counts_before_the_callers(place: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    other, public = place.folder / "other.pem", place.folder / "other-public.pem"
    place.openssl("genpkey", "-algorithm", "ed25519", "-out", str(other))
    place.openssl("pkey", "-in", str(other), "-pubout", "-out", str(public))
    monkeypatch.setattr("aibox.configfiles.read_trusted", lambda path, **_: Path(path).read_bytes())
    policy = Policy(signing_key=str(public))
    assert refused(lambda: place.fetch(policy)).code == "program-untrusted"
    place.publish(other)
    assert place.fetch(policy).version == "9.1"


def test_no_place(place: Published) -> None:
    assert refused(lambda: place.fetch(program_url="")).code == "usage"
    told = refused(lambda: place.fetch(program_url=f"file://{place.folder}/none"))
    assert (told.code, told.what) == ("program-failed", f"file://{place.folder}/none is not there")
    for url in ("http://127.0.0.1/aibox", "ftp://127.0.0.1/aibox", "/etc/aibox/aibox"):
        with pytest.raises(AiboxError) as caught:
            place.context(program_url=url)
        assert caught.value.code == "config-invalid"


def test_what_is_signed_and_no_aibox(place: Published) -> None:
    place.file.write_bytes(b"#!/bin/sh\n")
    place.publish()
    assert refused(place.fetch).what == f"file://{place.file} is no aibox"


def test_limits_of_size_and_time(place: Published, tmp_path: Path) -> None:
    def get(deadline: float, largest: int) -> AiboxError:
        limits = Limits(deadline, largest)
        url, target = f"file://{place.file}", f"{tmp_path}/out"
        return refused(lambda: download.fetch(url, target, limits, lambda _text: None, code="program-failed", fix=""))

    assert get(time.monotonic() + 60, 10).what == f"file://{place.file} took longer than its time or is too large"
    assert "took longer" in get(time.monotonic() - 1, 1 << 20).what


@pytest.mark.parametrize(
    ("offered", "here", "older"),
    [
        ("0.1.0", "0.1.0", False), ("0.1", "0.1.0", False), ("0.2.0", "0.10.0", True), ("1.0", "0.9.9", False),
        ("1.0rc1", "1.0", True), ("1.0rc1", "1.0rc2", True), ("1.0", "1.0rc9", False), ("0.9", "1.0rc1", True),
    ],
)  # fmt: skip
def test_older_versions(place: Published, offered: str, here: str, *, older: bool) -> None:
    assert programupdate.is_older(offered, here) is older
    one, other = Offered("u", "p", offered, "s", "k"), place.here._replace(version=here)
    if older:
        assert refused(lambda: programupdate.require_newer(one, other, downgrade=False)).code == "program-older"
    else:
        programupdate.require_newer(one, other, downgrade=False)
    programupdate.require_newer(one, other, downgrade=True)


def test_replaced_with_mode_and_back(place: Published) -> None:
    here = Path(place.here.path)
    here.chmod(0o751)
    before = here.read_bytes()
    programupdate.replace(place.fetch(), place.here, ENV)
    assert (here.read_bytes(), here.stat().st_mode & 0o7777) == (place.file.read_bytes(), 0o751)
    assert Path(place.here.previous).read_bytes() == before
    programupdate.roll_back(place.here)
    assert here.read_bytes() == before
    assert Path(place.here.previous).read_bytes() == place.file.read_bytes()
    programupdate.roll_back(place.here)
    assert here.read_bytes() == place.file.read_bytes()
    assert sorted(path.name for path in here.parent.iterdir()) == ["aibox", "aibox.previous"]


@pytest.mark.parametrize("main", ["import sys\nsys.exit('needs Python 4')\n", "print('aibox 8')\n", "print('')\n# {}"])
def test_what_does_not_start_here_is_not_used(place: Published, main: str) -> None:
    program(place.file, "9.1", main)
    place.publish()
    before = Path(place.here.path).read_bytes()
    told = refused(lambda: programupdate.replace(place.fetch(), place.here, ENV))
    assert (told.code, told.what) == ("program-failed", "aibox 9.1 does not start on this host")
    assert Path(place.here.path).read_bytes() == before
    assert os.listdir(f"{place.folder}/bin") == ["aibox"]


def test_a_file_exchanged_after_the_check_is_not_used(place: Published) -> None:
    offered = place.fetch()
    program(Path(offered.path), "9.1", "print('evil {}')")
    before = Path(place.here.path).read_bytes()
    assert "changed while" in refused(lambda: programupdate.replace(offered, place.here, ENV)).what
    assert Path(place.here.path).read_bytes() == before


def test_every_moment_has_a_whole_file(place: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each step that changes a name, the running file is one of the two, and none of them is lost."""
    old, new = Path(place.here.path).read_bytes(), place.file.read_bytes()
    seen: list[set[bytes]] = []

    def watched(name: str) -> None:
        real = getattr(os, name)

        def act(*words: str) -> None:
            real(*words)
            assert Path(place.here.path).read_bytes() in (old, new)
            held = {path.read_bytes() for path in (place.folder / "bin").iterdir()}
            seen.append(held)

        monkeypatch.setattr(os, name, act)

    for name in ("link", "replace"):
        watched(name)
    programupdate.replace(place.fetch(), place.here, ENV)
    assert {old, new} in seen
    seen.clear()
    programupdate.roll_back(place.here)
    assert all(held == {old, new} for held in seen)


class Killed:
    """Stands for a function that changes a name: the call with this number does not come to pass."""

    def __init__(self, at: int) -> None:
        self.left = at

    def instead_of(self, real: Callable[[str, str], None]) -> Callable[[str, str], None]:
        def act(source: str, target: str) -> None:
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt
            real(source, target)

        return act


@pytest.mark.parametrize("step", [1, 2, 3])
def test_going_back_is_ended_after_a_kill(place: Published, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    programupdate.replace(place.fetch(), place.here, ENV)
    both = {path.read_bytes() for path in (place.folder / "bin").iterdir()}
    killed = Killed(step)
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", killed.instead_of(os.link))
        patch.setattr(os, "replace", killed.instead_of(os.replace))
        with pytest.raises(KeyboardInterrupt):
            programupdate.roll_back(place.here)
    programupdate.roll_back(place.here)
    names = (place.here.path, place.here.previous)
    assert {Path(name).read_bytes() for name in names} == both
    assert sorted(os.listdir(f"{place.folder}/bin")) == ["aibox", "aibox.previous"]


def test_a_folder_of_root_is_said_before_anything_is_fetched(place: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    told = refused(lambda: programupdate.require_writable(place.here, "update --program"))
    assert told.fix == f"sudo {place.here.path} update --program"


def test_out_of_a_source_tree_there_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [__file__])
    assert refused(programupdate.running).code == "program-failed"
    assert __version__
