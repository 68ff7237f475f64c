"""`aibox update --program` with the built file: from a file and from https on loopback, refused, killed, and back."""

import http.server
import json
import os
import random
import shutil
import signal
import ssl
import subprocess
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from machines import ROOT, WORK

NEWER = "9.9.9"
SHORT, LONG = 6, 40


class Place(NamedTuple):
    """A folder where a newer aibox is published, and a home whose `bin/aibox` is the present one."""

    folder: Path
    published: Path
    present: Path

    @property
    def program(self) -> Path:
        return self.folder / "bin" / "aibox"

    @property
    def argv(self) -> list[str]:
        return [str(self.program), "update", "--program", "--yes"]

    def environment(self, **more: str) -> dict[str, str]:
        key = {"AIBOX_SIGNING_KEY": str(self.folder / "public.pem"), "AIBOX_PROGRAM_URL": f"file://{self.published}"}
        return {"HOME": str(self.folder), "PATH": "/usr/bin:/bin", **key, **more}

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        environment = self.environment(**more)
        return subprocess.run(
            [*self.argv, *words], capture_output=True, text=True, env=environment, timeout=300, check=False
        )

    def version(self) -> str:
        argv = [str(self.program), "--version"]
        done = subprocess.run(argv, capture_output=True, text=True, env=self.environment(), timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.removeprefix("aibox ").strip()

    def reset(self) -> None:
        shutil.rmtree(self.program.parent, ignore_errors=True)
        self.program.parent.mkdir()
        shutil.copy2(self.present, self.program)

    def publish(self, key: str = "private.pem") -> None:
        def openssl(*words: str) -> None:
            subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60)

        private = self.folder / key
        if not private.exists():
            openssl("genpkey", "-algorithm", "ed25519", "-out", str(private))
        public = self.folder / "public.pem"
        if not public.exists():
            openssl("pkey", "-in", str(private), "-pubout", "-out", str(public))
        signature = ["-in", str(self.published), "-out", f"{self.published}.sig"]
        openssl("pkeyutl", "-sign", "-rawin", "-inkey", str(private), *signature)
        summed = subprocess.run(["sha256sum", str(self.published)], check=True, capture_output=True, timeout=60)
        Path(f"{self.published}.sha256").write_bytes(summed.stdout)


def newer(folder: Path) -> Path:
    """The artifact of this tree, built as another version."""
    tree = folder / "tree"
    for part in ("aibox", "data", "windows_shim", "docs"):
        shutil.copytree(ROOT / part, tree / part)
    shutil.copy(ROOT / "build_zipapp.py", tree)
    (ROOT / "build").mkdir(exist_ok=True)
    (tree / "build").symlink_to(ROOT / "build")
    (tree / "aibox" / "__init__.py").write_text(f'"""aibox."""\n\n__version__ = "{NEWER}"\n')
    output = folder / "published" / "aibox"
    done = subprocess.run(
        ["python3", str(tree / "build_zipapp.py"), "--output", str(output)],
        capture_output=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return output


@pytest.fixture(scope="module")
def built(zipapp: Path) -> Iterator[Place]:
    folder = WORK / f"program-{os.getpid()}"  # another user has to reach it
    folder.mkdir()
    yield Place(folder, newer(folder), zipapp)
    shutil.rmtree(folder)


@pytest.fixture
def place(built: Place) -> Place:
    built.reset()
    built.publish()
    return built


def held(place: Place) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in place.program.parent.iterdir()}


def test_there_and_back(place: Place) -> None:
    old, new = place.present.read_bytes(), place.published.read_bytes()
    looked = place.run("--check")
    assert looked.returncode == 0, looked.stderr
    assert f"{NEWER} (" in looked.stdout
    assert held(place) == {"aibox": old}, "--check changes nothing"
    done = place.run()
    assert done.returncode == 0, done.stderr
    assert (place.version(), held(place)) == (NEWER, {"aibox": new, "aibox.previous": old})
    again = json.loads(place.run("--json").stdout)
    assert again["data"]["parts"][0]["state"] == "current"
    back = place.run("--rollback")
    assert back.returncode == 0, back.stderr
    assert (place.version() != NEWER, held(place)) == (True, {"aibox": old, "aibox.previous": new})


def test_it_runs_without_a_place_to_unpack(place: Place) -> None:
    """Then the running program is read out of the very file that is replaced."""
    done = place.run(AIBOX_CACHE="/proc/none")
    assert done.returncode == 0, done.stderr
    assert place.version() == NEWER


