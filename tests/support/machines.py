"""Test machines: the built zipapp with real Podman and real runsc, on state folders of their own.

Each machine is a private mount namespace in which the engine's and aibox's folders are fresh, so tests never meet
what else is on this host. A rootless machine has a user of its own, made here and removed at the end.
"""

import contextlib
import fcntl
import hashlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("AIBOX_TEST_CACHE", "/var/cache/aibox-tests"))
# a Podman storage with the base image, where loading it would take too long; the guest's disk brings one along
STORE = Path("/var/cache/aibox-store")
WORK = Path("/var/tmp/aibox-tests")
# by this the tests' own limits are longer, where the processor is emulated
PATIENCE = float(os.environ.get("AIBOX_TEST_PATIENCE", "1"))
LOCAL_IMAGE = "localhost/aibox/base:24.04"
TOOLBOX_IMAGE = "localhost/aibox/toolbox:1"
FRESH = ("/var/lib/containers", "/var/lib/docker", "/etc/docker",
         "/var/lib/aibox", "/etc/aibox", "/etc/containers", "/run/containers", "/run/libpod",
         "/run/aibox", "/run/runsc", "/run/user", "/var/tmp/containers")  # fmt: skip
DAEMON_JSON = """{
    "iptables": false,
    "ip6tables": false,
    "bridge": "none",
    "log-level": "warn"
}
"""
POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}\n'
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class Done:
    """What a finished command left."""

    argv: list[str]
    code: int
    out: str
    err: str
    raw: bytes = b""

    def __str__(self) -> str:
        return f"{' '.join(self.argv)}\nexit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


