"""The Windows stage: PowerShell and cmd.exe on Wine, and a stand-in wsl.exe that runs Linux commands here."""

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHIM = ROOT / "windows_shim"
SHARED = ROOT.parent / "shared" / "windows"
STAGE = SHARED / "stage"
NEEDED = {"wine": "wine", "xz": "xz-utils"}
ABSENT = f"the Windows stage is missing: its tests need the folder {SHARED}"
# seconds for one program under Wine: minutes where the machine does other work as well
PATIENCE = 400.0
POLICY_KEY = "HKCU\\SOFTWARE\\Microsoft\\PowerShell\\1\\ShellIds\\Microsoft.PowerShell"
BYPASS = ("-NoProfile", "-ExecutionPolicy", "Bypass")
# runs each Linux command where the test wants it: in a namespace, as its user
LAUNCHER = """#!/usr/bin/env python3
import json, runpy, sys
port, key, distro, directory, user, *command = sys.argv[1:]
enter = json.load(open({config!r}))
sys.argv = [{run!r}, port, key, distro, directory, user, *enter["root" if user == "root" else "user"], *command]
runpy.run_path({run!r}, run_name="__main__")
"""


@dataclass
class Done:
    """What a finished Windows program left."""

    code: int
    out: bytes
    err: bytes

    def text(self) -> str:
        """Standard output as text, with Linux line ends."""
        return self.out.decode("utf-8", "replace").replace("\r\n", "\n")

    def errors(self) -> str:
        """Standard error as text, with Linux line ends."""
        return self.err.decode("utf-8", "replace").replace("\r\n", "\n")

    def __str__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.text()}\n--- stderr\n{self.errors()}"


def windows_path(linux: str) -> str:
    """The name of a path of this machine on the stage."""
    return "\\\\wsl.localhost\\Debian" + linux.replace("/", "\\")


@dataclass
class Windows:
    """One test's Windows: folders of its own on the stage's drive, and a WSL of its own."""

    name: str
    drive: Path
    variables: dict[str, str] = field(default_factory=dict)

    def make(self) -> "Windows":
        """Lay out shim, profile and WSL."""
        self.remove()
        for folder in ("wsl", "work"):
            (self.folder / folder).mkdir(parents=True)
        shutil.copytree(SHIM, self.folder / "shim")
        self.wsl()
        self.enter([], [])
        return self

    def remove(self) -> None:
        """Remove the folders."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def folder(self) -> Path:
        """The test's folder, as Linux sees it."""
        return self.drive / self.name

    @property
    def profile(self) -> Path:
        """The Windows user's profile folder; Wine sets USERPROFILE and LOCALAPPDATA itself, so all tests share it."""
        return next(user for user in (self.drive / "users").iterdir() if user.name not in ("Public", "me"))

    @property
    def installed(self) -> Path:
        """Where the shim is installed, and keeps its choice of a distribution."""
        return self.profile / "AppData" / "Local" / "aibox"

    def installed_path(self, *parts: str) -> str:
        """The same as Windows sees it."""
        return "\\".join(("C:", "users", self.profile.name, "AppData", "Local", "aibox", *parts))

    def path(self, *parts: str) -> str:
        """A path in the test's folder, as Windows sees it."""
        return "\\".join(("C:", self.name, *parts))

    def wsl(self, general: str = "", distributions: str = "[Debian]\nversion=2\nstate=Stopped\n") -> None:
        """What WSL there is: lines for `[wsl]`, and the distributions."""
        present = "" if "present=" in general else "present=1\n"
        default = "" if not distributions or "default=" in general else "default=Debian\n"
        text = f"[wsl]\n{present}{default}{general}run={self.folder}/launcher\n{distributions}"
        (self.folder / "wsl" / "state.ini").write_text(text.replace("\n", "\r\n"), encoding="ascii", newline="")

    def enter(self, user: Sequence[str], root: Sequence[str]) -> None:
        """What stands before each Linux command."""
        config = self.folder / "enter.json"
        config.write_text(json.dumps({"user": list(user), "root": list(root)}))
        launcher = self.folder / "launcher"
        launcher.write_text(LAUNCHER.format(config=str(config), run=str(SHARED / "wsl-run")))

    def calls(self) -> list[str]:
        """The command lines of wsl.exe."""
        record = self.folder / "wsl" / "calls.txt"
        return record.read_text(encoding="utf-8", errors="replace").splitlines() if record.exists() else []

    def run(
        self,
        *words: str,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        timeout: float = PATIENCE,
    ) -> Done:
        """Run a program of the stage."""
        variables = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "AIBOX_TEST_CACHE") if name in os.environ},
            "LANG": "C.UTF-8",
            "WSL_STANDIN": self.path("wsl"),
            # .NET on Wine can fail in a finalizer ("Internal CLR error"); with room enough none runs
            "DOTNET_GCgen0size": "20000000",
            "STAGE_DIRECTORY": str(self.folder / "work"),
            **self.variables,
            **(environment or {}),
        }
        child = subprocess.run(
            ["nice", str(STAGE), *words], input=stdin, capture_output=True, env=variables, timeout=timeout, check=False
        )
        return Done(child.returncode, child.stdout, child.stderr)

    def cmd(
        self, *words: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None, timeout: float = PATIENCE
    ) -> Done:
        """Call aibox.cmd by cmd.exe."""
        program = self.path("shim", "aibox.cmd")
        return self.run("cmd", "/c", program, *words, stdin=stdin, environment=environment, timeout=timeout)

    def file(
        self,
        *words: str,
        edition: str = "pwsh",
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        timeout: float = PATIENCE,
    ) -> Done:
        """Call aibox.ps1 as a program does: `pwsh -File`."""
        script = self.path("shim", "aibox.ps1")
        bypass = ("-NoProfile", "-ExecutionPolicy", "Bypass", "-File", script)
        return self.run(edition, *bypass, *words, stdin=stdin, environment=environment, timeout=timeout)

    def script(self, text: str, edition: str = "pwsh", timeout: float = 300) -> Done:
        """Run a PowerShell script that knows the shim as $shim."""
        place = self.folder / "test.ps1"
        place.write_text(f"\ufeff$shim = '{self.path('shim', 'aibox.ps1')}'\n{text}", encoding="utf-8")
        return self.run(
            edition, "-NoProfile", "-ExecutionPolicy", "Bypass", "-File", self.path("test.ps1"), timeout=timeout
        )


def drive() -> Path:
    """Drive C of the stage; the stage is made if need be."""
    setup = subprocess.run([str(STAGE), "setup"], capture_output=True, text=True, timeout=600, check=False)
    assert setup.returncode == 0, setup.stderr
    found = subprocess.run([str(STAGE), "drive"], capture_output=True, text=True, timeout=60, check=True)
    place = Path(found.stdout.strip())
    for user in (place / "users").iterdir():
        # Wine links these to the real home folder, where the installer's tests have no business
        for name in ("Documents", "Desktop", "Downloads"):
            link = user / name
            if link.is_symlink():
                link.unlink()
                link.mkdir()
    return place


@contextlib.contextmanager
def alone(place: Path) -> Iterator[None]:
    """The registry and the user's folders are shared: one test at a time."""
    with open(place / "alone.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
