"""Podman machine's stand-ins for the shim: strict `podman.exe` and `wsl.exe`, and a machine that runs what it is told.

Each refuses every subcommand and flag that it does not know, as the real ones do. Flags, checks and messages of
`podman.exe` follow Podman's source (cmd/podman/machine, pkg/machine/wsl); `wsl.exe` follows what the shim may use.
"""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from shimhost import Host

NAME = "podman-machine-aibox"
ADMINISTRATOR = "root"
USER = "user"
# what the stand-ins share; the machine's folder plays its root
STATE = r"""#!/usr/bin/python3 -I
import json, os, pathlib, re, subprocess, sys
place = pathlib.Path({place!r})
words = sys.argv[1:]

def noted():
    file = place / "machines.json"
    return json.loads(file.read_text()) if file.exists() else {{}}

def note(machines):
    (place / "machines.json").write_text(json.dumps(machines))

def record(name):
    with open(place / name, "a") as file:
        file.write(json.dumps(words) + "\n")

def fail(text, code=125):
    sys.stderr.write(text + "\n")
    sys.exit(code)
"""
PODMAN = (
    STATE
    + r"""
# subcommand: its flags that take a value, those that take none
KNOWN = {{
    "init": ({{"--cpus", "--disk-size", "--ignition-path", "--image", "--memory", "--playbook", "--timezone", "--usb",
              "--username", "--volume"}}, {{"--now", "--rootful", "--user-mode-networking"}}),
    "start": (set(), {{"--no-info", "--quiet"}}),
    "stop": (set(), set()),
    "inspect": ({{"--format"}}, set()),
    "list": ({{"--format"}}, {{"--noheading", "--quiet", "--all-providers"}}),
}}
record("podman-calls")
if words[:1] != ["machine"]:
    fail(f"Error: unrecognized command `podman {{' '.join(words[:1])}}`")
verb = words[1] if len(words) > 1 else ""
if verb not in KNOWN:
    fail(f"Error: unrecognized command `podman machine {{verb}}`")
valued, bare = KNOWN[verb]
given, names = {{}}, []
rest = iter(words[2:])
for word in rest:
    flag, equals, value = word.partition("=")
    if not word.startswith("-"):
        names.append(word)
    elif flag in bare:
        given[flag] = value or "true"
    elif flag in valued:
        given[flag] = value if equals else next(rest, None)
        if given[flag] is None:
            fail(f"Error: flag needs an argument: {{flag}}")
    else:
        fail(f"Error: unknown flag: {{flag}}")
if len(names) > 1:
    fail(f"Error: accepts at most 1 arg(s), received {{len(names)}}")
name = names[0] if names else "podman-machine-default"
machines = noted()
if (place / "refuses").exists() and verb in (place / "refuses").read_text().split():
    fail("Error: the hypervisor said no")
if verb == "init":
    if name in machines:
        fail(f'Error: machine "{{name}}" already exists')
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", name):
        fail(f'Error: invalid name "{{name}}": names must match [a-zA-Z0-9][a-zA-Z0-9_.-]*: invalid argument')
    for flag in ("--cpus", "--memory", "--disk-size"):
        value = given.get(flag, "1")
        if not value.isdecimal() or int(value) < 1:
            reason = f'strconv.ParseUint: parsing "{{value}}": invalid syntax'
            fail(f'Error: invalid argument "{{value}}" for "{{flag}}" flag: {{reason}}')
    machines[name] = {{"state": "stopped", **{{flag.lstrip("-"): value for flag, value in given.items()}}}}
    note(machines)
    print("Machine init complete\nTo start your machine run:\n\n\tpodman machine start " + name)
elif verb == "list":
    print(json.dumps(machines))
elif name not in machines:
    fail(f"Error: {{name}}: VM does not exist")
elif verb == "start":
    if machines[name]["state"] == "running":
        fail(f"Error: unable to start \"{{name}}\": already running")
    machines[name]["state"] = "running"
    note(machines)
    print(f'Machine "{{name}}" started successfully')
elif verb == "stop":
    machines[name]["state"] = "stopped"
    note(machines)
elif verb == "inspect":
    if given.get("--format") == "{{{{.State}}}}":
        print(machines[name]["state"])
    elif "--format" in given:
        fail("Error: this stand-in knows no such template")
    else:
        print(json.dumps([machines[name]]))
"""
)
# `machine/root` plays the machine's own files: paths of programs and state lead there
WSL = (
    STATE
    + r"""
MAPPED = re.compile(r"(?<![\w.])(/usr/local/bin|/home/user|/etc/wsl\.conf|/run/systemd)")
record("wsl-calls")
names = [name if name.startswith("podman") else "podman-" + name for name in noted()]
if words == ["--list", "--verbose"]:
    if not names:
        sys.stdout.write("Error code: Wsl/WSL_E_DEFAULT_DISTRO_NOT_FOUND\r\n")
        sys.exit(255)
    sys.stdout.write("  NAME  STATE  VERSION\r\n" + "".join(f"  {{name}}  Stopped  2\r\n" for name in names))
    sys.exit(0)
if words == ["--version"]:
    sys.stdout.write("WSL version: 2.6.3.0\r\n")
    sys.exit(0)
if words[:1] == ["--terminate"] and len(words) == 2 and words[1] in names:
    sys.exit(0)
if words[:1] != ["-d"] or words[1] not in names:
    sys.stdout.write("There is no distribution with the supplied name.\r\n")
    sys.stdout.write("Error code: Wsl/Service/WSL_E_DISTRO_NOT_FOUND\r\n")
    sys.exit(255)
rest = words[2:]
user = {user!r}
if rest[:1] == ["-u"]:
    user, rest = rest[1], rest[2:]
if user not in ("root", {user!r}) or rest[:3] != ["--cd", "/", "--exec"]:
    sys.stdout.write("Invalid command line argument: " + rest[0] + "\r\n")
    sys.exit(255)
root = place / "machine"
command = [MAPPED.sub(lambda found: str(root) + found[1], word) for word in rest[3:]]
home = root / ("root" if user == "root" else "home/user")
home.mkdir(parents=True, exist_ok=True)
variables = {{"PATH": f"{{place}}/inside:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"}}
variables |= {{"AS": user, "MACHINE": str(place)}}
sys.exit(subprocess.run(command, env=variables).returncode)
"""
)
# programs inside the machine: `id` and `podman load`; what is not known fails
ID = '#!/bin/sh\n[ "$*" = -un ] || exit 1\necho "$AS"\n'
PODMAN_INSIDE = r"""#!/usr/bin/python3 -I
import hashlib, os, pathlib, sys
words = sys.argv[1:]
place = pathlib.Path(os.environ["MACHINE"]) / "loaded"
if words == ["load", "--quiet"]:
    content = sys.stdin.buffer.read()
    if not content.startswith(b"image "):
        sys.exit("Error: payload does not match any of the supported image formats")
    with open(place, "a") as file:
        file.write(os.environ["AS"] + " " + hashlib.sha256(content).hexdigest() + "\n")
    print("Loaded image: localhost/aibox/base:24.04")
elif words[:2] == ["image", "exists"] and len(words) == 3:
    sys.exit(0 if place.exists() and words[2] == "localhost/aibox/base:24.04" else 1)
else:
    sys.exit(f"Error: unrecognized command `podman {' '.join(words)}`")
"""
# stands for the artifact: keeps what it was told
ARTIFACT = """#!/bin/sh
[ "$1" = --from-windows ] || exit 2
echo "$AS $2" >>"$MACHINE/aibox-calls"
exit "$(cat "$MACHINE/setup-code" 2>/dev/null || echo 0)"
"""