@dataclass
class Machine:
    """One machine: Podman, `rootless` or rootful, or Docker, and the runsc that its aibox is set up with."""

    name: str
    rootless: bool
    runsc: Path
    zipapp: Path
    folder: Path
    holder: subprocess.Popen[bytes] | None = None
    user: str = "root"
    uid: int = 0
    home: str = "/root"
    ready: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    engine: str = "podman"
    daemon: subprocess.Popen[bytes] | None = None

    def enter(self) -> None:
        """Make the namespace and, for a rootless machine, the user."""
        os.chmod(self.folder.parent, 0o755)
        self.folder.mkdir()
        os.chmod(self.folder, 0o755)
        if self.rootless:
            # the name of one run must not meet that of another
            self.user = f"aibt{secrets.token_hex(5)}"
            subprocess.run(["useradd", "--create-home", "--home-dir", str(self.folder / "home"), self.user], check=True)
            self.uid, self.home = pwd.getpwnam(self.user).pw_uid, str(self.folder / "home")
        else:
            self.home = str(self.folder / "home")
            Path(self.home).mkdir()
        # Docker's socket and state lie in /run, and none of the host's may be met there
        places = ["mount -t tmpfs -o mode=0755 none /run"] if self.engine == "docker" else []
        for place in FRESH:
            mine = self.own(place)
            mine.mkdir(parents=True)
            Path(place).mkdir(parents=True, exist_ok=True)
            places.append(f"mkdir -p {place} && mount --bind {mine} {place}")
        for place in ("/run/libpod", "/run/containers", "/run/aibox", "/run/user", "/run/runsc"):
            places.append(f"mkdir -p {place} && mount -t tmpfs -o mode=0755 none {place}")
        places.append(f"install -d -m 0700 -o {self.uid} -g {self.uid} /run/user/{self.uid}")
        script = " && ".join(["mount --make-rprivate /", *places, "echo ready", "exec sleep infinity"])
        self.holder = subprocess.Popen(["unshare", "--mount", "sh", "-c", script], stdout=subprocess.PIPE)
        assert self.holder.stdout is not None
        assert self.holder.stdout.readline() == b"ready\n", "the mount namespace could not be made"
        self.write("/etc/containers/policy.json", POLICY)
        if self.engine == "docker":
            self.environment["AIBOX_ENGINE"] = "docker"
            self.start_daemon()

    def own(self, place: str) -> Path:
        """What lies under a folder of the host's that the machine has for itself."""
        return self.folder / "state" / place.strip("/").replace("/", "-")

    def own_etc(self) -> None:
        """Give the machine a copy of /etc, for a test that mounts over one of its files.

        The kernel drops a mount over a file as soon as someone replaces the file in any namespace
        (mount_namespaces(7)), and each test that makes a user replaces /etc/passwd and /etc/subuid.
        """
        mine = self.own("/etc")
        # a lock file may vanish under it
        copy = f"cp -aT /etc {mine}"
        script = [f"{{ {copy} || {copy} || {copy}; }}", f"mount --bind {mine} /etc"]
        script += [f"mount --bind {self.own(place)} {place}" for place in FRESH if place.startswith("/etc/")]
        done = self.run(["sh", "-c", " && ".join(script)], root=True)
        assert done.code == 0, str(done)

    def start_daemon(self) -> None:
        """Start the machine's own dockerd, which nobody outside its mount namespace reaches."""
        if self.run(["test", "-e", "/etc/docker/daemon.json"]).code != 0:
            self.write("/etc/docker/daemon.json", DAEMON_JSON)
        with open(self.folder / "dockerd.log", "ab") as log:
            self.daemon = subprocess.Popen(self.inside(["dockerd"]), stdout=log, stderr=log, start_new_session=True)
        for _ in range(300):
            if self.run(["docker", "version"]).code == 0:
                return
            assert self.daemon.poll() is None, (self.folder / "dockerd.log").read_text()[-2000:]
            time.sleep(0.1)
        raise AssertionError("dockerd does not answer")

    def stop_daemon(self) -> None:
        """End dockerd, by its own pid, and with it its containers."""
        if self.daemon:
            self.daemon.terminate()
            try:
                self.daemon.wait(30)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()
            self.daemon = None

    def leave(self) -> None:
        """Remove every box, the namespace, the user and all folders."""
        with contextlib.suppress(AssertionError):  # what hangs is ended below
            self.aibox("destroy", "--all", timeout=60)
            if self.engine == "podman":
                self.run(["podman", "rm", "--all", "--force", "--time", "0"], timeout=60)
        self.stop_daemon()
        if self.rootless:
            # its pause process and what else it left
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(["pkill", "--signal", "KILL", "--uid", str(self.uid)], check=False, timeout=10)
        if self.holder:
            self.holder.kill()
            self.holder.wait()
        if self.rootless:
            subprocess.run(["userdel", self.user], check=False)
        subprocess.run(["rm", "-rf", "--one-file-system", str(self.folder.parent)], check=False)

    def inside(
        self, argv: Sequence[str], *, root: bool = False, environment: Mapping[str, str] | None = None
    ) -> list[str]:
        """The command as it runs on the machine."""
        assert self.holder is not None
        variables = {"HOME": self.home, "USER": self.user, "PATH": PATH, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        if self.rootless and not root:
            variables["XDG_RUNTIME_DIR"] = f"/run/user/{self.uid}"
        variables.update(self.environment)
        variables.update(environment or {})
        enter = ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", f"--wdns={self.home}"]
        become = [] if root or not self.rootless else [
            "setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--init-groups", "--inh-caps=-all"]  # fmt: skip
        clean = ["env", "-i", *(f"{name}={value}" for name, value in variables.items())]
        return [*enter, *become, *clean, *argv]

    def run(
        self,
        argv: Sequence[str],
        *,
        root: bool = False,
        timeout: float = 60,
        stdin: bytes | None = None,
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Done:
        """Run a command on the machine, as its user, for `timeout` seconds times the patience; `pass_fds` stay open."""
        command = self.inside(argv, root=root, environment=environment)
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pass_fds=pass_fds,
        )
        try:
            out, err = child.communicate(stdin, timeout=timeout * PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            try:
                out, err = child.communicate(timeout=5)
            except subprocess.TimeoutExpired:
                out, err = b"", b"what it started holds its output open"
            raise AssertionError(f"{' '.join(argv)} hangs\n{out!r}\n{err!r}") from None
        return Done(list(argv), child.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"), out)

    def aibox(
        self,
        *words: str,
        timeout: float = 90,
        stdin: bytes | None = None,
        environment: Mapping[str, str] | None = None,
        root: bool = False,
    ) -> Done:
        """Run the built zipapp."""
        return self.run([str(self.zipapp), *words], timeout=timeout, stdin=stdin, environment=environment, root=root)

    def ok(self, *words: str, timeout: float = 90, stdin: bytes | None = None) -> Done:
        """Run the built zipapp, which has to succeed."""
        done = self.aibox(*words, timeout=timeout, stdin=stdin)
        assert done.code == 0, str(done)
        return done

    def write(self, path: str, content: str, mode: int = 0o644) -> None:
        """Write a file on the machine, as root."""
        script = 'mkdir -p "$(dirname "$1")" && cat > "$1" && chmod "$2" "$1"'
        done = self.run(["sh", "-c", script, "sh", path, f"{mode:o}"], root=True, stdin=content.encode())
        assert done.code == 0, str(done)

    def read(self, path: str) -> str:
        """A file of the machine."""
        return self.run(["cat", path], root=True).out

    @property
    def data(self) -> str:
        """aibox's data folder there."""
        system = "/var/lib/aibox/docker" if self.engine == "docker" else "/var/lib/aibox"
        return f"{self.home}/.local/share/aibox" if self.rootless else system

    def workspace(self, name: str = "project") -> Path:
        """A fresh workspace folder that belongs to the machine's user."""
        place = Path(self.home) / f"{name}-{time.monotonic_ns()}"
        place.mkdir()
        os.chown(place, self.uid, self.uid)
        return place

    def set_up(self) -> None:
        """`aibox setup --yes`, with the base image that an earlier machine built, where there is one."""
        if self.ready:
            return
        with base_image_archive() as archive:
            self.choose_storage()
            if STORE.is_dir():
                self.copy_store()
            elif archive.exists():
                done = self.run([self.engine, "load", "--quiet", "--input", str(archive)], timeout=180)
                assert done.code == 0, str(done)
            done = self.aibox("setup", "--yes", "--runsc", str(self.runsc), timeout=600)
            assert done.code == 0, str(done)
            if not (archive.exists() or STORE.is_dir()) and self.engine == "podman":
                saved = self.run(
                    ["podman", "save", "--quiet", "--output", f"{self.home}/image.tar", LOCAL_IMAGE], timeout=180
                )
                assert saved.code == 0, str(saved)
                shutil.move(f"{self.home}/image.tar", f"{archive}.new")
                os.chmod(f"{archive}.new", 0o644)
                os.replace(f"{archive}.new", archive)
        self.ready = True

    def choose_storage(self) -> None:
        """Choose a rootless storage's driver as setup would: the first image initialises the storage."""
        if self.rootless:
            self.write(f"{self.home}/.config/containers/storage.conf", '[storage]\ndriver = "overlay"\n')
            self.run(["chown", "-R", self.user, f"{self.home}/.config"], root=True)

    def copy_store(self) -> None:
        """Give the engine the prepared storage's images."""
        target, ids = "/var/lib/containers/storage", []
        if self.rootless:
            target = f"{self.home}/.local/share/containers/storage"
            first = next(line for line in Path("/etc/subuid").read_text().splitlines() if line.startswith(self.user))
            ids = [str(self.uid), first.split(":")[1]]
        script = str(ROOT / "tests/support/storecopy.py")
        done = self.run(["python3", script, str(STORE), target, *ids], root=True, timeout=300)
        assert done.code == 0, str(done)
        if self.rootless:
            parents = [f"{self.home}/{folder}" for folder in (".local", ".local/share", ".local/share/containers")]
            self.run(["chown", self.user, *parents], root=True)

    def import_image(self, root: Path, name: str = TOOLBOX_IMAGE) -> str:
        """Make a folder an image of the machine's engine; its name."""
        changes = ("USER 1000:1000", "WORKDIR /workspace", "ENV LANG=C.UTF-8")
        flags = [part for change in changes for part in ("--change", change)]
        left_out = [f"--exclude=./{folder}" for folder in ("usr/share/locale", "var/cache/apt", "var/lib/apt", "tmp/*")]
        archive = subprocess.Popen(
            ["tar", "-C", str(root), "--one-file-system", *left_out, "-c", "."], stdout=subprocess.PIPE
        )
        command = self.inside(["podman", "import", "--quiet", *flags, "-", name])
        done = subprocess.run(command, stdin=archive.stdout, capture_output=True, text=True, check=False, timeout=400)
        assert done.returncode == 0, done.stderr
        assert archive.wait() == 0
        return name


@contextlib.contextmanager
def base_image_archive() -> Iterator[Path]:
    """Where the base image of this recipe is kept between runs; one process at a time makes it."""
    recipe = b"".join((ROOT / "data" / name).read_bytes() for name in ("base-packages.txt", "base-setup.sh"))
    recipe += (ROOT / "aibox" / "baseimage.py").read_bytes()
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "image.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield CACHE / f"base-{hashlib.sha256(recipe).hexdigest()[:16]}.tar"
