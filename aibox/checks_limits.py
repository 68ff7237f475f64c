"""R6: the resource limits that the engine hands to the runtime, as they stand in the OCI configuration.

Sources: the OCI runtime specification's config-linux.md (control groups); kernel Documentation/scheduler/sched-bwc.rst.
"""

from aibox.jsonview import Json, dig, number, text
from aibox.model import Finding, Limits
from aibox.observe import Seen, equal, holds

ID = "R6"
TITLE = "resource limits"
HOW = "OCI config.json"
PERIOD = 100_000


def findings(limits: Limits, oci: Json, *, swap: bool) -> list[Finding]:
    """Compare what the runtime is given with the limits; `swap`: this kernel counts it, so that it can be limited."""
    return [Finding(ID, TITLE, one.expected, one.observed, HOW, one.ok) for one in judge(limits, oci, swap=swap)]


def judge(limits: Limits, oci: Json, *, swap: bool) -> list[Seen]:
    """What was seen of each limit that is asked for."""
    given = dig(oci, "linux", "resources")
    seen: list[Seen] = []
    if limits.memory:
        seen.append(equal("memory", limits.memory, dig(given, "memory", "limit")))
        # an engine leaves it out where the kernel could not follow
        if swap or dig(given, "memory", "swap") is not None:
            seen.append(equal("memory and swap", limits.memory, dig(given, "memory", "swap")))
    if limits.cpus:
        quota, period = number(given, "cpu", "quota"), number(given, "cpu", "period")
        # engines round: Podman is told six digits and cuts off the rest
        near = period == PERIOD and abs(quota - limits.cpus * PERIOD) <= max(1.0, limits.cpus)
        seen.append(
            holds(f"cpu {round(limits.cpus * PERIOD)} of {PERIOD}", f"cpu {quota} of {period}", ok=quota > 0 and near)
        )
    if limits.pids:
        seen.append(equal("pids", limits.pids, dig(given, "pids", "limit")))
    if seen:
        place = text(oci, "linux", "cgroupsPath")
        seen.append(holds("a cgroup of the box's own", place or "no cgroup", ok=place.strip("/") != ""))
    return seen
