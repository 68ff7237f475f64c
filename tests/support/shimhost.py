"""The shim on Linux: the real PowerShell engine, and a small stand-in for wsl.exe that records its calls."""

import base64
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHIM = ROOT / "windows_shim"
PWSH = ROOT.parent / "shared" / "pwsh" / "pwsh"
ABSENT = f"the PowerShell engine is missing: the tests of the Windows shim need {PWSH.parent}"
LISTING = "  NAME      STATE           VERSION\r\n* Debian    Stopped         2\r\n"
MODES = ("standard", "legacy")
# records each call, answers --list from a file, and runs the Linux command where a test asks for that
STAND_IN = r"""#!/bin/sh
d=${0%/System32/wsl.exe}
for a do printf '%s\000' "$a"; done >>"$d/calls"
printf '\n' >>"$d/calls"
case $1 in
    --list) cat "$d/listing"; exit "$(cat "$d/listing-code")" ;;
esac
[ -e "$d/run" ] || exit "$(cat "$d/code")"
while [ "$1" != --exec ]; do shift; done
shift
# this machine's own folder of programs has no part in the tests
for a do
    shift
    case $a in *"for a in "*) a=$(printf '%s' "$a" | sed "s#/usr/local/bin/#$d/local-bin/#g") ;; esac
    set -- "$@" "$a"
done
export HOME="$d/home"
exec "$@"
"""


@dataclass
class Done:
    """What a finished PowerShell left."""

    code: int
    out: bytes
    err: str

    def __str__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.out.decode('utf-8', 'replace')}\n--- stderr\n{self.err}"


@dataclass
class Host:
    """A folder that plays %SystemRoot%, with the shim beside it."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def make(self) -> "Host":
        """Lay out the folder."""
        program = self.folder / "System32" / "wsl.exe"
        program.parent.mkdir(parents=True)
        program.write_text(STAND_IN)
        program.chmod(0o755)
        shutil.copytree(SHIM, self.folder / "shim")
        self.listing(LISTING)
        self.exit_code(0)
        return self

    @property
    def script(self) -> Path:
        """The shim's script."""
        return self.folder / "shim" / "aibox.ps1"

    def listing(self, text: str, code: int = 0, encoding: str = "utf-8") -> None:
        """What `wsl.exe --list --verbose` answers."""
        (self.folder / "listing").write_bytes(text.encode(encoding))
        (self.folder / "listing-code").write_text(str(code))

    def exit_code(self, code: int) -> None:
        """What a command in the distribution exits with."""
        (self.folder / "code").write_text(str(code))

    def program(self, text: str, folder: str = "home/.local/bin") -> None:
        """Put a program in aibox's place, and really run it; `local-bin` plays /usr/local/bin."""
        place = self.folder / folder / "aibox"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(0o755)
        (self.folder / "run").touch()

    def calls(self) -> list[list[str]]:
        """The arguments of each call of wsl.exe."""
        path = self.folder / "calls"
        if not path.exists():
            return []
        content = path.read_bytes().decode("utf-8", "surrogateescape")
        return [call.split("\0")[:-1] for call in content.split("\0\n") if call]

    def forwarded(self) -> list[list[str]]:
        """The words of each call that went to aibox."""
        found = []
        for call in self.calls_with_payload():
            fields = base64.b64decode(call).decode("utf-8").split("\0")
            found.append(fields[4 + int(fields[3]) :])
        return found

    def calls_with_payload(self) -> list[str]:
        """The shim's word of each call."""
        path = self.folder / "calls"
        content = path.read_bytes().decode("utf-8", "surrogateescape") if path.exists() else ""
        lines = [line.split("\0") for line in content.split("\0\n") if "--exec" in line]
        return [line[line.index("aibox") + 1] for line in lines if "aibox" in line]

    def forget(self) -> None:
        """Drop the record of calls."""
        (self.folder / "calls").unlink(missing_ok=True)

    def powershell(
        self,
        *words: str,
        stdin: bytes | None = None,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 120,
        before: Sequence[str] = (),
    ) -> Done:
        """Run PowerShell."""
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/root"),
            "LANG": "C.UTF-8",
            "SystemRoot": str(self.folder),
            "LOCALAPPDATA": str(self.folder / "local"),
            "USERPROFILE": "C:\\Users\\me",
            **self.environment,
            **(environment or {}),
        }
        if "AIBOX_TEST_CACHE" in os.environ:  # where the engine is unpacked; the shim would pass it on
            variables["XDG_CACHE_HOME"] = os.environ["AIBOX_TEST_CACHE"]
        child = subprocess.run(
            [*before, str(PWSH), "-NoProfile", *words],
            input=b"" if stdin is None else stdin,
            capture_output=True,
            env=variables,
            cwd=cwd or self.folder,
            timeout=timeout,
            check=False,
        )
        return Done(child.returncode, child.stdout, child.stderr.decode("utf-8", "replace"))

    def script_text(self, text: str, mode: str = "standard", timeout: float = 120) -> Done:
        """Run a script in one of the two ways of passing arguments to programs."""
        first = "$PSNativeCommandArgumentPassing = 'Legacy'\n" if mode == "legacy" else ""
        place = self.folder / "test.ps1"
        place.write_text(f"{first}$shim = '{self.script}'\n{text}", encoding="utf-8")
        return self.powershell("-File", str(place), timeout=timeout)

    def shim(
        self,
        *words: str,
        stdin: bytes | None = None,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Done:
        """Call the shim as aibox.cmd does: `powershell -File aibox.ps1 WORDS`."""
        return self.powershell("-File", str(self.script), *words, stdin=stdin, environment=environment, cwd=cwd)