@pytest.fixture
def served(place: Place, tmp_path: Path) -> Iterator[str]:
    """The published files over https on loopback, with a certificate of their own; /away/ leads to plain http."""
    pem = tmp_path / "server.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    keys = ["-newkey", "rsa:2048", "-nodes", "-keyout", str(pem), "-out", f"{pem}.crt", "-days", "2"]
    subprocess.run(["openssl", "req", "-x509", *keys, *subject], check=True, capture_output=True, timeout=60)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *words: object) -> None:
            super().__init__(*words, directory=str(place.published.parent))  # type: ignore[arg-type]

        def do_GET(self) -> None:
            if self.path.startswith("/away/"):
                self.send_response(302)
                self.send_header("Location", f"http://127.0.0.1:9/{self.path[6:]}")
                self.end_headers()
                return
            super().do_GET()

        def log_message(self, *_words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{pem}.crt", str(pem))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_from_https(place: Place, served: str, tmp_path: Path) -> None:
    url, trusted = f"{served}/aibox", f"{tmp_path}/server.pem.crt"
    strange = place.run(AIBOX_PROGRAM_URL=url)
    assert (strange.returncode, "CERTIFICATE_VERIFY_FAILED" in strange.stderr) == (1, True)
    away = place.run(AIBOX_PROGRAM_URL=f"{served}/away/aibox", SSL_CERT_FILE=trusted)
    assert (away.returncode, "[program-failed]" in away.stderr) == (1, True), away.stderr
    plain = place.run(AIBOX_PROGRAM_URL="http://127.0.0.1:9/aibox")
    assert (plain.returncode, "[config-invalid]" in plain.stderr) == (2, True)
    assert place.version() != NEWER
    done = place.run(AIBOX_PROGRAM_URL=url, SSL_CERT_FILE=trusted)
    assert done.returncode == 0, done.stderr
    assert place.version() == NEWER


def test_what_is_refused_changes_nothing(place: Place) -> None:
    content = place.published.read_bytes()
    before = held(place)
    try:
        for at in random.Random(7).sample(range(len(content)), 8):
            place.published.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
            done = place.run()
            assert (done.returncode, "[program-tampered]" in done.stderr) == (3, True), (at, done.stderr)
        place.publish("another.pem")
        done = place.run()
        assert (done.returncode, "[program-untrusted]" in done.stderr) == (3, True), done.stderr
    finally:
        place.published.write_bytes(content)
    place.publish()
    unkeyed = place.run(AIBOX_SIGNING_KEY="")
    assert (unkeyed.returncode, "[program-untrusted]" in unkeyed.stderr) == (3, True)
    assert held(place) == before
    assert place.run().returncode == 0, "the control: rightly signed, it is taken"


def test_an_older_one_only_if_asked_for(place: Place) -> None:
    assert place.run().returncode == 0
    newest = place.published.read_bytes()
    try:
        shutil.copy2(place.present, place.published)
        place.publish()
        done = place.run()
        assert (done.returncode, "[program-older]" in done.stderr) == (3, True)
        assert place.version() == NEWER
        assert place.run("--downgrade").returncode == 0
        assert place.version() != NEWER
    finally:
        place.published.write_bytes(newest)


def test_a_folder_that_is_not_the_users(place: Place) -> None:
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", *place.argv],
        capture_output=True, text=True, env=place.environment(HOME="/nonexistent", AIBOX_CACHE="/proc/none",
        XDG_DATA_HOME="/tmp/aibox-nobody", XDG_RUNTIME_DIR=""), timeout=300, check=False,
    )  # fmt: skip
    shutil.rmtree("/tmp/aibox-nobody", ignore_errors=True)
    assert done.returncode == 1, done.stderr
    assert f"fix: sudo {place.program} update --program" in done.stderr


def test_killed_at_any_moment(place: Place, request: pytest.FixtureRequest) -> None:
    """The running file is the old or the new one, whole, it runs, and the next update comes through."""
    old, new = place.present.read_bytes(), place.published.read_bytes()
    began = time.monotonic()
    assert place.run().returncode == 0
    whole = time.monotonic() - began
    chance = random.Random(11)
    seen = set()
    for _ in range(LONG if request.config.getoption("--full") else SHORT):
        place.reset()
        child = subprocess.Popen(
            place.argv,
            env=place.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(chance.uniform(0, whole))
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        content = place.program.read_bytes()
        assert content in (old, new)
        seen.add(content == new)
        assert zipfile.is_zipfile(place.program)
        assert os.access(place.program, os.X_OK)
        assert place.run().returncode == 0
        assert held(place).get("aibox") == new
        assert set(held(place)) <= {"aibox", "aibox.previous"}
    assert seen
