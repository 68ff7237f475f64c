"""Resource limits of a rootless box under gVisor, held by the user's own systemd.

runsc cannot use cgroups there, but the engine puts its monitor, and with it the Sentry, the Gofer and every process of
theirs, into a scope of its own. systemd sets the limits on that scope before the box's first process runs, and they are
read back from the kernel. Sources: systemd.resource-control(5), systemctl(1), kernel Documentation/admin-guide/
cgroup-v2.rst.
"""

import os
from collections.abc import Mapping

from aibox import runner
from aibox.checks_limits import ID, TITLE
from aibox.errors import AiboxError
from aibox.hostview import HostView
from aibox.model import Finding, Limits
from aibox.observe import Seen, equal, holds
from aibox.state import read_bytes

CGROUPS = "/sys/fs/cgroup"
CONTROLLERS = ("cpu", "memory", "pids")
SYSTEMCTL_SECONDS = 20.0
PAGE = 4096
HOW = "cgroup on the host"


def available(uid: int, runtime_folder: str) -> bool:
    """Whether this user's systemd runs here and may hold all three limits (cgroup v2, controllers handed over)."""
    own = f"{CGROUPS}/user.slice/user-{uid}.slice/user@{uid}.service/cgroup.controllers"
    handed = (read_bytes(own) or b"").decode("ascii", "replace").split()
    bus = os.path.exists(f"{runtime_folder}/bus") if runtime_folder else False
    return bus and set(CONTROLLERS) <= set(handed) and runner.find_program("systemctl") is not None


def counts_swap() -> bool:
    """Whether this kernel counts the swap of a control group, so that an engine can limit it (cgroup v1 and v2)."""
    if os.path.exists(f"{CGROUPS}/memory/memory.memsw.limit_in_bytes"):
        return True
    try:
        # the root group has no such file
        return any(os.path.exists(f"{entry.path}/memory.swap.max") for entry in os.scandir(CGROUPS))
    except OSError:
        return False


def unit(identifier: str) -> str:
    """The scope of a container's monitor."""
    return f"libpod-conmon-{identifier}.scope"


def properties(limits: Limits) -> list[str]:
    """systemd's words for the limits; memory includes swap, as with the engine's own."""
    words = []
    if limits.memory:
        words += [f"MemoryMax={limits.memory}", "MemorySwapMax=0"]
    if limits.pids:
        words.append(f"TasksMax={limits.pids}")
    if limits.cpus:
        words.append(f"CPUQuota={_percent(limits.cpus)}%")
    return words


def _percent(cpus: float) -> int:
    return max(1, round(cpus * 100))


def command(identifier: str, limits: Limits) -> list[str]:
    """The command that puts the limits on a box's scope; empty if there are none."""
    words = properties(limits)
    systemctl = runner.find_program("systemctl") or "systemctl"
    return [systemctl, "--user", "set-property", "--runtime", unit(identifier), *words] if words else []


def hold(identifier: str, limits: Limits, env: Mapping[str, str]) -> None:
    """Put the limits on the scope of a box that is set up. Raises limits-failed."""
    argv = command(identifier, limits)
    if not argv:
        return
    bus = {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={env.get('XDG_RUNTIME_DIR', '')}/bus"}
    result = runner.run(argv, timeout=SYSTEMCTL_SECONDS, env={**bus, **env}, cwd="/")
    if result.code != 0:
        raise AiboxError(
            "limits-failed",
            "the limits of the box could not be set",
            why=f"systemctl: {result.complaint()}",
            fix="aibox start --memory 0 --cpus 0 --pids 0",
        )


def findings(identifier: str, limits: Limits, view: HostView) -> list[Finding]:
    """What the kernel holds the box's processes to, for limits that systemd keeps."""
    seen: list[Seen] = []
    for process in view.processes:
        lines = (read_bytes(f"/proc/{process.pid}/cgroup") or b"").decode("utf-8", "replace").splitlines()
        place = next((line[3:] for line in lines if line.startswith("0::")), "")
        inside = f"/{unit(identifier)}" in f"{place}/".replace("/init.scope/", "/")
        seen.append(holds(f"{process.role} in the box's own scope", place or "no cgroup", ok=inside))
        seen += judge(
            limits, process.role, {name: _value(place, name) for name in ("memory.max", "pids.max", "cpu.max")}
        )
    return [Finding(ID, TITLE, one.expected, one.observed, HOW, one.ok) for one in seen]


def _value(place: str, name: str) -> str:
    return (read_bytes(f"{CGROUPS}{place}/{name}") or b"").decode("ascii", "replace").strip()


def judge(limits: Limits, role: str, values: Mapping[str, str]) -> list[Seen]:
    """Compare the kernel's values with the limits."""
    seen = []
    if limits.memory:
        seen.append(equal(f"{role} memory.max", str(limits.memory // PAGE * PAGE), values["memory.max"]))
    if limits.pids:
        seen.append(equal(f"{role} pids.max", str(limits.pids), values["pids.max"]))
    if limits.cpus:
        wanted = f"{_percent(limits.cpus)}% of a processor"
        seen.append(equal(f"{role} cpu.max", wanted, _share(values["cpu.max"])))
    return seen


def _share(text: str) -> str:
    quota, _, period = text.partition(" ")
    if not quota.isdigit() or not period.isdigit() or period == "0":
        return text or "unset"
    return f"{round(int(quota) * 100 / int(period))}% of a processor"
