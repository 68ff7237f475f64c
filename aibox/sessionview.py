"""What a session of a running box shows: attempts that have to fail, all in one session. Pure, but for the program.

The box says this about itself, so it only counts where the host cannot look: inside gVisor's own kernel.
"""

from aibox import seccomp
from aibox.checks_host import IDLE_TUNNELS
from aibox.model import BOX_HOME, BOX_UID, BOX_WORKSPACE, Finding
from aibox.observe import Seen, equal

EPERM = 1
HOW = "a session in the box"
CAPABILITY_LINES = ("CapInh", "CapPrm", "CapEff", "CapBnd")
# the calls that SPEC names: each has to give EPERM, whatever its arguments
FORBIDDEN = ("ptrace", "mount", "umount2", "pivot_root", "chroot", "bpf", "userfaultfd", "unshare", "setns",
             "init_module", "finit_module", "kexec_load", "keyctl", "add_key")  # fmt: skip
CLOSED = ("/", "/etc", "/usr", "/run", "/dev", "/var")
OPEN = (BOX_WORKSPACE, BOX_HOME, "/opt/toolpacks", "/tmp", "/var/tmp", "/dev/shm")


def words(program: str, machine: str) -> list[str]:
    """The command of the probing session; `program` is its Perl text, `machine` the host's architecture."""
    numbers = {call.name: call.numbers.get(machine) for call in seccomp.syscalls()}
    calls = ",".join(f"{name}={numbers[name]}" for name in FORBIDDEN if numbers.get(name) is not None)
    return ["/usr/bin/perl", "-e", program, calls, ",".join((*CLOSED, *OPEN))]


def parse(output: str) -> dict[str, dict[str, str]]:
    """The lines of the probe by kind and name."""
    found: dict[str, dict[str, str]] = {}
    for line in output.splitlines():
        kind, _, rest = line.partition("\t")
        name, _, value = rest.partition("\t")
        found.setdefault(kind, {})[name] = value
    return found


def findings(output: str) -> list[Finding]:
    """Judge what the probe printed."""
    told = parse(output)
    status, calls, written = told.get("status", {}), told.get("call", {}), told.get("write", {})
    seen: list[tuple[str, str, Seen]] = [
        ("S5", "seccomp in sessions", equal("Seccomp", "2", status.get("Seccomp", ""))),
        *(
            ("S5", "forbidden calls", equal(f"{name} gives", f"errno {EPERM}", f"errno {calls.get(name, '?')}"))
            for name in FORBIDDEN
            if name in calls
        ),
        *(
            ("S1", "no capability in sessions", equal(name, "0" * 16, status.get(name, "")))
            for name in CAPABILITY_LINES
        ),
        ("S4", "user in sessions", equal("uid", [str(BOX_UID)] * 4, status.get("Uid", "").split())),
        ("S4", "group in sessions", equal("gid", [str(BOX_UID)] * 4, status.get("Gid", "").split())),
        ("S3", "read-only root", equal("writable:", [], [path for path in CLOSED if written.get(path, "0") == "0"])),
        ("S9", "the places to write", equal("not writable:", [], [path for path in OPEN if written.get(path) != "0"])),
        ("S9", "/tmp runs nothing", equal("a program in /tmp", "1", told.get("run", {}).get("/tmp", ""))),
        ("S7", "network in the box", equal("interfaces", ["lo"], _interfaces(told))),
    ]
    seen.append(("S5", "forbidden calls", equal("not tried:", [], [name for name in FORBIDDEN if name not in calls])))
    return [Finding(control, title, one.expected, one.observed, HOW, one.ok) for control, title, one in seen]


def _interfaces(told: dict[str, dict[str, str]]) -> list[str]:
    names = [name for line in told.get("interfaces", {}) for name in line.split(",")]
    return [name for name in names if name and name not in IDLE_TUNNELS]
