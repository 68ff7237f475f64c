"""Where the reference projects are built: a Debian folder with their tools, kept in the cache, or this host itself.

The folder is aibox's own base image with the tools added, so that it also becomes the image of real boxes.
"""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from aibox import assets, baseimage

HERE = Path(__file__).resolve().parent
PROJECTS = HERE / "projects"
COMPAT = HERE.parent / "compat" / "rows"
CACHE = Path(os.environ.get("AIBOX_TEST_CACHE", "/var/cache/aibox-tests"))
WORK = Path("/var/tmp/aibox-tests")
SUITE = "bookworm"
TOOLS = ("bazel-bootstrap", "cargo-web", "gcc", "git", "golang-go", "gradle", "libc6-dev", "make", "maven", "nodejs",
         "npm", "openjdk-17-jdk-headless", "perl", "python3-dev", "python3-setuptools", "rustc-web",
         "strace")  # fmt: skip
UID = 1000
BUILD_SECONDS = 300.0
# compiling a standard library twice, on a machine that has other work
SEED_SECONDS = 1200.0
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """What fills the cache is done by one process at a time."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "toolbox.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Built(NamedTuple):
    """How a build ended."""

    project: str
    code: int
    output: str


def projects() -> list[str]:
    """The names of the reference projects."""
    return sorted(path.parent.name for path in PROJECTS.glob("*/build.sh"))


def folder_of(project: str) -> Path:
    """A reference project's folder; `compat` is what the compatibility matrix seeds."""
    return COMPAT if project == "compat" else PROJECTS / project