@dataclass
class MachineHost:
    """A Windows with Podman, and nothing else, in the shim's test folder."""

    host: Host

    def make(self) -> "MachineHost":
        """Put the stand-ins in place."""
        place = self.host.folder
        for target, text in (
            ("podman.exe", PODMAN.format(place=str(place))),
            ("System32/wsl.exe", WSL.format(place=str(place), user=USER)),
            ("inside/id", ID),
            ("inside/podman", PODMAN_INSIDE),
            ("shim/aibox", ARTIFACT),
        ):
            file = place / target
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            file.chmod(0o755)
        (self.machine / "usr/local/bin").mkdir(parents=True)
        self.host.environment["PATH"] = f"{place}:/usr/local/bin:/usr/bin:/bin"
        return self

    @property
    def machine(self) -> Path:
        """The machine's files."""
        return self.host.folder / "machine"

    def lines(self, name: str) -> list[str]:
        """A record's lines."""
        path = self.host.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def podman_calls(self) -> list[list[str]]:
        """What podman.exe was told."""
        return [json.loads(line) for line in self.lines("podman-calls")]

    def wsl_calls(self) -> list[list[str]]:
        """What wsl.exe was told."""
        return [json.loads(line) for line in self.lines("wsl-calls")]

    def machines(self) -> dict[str, dict[str, str]]:
        """The machines that there are."""
        found: dict[str, dict[str, str]] = json.loads("".join(self.lines("machines.json")) or "{}")
        return found

    def inside_calls(self) -> list[tuple[str, list[str]]]:
        """Each call of aibox inside: as whom, and its words."""
        found = []
        for line in self.lines("aibox-calls"):
            user, _, payload = line.partition(" ")
            fields = base64.b64decode(payload).decode().split("\0")
            found.append((user, fields[4 + int(fields[3]) :]))
        return found

    def settings(self) -> dict[str, str]:
        """The settings of the last call of aibox inside."""
        fields = base64.b64decode(self.lines("aibox-calls")[-1].partition(" ")[2]).decode().split("\0")
        return dict(field.split("=", 1) for field in fields[4 : 4 + int(fields[3])])
