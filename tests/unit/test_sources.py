"""Where runsc comes from: what each source brings and refuses, its sums and limits, and its words when out of reach."""

import hashlib
import io
import os
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pytest_subprocess import FakeProcess

from aibox import meter, runner, runscsources
from aibox.errors import AiboxError
from aibox.facts import HostFacts
from aibox.runscsources import Where, sources
from aibox.state import Paths

HOST = HostFacts("linux", "6.1.0", "x86_64", "debian", "12", "none", cgroup2=True)
PROGRAM = b"#!/bin/sh\n"
FILES: dict[str, bytes | float] = {}


class Release(BaseHTTPRequestHandler):
    """Serves FILES; a number instead of content waits that long after the headers."""

    def do_GET(self) -> None:
        content = FILES.get(self.path)
        self.send_response(404 if content is None else 500 if content == b"500" else 200)
        self.end_headers()
        if isinstance(content, float):
            time.sleep(content)
        elif content is not None:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Be quiet."""


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server in gVisor's place."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Release)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(runscsources, "RELEASES", base)
    monkeypatch.setattr(runscsources, "CONNECT_SECONDS", 2.0)
    FILES.clear()
    yield base
    server.shutdown()
    server.server_close()


def where(folder: Path, *, host: HostFacts = HOST, configured: str = "", given: str = "") -> Where:
    return Where(host, Paths(f"{folder}/data", "", "", ""), {}, configured, given, root=True)


def refused(act: Callable[[], object], code: str = "runtime-missing") -> AiboxError:
    with pytest.raises(AiboxError) as caught:
        act()
    assert caught.value.code == code
    return caught.value


def publish(name: str, content: bytes, total: str | None = None) -> None:
    FILES[f"/x86_64/{name}"] = content
    FILES[f"/x86_64/{name}.sha512"] = f"{total or hashlib.sha512(content).hexdigest()}  {name}\n".encode()


def archive(**members: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:bz2") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name.replace("__", "/"))
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return made.getvalue()


# The order


def test_order(tmp_path: Path) -> None:
    assert [one.name for one in sources(where(tmp_path))] == ["present", "package", "release", "newer-package"]
    assert [one.name for one in sources(where(tmp_path, configured="/c"))] == ["configured"]
    assert [one.name for one in sources(where(tmp_path, configured="/c", given="/g"))] == ["given"]


def test_a_named_program(tmp_path: Path) -> None:
    (tmp_path / "runsc").write_bytes(PROGRAM)
    (given,) = sources(where(tmp_path, given=f"{tmp_path}/link"))
    (tmp_path / "link").symlink_to("runsc")
    assert refused(given.find).what == f"{tmp_path}/link, named by --runsc, is not a program"
    (tmp_path / "runsc").chmod(0o755)
    assert given.find() == [f"{tmp_path}/runsc"]
    for path in (str(tmp_path), "/nonexistent"):
        refused(sources(where(tmp_path, configured=path))[0].find)


def test_what_is_there_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "find_program", lambda _name: None)
    for number, name in enumerate(("old", "new")):
        folder = tmp_path / "data" / "runsc" / name
        folder.mkdir(parents=True)
        (folder / "runsc").write_bytes(PROGRAM)
        (folder / "runsc").chmod(0o755)
        os.utime(folder, (number, number))
    (tmp_path / "data" / "runsc" / "broken").mkdir()
    found = runscsources.present(where(tmp_path))
    assert [Path(path).parent.name for path in found if path.startswith(str(tmp_path))] == ["new", "old"]


# gVisor's release


def test_the_archive_of_newer_releases(tmp_path: Path, release: str) -> None:
    del release
    publish("gvisor.tar.bz2", archive(**{"release__runsc": PROGRAM, "gvisor-bin__sentry": b"s", "README": b"r"}))
    (path,) = runscsources.release(where(tmp_path))
    assert Path(path).read_bytes() == PROGRAM
    assert (Path(path).parent / "gvisor-bin" / "sentry").read_bytes() == b"s"
    assert sorted(os.listdir(Path(path).parent)) == ["gvisor-bin", "runsc"]
    assert os.access(path, os.X_OK)


def test_the_bare_program_of_earlier_releases(tmp_path: Path, release: str) -> None:
    del release
    publish("runsc", PROGRAM)
    (path,) = runscsources.release(where(tmp_path))
    assert (Path(path).read_bytes(), Path(path).stat().st_mode & 0o777) == (PROGRAM, 0o755)
    assert runscsources.release(where(tmp_path)) == [path], "fetched again, kept once"


@pytest.mark.parametrize("total", ["0" * 128, "", "x", hashlib.sha512(PROGRAM).hexdigest()[:-1]])
def test_a_wrong_sum_is_refused(tmp_path: Path, release: str, total: str) -> None:
    del release
    publish("runsc", PROGRAM, total or " ")
    told = refused(lambda: runscsources.release(where(tmp_path)), "runtime-tampered")
    assert told.what.endswith("/x86_64/runsc does not have its published SHA-512")
    assert not (tmp_path / "data").exists(), "nothing of it is kept"


def test_a_missing_sum_is_no_release(tmp_path: Path, release: str) -> None:
    del release
    FILES["/x86_64/runsc"] = PROGRAM
    assert "holds neither" in refused(lambda: runscsources.release(where(tmp_path))).what


def test_archives_that_try_to_leave_their_folder(tmp_path: Path, release: str) -> None:
    del release
    publish("gvisor.tar.bz2", archive(**{"..__..__evil": b"x", "runsc": PROGRAM, "__tmp__abs__gvisor-bin__..": b"x"}))
    (path,) = runscsources.release(where(tmp_path))
    assert Path(path).read_bytes() == PROGRAM
    assert not (tmp_path.parent / "evil").exists()


@pytest.mark.parametrize("content", [b"no archive", archive(README=b"r"), archive(runsc=PROGRAM)[:40]])
def test_an_archive_that_holds_no_program(tmp_path: Path, release: str, content: bytes) -> None:
    del release
    publish("gvisor.tar.bz2", content)
    assert refused(lambda: runscsources.release(where(tmp_path))).what


def test_links_in_an_archive_are_not_taken(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.bz2", "w:bz2") as tar:
        link = tarfile.TarInfo("runsc")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert "holds no runsc" in refused(lambda: runscsources.unpack_release(f"{tmp_path}/a.tar.bz2", str(tmp_path))).what


def test_a_server_that_hangs_or_fails_is_named(tmp_path: Path, release: str) -> None:
    FILES["/x86_64/gvisor.tar.bz2.sha512"] = 3.0
    began = time.monotonic()
    told = refused(lambda: runscsources.release(where(tmp_path)))
    assert time.monotonic() - began < 3
    assert told.what == f"{release}/x86_64/gvisor.tar.bz2.sha512: timed out"
    FILES["/x86_64/gvisor.tar.bz2.sha512"] = b"500"
    assert refused(lambda: runscsources.release(where(tmp_path))).what.endswith("sha512: HTTP status 500")


def test_a_download_has_a_limit(tmp_path: Path, release: str, monkeypatch: pytest.MonkeyPatch) -> None:
    del release
    publish("runsc", PROGRAM * 100)
    monkeypatch.setattr(runscsources, "LARGEST", 500)
    assert "is too large" in refused(lambda: runscsources.release(where(tmp_path))).what
    monkeypatch.setattr(runscsources, "LARGEST", 1 << 30)
    monkeypatch.setattr(runscsources, "DOWNLOAD_SECONDS", -1.0)
    assert "took longer" in refused(lambda: runscsources.release(where(tmp_path))).what


def test_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runscsources, "RELEASES", "http://127.0.0.1:9")
    assert "Connection refused" in refused(lambda: runscsources.release(where(tmp_path))).what


# Packages


def apt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "find_program", lambda name: f"/usr/bin/{name}")


def test_packages_of_other_distributions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apt(monkeypatch)
    other = where(tmp_path, host=HOST._replace(distribution="fedora", release="41"))
    for act in (runscsources.distribution_package, runscsources.newer_package):
        with pytest.raises(AiboxError) as caught:
            act(other)
        assert caught.value.what == "fedora packages no runsc"
    assert (
        "not needed on debian 13"
        in refused(lambda: runscsources.newer_package(where(tmp_path, host=HOST._replace(release="13")))).what
    )


@pytest.mark.parametrize(
    ("candidate", "told"),
    [("(none)", "has no package runsc"), ("0.0~20221219.0-1", "is older than the systrap platform"),
     ("strange", "is older than the systrap platform")],
)  # fmt: skip
def test_packages_that_do_not_help(
    fp: FakeProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, candidate: str, told: str
) -> None:
    apt(monkeypatch)
    printed = f"runsc:\n  Installed: (none)\n  Candidate: {candidate}\n"
    fp.register(["/usr/bin/apt-cache", "policy", "runsc"], stdout=printed)
    assert told in refused(lambda: runscsources.distribution_package(where(tmp_path))).what


def test_a_package_is_fetched_and_kept(fp: FakeProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apt(monkeypatch)
    fp.register(["/usr/bin/apt-cache", "policy", "runsc"], stdout="  Candidate: 0.0~20240729.0-4\n")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))

    def fetch(_process: object) -> None:
        (next(temporary.iterdir()) / "runsc_1_amd64.deb").touch()

    def extract(_process: object) -> None:
        program = next(temporary.iterdir()) / "unpacked" / "usr" / "bin" / "runsc"
        program.parent.mkdir(parents=True)
        program.write_bytes(PROGRAM)

    fp.register(["/usr/bin/apt-get", "download", "runsc"], callback=fetch)
    fp.register(["/usr/bin/dpkg-deb", "--extract", fp.any()], callback=extract)
    (path,) = runscsources.distribution_package(where(tmp_path))
    assert (Path(path).read_bytes(), os.access(path, os.X_OK)) == (PROGRAM, True)
    assert list(temporary.iterdir()) == []


def test_a_download_that_brings_nothing(fp: FakeProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apt(monkeypatch)
    fp.register(["/usr/bin/apt-cache", "policy", "runsc"], stdout="  Candidate: 20990101\n", occurrences=2)
    fp.register(["/usr/bin/apt-get", "download", "runsc"])
    assert "brought no package" in refused(lambda: runscsources.distribution_package(where(tmp_path))).what
    fp.register(["/usr/bin/apt-get", "download", "runsc"], returncode=100, stderr="E: no network")
    told = refused(lambda: runscsources.distribution_package(where(tmp_path)), "command-failed")
    assert told.what == "apt-get failed: E: no network"


def test_a_download_tells_its_bytes(tmp_path: Path, release: str, monkeypatch: pytest.MonkeyPatch) -> None:
    del release
    monkeypatch.setattr(meter, "FIRST_SECONDS", 0)
    publish("runsc", PROGRAM + bytes(1 << 20))
    said: list[str] = []
    runscsources.release(where(tmp_path)._replace(said=said.append))
    assert any(line.startswith("runsc: 1.0 MiB in ") for line in said), said