def digest(*parts: bytes) -> str:
    """A short name for content."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


class Place(NamedTuple):
    """A root folder, and where its seeded home folders are kept."""

    root: Path
    homes: Path
    environment: Mapping[str, str]

    @property
    def is_host(self) -> bool:
        """Whether the tools are this host's own."""
        return self.root == Path("/")

    def start(
        self, command: Sequence[str], *, home: Path, work: Path, network: bool = False, program: Path | None = None
    ) -> subprocess.Popen[str]:
        """Start a command here; `program` is a BPF filter to put on it."""
        settings = {
            "root": str(self.root), "home": str(home), "work": str(work), "network": network,
            "filter": str(program or ""), "environment": dict(self.environment), "command": list(command),
        }  # fmt: skip
        alone = ["--mount", "--pid", "--ipc", "--fork", "--kill-child", *([] if network else ["--net"])]
        return subprocess.Popen(
            ["unshare", *alone, sys.executable, "-I", str(HERE / "enter.py"), json.dumps(settings)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            start_new_session=True,
        )  # fmt: skip

    def run(
        self,
        command: Sequence[str],
        *,
        home: Path,
        work: Path,
        network: bool = False,
        program: Path | None = None,
        seconds: float = BUILD_SECONDS,
    ) -> tuple[int, str]:
        """Run a command to its end. What hangs is killed and gets the exit code of timeout(1), 124."""
        child = self.start(command, home=home, work=work, network=network, program=program)
        try:
            output, _ = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            output, _ = child.communicate()
            return 124, f"{output}\nno end after {seconds:.0f} s"
        return child.returncode, output

    def own(self, folder: Path) -> None:
        """Give a folder to the user who works here."""
        if not self.is_host:
            subprocess.run(["chown", "-R", f"{UID}:{UID}", str(folder)], check=True)

    def seeded_home(self, project: str) -> Path:
        """The home folder with what the project fetches from its registries, filled once."""
        home = self.homes / f"{project}-{digest(*(path.read_bytes() for path in sources(project)))}"
        with one_at_a_time():
            if not (home / ".complete").exists():
                self.seed(project, home)
        return home

    def seed(self, project: str, home: Path) -> None:
        """Fetch what a project needs. Raises AssertionError with the tool's words."""
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        seed = folder_of(project) / "seed.sh"
        if seed.exists():
            with self.copied(project, home, keep_home=True) as (_, work):
                code, output = self.run(["sh", "./seed.sh"], home=home, work=work, network=True, seconds=SEED_SECONDS)
            assert code == 0, f"seeding {project}: exit {code}\n{output}"
        self.own(home)
        (home / ".complete").touch()

    @contextmanager
    def copied(self, project: str, home: Path, *, keep_home: bool = False) -> Iterator[tuple[Path, Path]]:
        """Throw-away copies of a home folder and a project; the home itself with `keep_home`."""
        WORK.mkdir(parents=True, exist_ok=True)
        WORK.chmod(0o755)
        folder = Path(tempfile.mkdtemp(prefix="build-", dir=WORK))
        try:
            folder.chmod(0o755)
            shutil.copytree(folder_of(project), folder / "work", symlinks=True)
            if not keep_home:
                subprocess.run(["cp", "--archive", "--reflink=auto", str(home), str(folder / "home")], check=True)
            self.own(folder)
            self.own(home)
            yield (home if keep_home else folder / "home"), folder / "work"
        finally:
            shutil.rmtree(folder)

    def build(self, project: str, *, program: Path | None = None, seconds: float = BUILD_SECONDS) -> Built:
        """Build a project without network, under a filter if one is given."""
        with self.copied(project, self.seeded_home(project)) as (home, work):
            return Built(project, *self.run(["./build.sh"], home=home, work=work, program=program, seconds=seconds))


def sources(project: str) -> list[Path]:
    """What a project's home depends on: not its sources, only what names dependencies."""
    names = ("seed.sh", "pom.xml", "build.gradle", "package.json", "go.mod", "Cargo.toml")
    return [path for name in names if (path := folder_of(project) / name).exists()]


def host() -> Place:
    """This host's own tools, as root: to trace what is newer than the folder's."""
    here = os.environ.get("PATH", PATH)
    kept = {
        name: os.environ[name] for name in ("NODE_EXTRA_CA_CERTS", "RUSTUP_HOME", "CARGO_HOME") if name in os.environ
    }
    rustup = {"RUSTUP_HOME": str(Path.home() / ".rustup")} if (Path.home() / ".rustup").exists() else {}
    return Place(Path("/"), CACHE / "homes-of-host", {"PATH": here, "LANG": "C.UTF-8", **rustup, **kept})


def toolbox(more: Sequence[str] = (), tools: Sequence[str] = TOOLS) -> Place:
    """The Debian folder, made once: some minutes; `more` packages or other `tools` give another folder.

    Raises CalledProcessError if it cannot be made.
    """
    tools = (*tools, *more)
    recipe = assets.read(baseimage.PACKAGES), assets.read(baseimage.SETUP), SUITE.encode(), " ".join(tools).encode()
    folder = CACHE / f"toolbox-{digest(*recipe)}"
    with one_at_a_time():
        if not (folder / "complete").exists():
            make_root(folder, tools)
    environment = {"PATH": PATH, "LANG": "C.UTF-8", "NODE_EXTRA_CA_CERTS": "/etc/ssl/certs/ca-certificates.crt"}
    return Place(folder / "root", folder / "homes", environment)


def make_root(folder: Path, tools: Sequence[str]) -> None:
    """aibox's base image with the tools, as a folder."""
    subprocess.run(["rm", "-rf", "--one-file-system", str(folder)], check=True)
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    script = folder / baseimage.SETUP
    script.write_bytes(assets.read(baseimage.SETUP))
    origin = baseimage.ORIGINS["debian"]._replace(suite=SUITE)
    command = baseimage.bootstrap("mmdebstrap", origin, str(script), str(folder / "root"), root=True)
    command = [f"{word},{','.join(tools)}" if word.startswith("--include=") else word for word in command]
    # Java's packages make links there, although the recipe leaves manual pages out
    hooks = ['--essential-hook=mkdir -p "$1/usr/share/man/man1"', *(f"--customize-hook={s}" for s in authorities())]
    command[-2:-2] = hooks
    subprocess.run(["nice", *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (folder / "complete").touch()


def authorities() -> list[str]:
    """Steps that make the folder trust what this host's administrator added, such as a proxy's certificate."""
    added = sorted(Path("/usr/local/share/ca-certificates").glob("*.crt"))
    if not added:
        return []
    names = " ".join(str(path) for path in added)
    return [f'cp {names} "$1/usr/local/share/ca-certificates/"', 'chroot "$1" update-ca-certificates --fresh']
