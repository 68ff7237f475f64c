"""A wsl.exe for `aibox setup` on Windows, in the shim's test folder: what is installed, what it says, what it fails at."""

import json
from dataclasses import dataclass
from pathlib import Path

from shimhost import Host

# `present`: WSL works; the rest says what an installation leaves behind and says. The text is UTF-16LE, as the real one's.
STATE: dict[str, object] = {
    "present": True,
    "works_at_once": True,
    "wsl_says": "The requested operation is successful.\r\n",
    "wsl_code": 0,
    "distributions": {"Debian": 2},
    "registers": True,
    "default_version": 2,
    "distribution_code": 0,
    "python": "new",
    "python_installs": True,
    "copies": True,
    "starts": True,
}
WSL = r"""#!/usr/bin/python3 -I
import json, os, pathlib, subprocess, sys
place = pathlib.Path({place!r})
words = sys.argv[1:]
state = json.loads((place / "state.json").read_text())
with open(place / "wsl-calls", "a") as file:
    file.write(json.dumps(words) + "\n")

def say(text, code=0):
    (place / "state.json").write_text(json.dumps(state))
    sys.stdout.buffer.write(text.encode("utf-8" if "WSL_UTF8" in os.environ else "utf-16-le"))
    sys.exit(code)

rows = state["distributions"]
if words == ["--install", "--no-distribution"]:
    state["present"] = state["works_at_once"]
    say(state["wsl_says"], state["wsl_code"])
if not state["present"]:
    say("Le Sous-système Windows pour Linux n’est pas installé.\r\n", 50)
if words == ["--list", "--verbose"]:
    if not rows:
        say("Aucune distribution.\r\nCode d’erreur : Wsl/WSL_E_DEFAULT_DISTRO_NOT_FOUND\r\n", 255)
    head = "  NOM     ÉTAT      VERSION\r\n"
    say(head + "".join(f"{{'*' if at == 0 else ' '}} {{name}}  Arrêté  {{rows[name]}}\r\n" for at, name in enumerate(rows)))
if words == ["--version"]:
    say("Version WSL : 2.6.3.0\r\n")
if words[:2] == ["--install", "--distribution"]:
    if state["registers"]:
        rows[words[2]] = state["default_version"]
    say("Installation de " + words[2] + "\r\n", state["distribution_code"])
if words[:1] in (["--terminate"], ["--set-version"]):
    say("L’opération a réussi.\r\n")
if words[:1] != ["-d"] or words[1] not in rows or not state["starts"]:
    say("La distribution ne démarre pas.\r\nCode d’erreur : Wsl/Service/E_FAIL\r\n", 255)
script = " ".join(words[words.index("--exec") + 1 :])
if "sys.version_info" in script:
    sys.exit(0 if state["python"] == "new" else 1 if state["python"] == "old" else 127)
if "apt-get" in script and "--from-windows" not in script:
    sys.stdout.write("Setting up python3\n")
    if state["python_installs"]:
        state["python"] = "new"
    say("", 0)
if "cat >" in script:
    if not state["copies"]:
        sys.stdin.buffer.read()
        sys.stdout.write("cat: write error: No space left on device\n")
        sys.exit(1)
    sys.exit(subprocess.run(["sha256sum"]).returncode)
if script == "/bin/sh -c id -un":
    print("user")
if "systemd" in script and "--from-windows" not in script:
    sys.exit(10)
if "--from-windows" in script:
    print("prepared: text" if "-u" in words else '{{"ok": true}}')
"""


@dataclass
class SetupHost:
    """A Windows on which `aibox setup` finds what a test says."""

    host: Host

    def make(self, **more: object) -> "SetupHost":
        """Put the stand-in and its state in place."""
        (self.host.folder / "System32/wsl.exe").write_text(WSL.format(place=str(self.host.folder)))
        (self.host.folder / "state.json").write_text(json.dumps({**STATE, **more}))
        (self.host.folder / "shim/aibox").write_bytes(b"the artifact")
        return self

    @property
    def settings(self) -> Path:
        """The shim's own settings."""
        return self.host.folder / "local/aibox/shim.conf"

    def calls(self) -> list[list[str]]:
        """Every call of wsl.exe."""
        record = self.host.folder / "wsl-calls"
        return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []

    def asked(self) -> list[str]:
        """What wsl.exe was asked to change."""
        changes = ("--install", "--set-version", "--terminate")
        return [" ".join(call) for call in self.calls() if call[0] in changes]

    def written(self) -> list[list[str]]:
        """The calls that write a file into the distribution."""
        return [call for call in self.calls() if "cat >" in call[-1]]
