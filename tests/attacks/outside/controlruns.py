"""How control runs are made: the same program with the defence taken away, so that a refusal in a box means something.

Each is a container made by hand from the box's own command line with a few words changed, or no container at all.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from machines import PATIENCE

SAME, RUNC, OUTSIDE, OUTSIDE_ROOT = "same", "runc", "outside", "outside-root"


class ControlRun(NamedTuple):
    """One way. `runtime` is the box's own, runc, or none; `drop` are words that go, `add` words that come before the
    image, `replace` texts that change in every word; `direct`: the workspace itself instead of its id-mapped mount."""

    id: str
    title: str
    runtime: str
    drop: tuple[tuple[str, ...], ...] = ()
    add: tuple[str, ...] = ()
    replace: tuple[tuple[str, str], ...] = ()
    direct: bool = False


LOOSE_MOUNTS = ((",nodev,nosuid,rw=true", ",dev,suid,rw=true"),)
EXECUTABLE = ((":nodev,noexec,nosuid,", ":nodev,exec,nosuid,"),)
# how long a control run stays: longer than all attempts take
WAITING = str(round(900 * PATIENCE))
NO_FILTER = ("--security-opt", "seccomp=unconfined")
NO_NEW_PRIVILEGES = ("--security-opt", "no-new-privileges")
READ_ONLY = ("--read-only",)
READ_ONLY_TMPFS = ("--read-only-tmpfs=false",)
NO_CAPABILITIES = ("--cap-drop", "ALL")

CONTROL_RUNS: dict[str, ControlRun] = {
    run.id: run
    for run in (
        ControlRun("unfiltered", "the same runtime without the seccomp filter", SAME, add=NO_FILTER),
        ControlRun("unfiltered-runc", "runc without the seccomp filter", RUNC, add=NO_FILTER),
        ControlRun(
            "writable", "runc without the read-only root and the filter", RUNC, drop=(READ_ONLY,), add=NO_FILTER
        ),
        ControlRun(
            "loose-tmpfs",
            "the same runtime, temporary filesystems executable and without size",
            SAME,
            add=NO_FILTER,
            replace=(*EXECUTABLE, (",size=2147483648", ""), (",size=1073741824", ""), (",size=67108864", "")),
        ),
        ControlRun(
            "privileges",
            "runc with privilege gain: capabilities, setuid and device mounts, no no-new-privileges, no filter",
            RUNC,
            drop=(NO_CAPABILITIES, NO_NEW_PRIVILEGES),
            add=("--cap-add", "ALL", *NO_FILTER),
            replace=LOOSE_MOUNTS,
            direct=True,
        ),
        ControlRun(
            "root",
            "runc as root with all capabilities, writable root, nothing masked, no filter",
            RUNC,
            drop=(NO_CAPABILITIES, NO_NEW_PRIVILEGES, READ_ONLY, READ_ONLY_TMPFS),
            add=("--cap-add", "ALL", "--security-opt", "unmask=ALL", *NO_FILTER),
            replace=(("1000:1000", "0:0"), *LOOSE_MOUNTS),
        ),
        ControlRun(
            "shared",
            "runc in the host's network and process namespaces, with the caller's environment",
            RUNC,
            drop=(("--network", "none"), ("--pid", "private")),
            add=("--network", "host", "--pid", "host", "--env-host", *NO_FILTER),
        ),
        ControlRun("outside", "the same program on the host, as the box's user there", OUTSIDE),
        ControlRun("outside-root", "the same program on the host, as root", OUTSIDE_ROOT),
    )
}


def create_words(create: Sequence[str], run: ControlRun, name: str, runtime: str, workspace: str) -> list[str]:
    """The box's own `podman create` with this control run's changes. Fails if a change does not apply."""
    words = list(create)
    if run.direct:
        # a rootful engine's id-mapped mount has nosuid and nodev of its own
        words = [re.sub(r"source=/run/aibox/workspaces/[^,]*", f"source={workspace}", word) for word in words]
    words[words.index("--runtime") + 1] = runtime
    words[words.index("--name") + 1] = name
    for label in [word for at, word in enumerate(words) if words[at - 1] == "--label"]:
        at = words.index(label)
        del words[at - 1 : at + 1]
    for option in run.drop:
        at = next(at for at in range(len(words)) if tuple(words[at : at + len(option)]) == option)
        del words[at : at + len(option)]
    if "seccomp=unconfined" in run.add:
        at = next(at for at, word in enumerate(words) if word.startswith("seccomp="))
        del words[at - 1 : at + 1]
    for old, new in run.replace:
        assert any(old in word for word in words), f"no {old!r} in {words}"
        words = [word.replace(old, new) for word in words]
    at = words.index("--entrypoint")
    # Podman's default for runc may be more than the root of a virtual machine may set
    limits = ("--ulimit", "nproc=1024:1024") if run.runtime == RUNC else ()
    # aibox's own first process would signal everything that it sees, which in the host's process namespace is the host
    waiting = ["--entrypoint", '["/usr/bin/sleep"]', words[at + 2], WAITING]
    return [*words[:at], *run.add, *limits, *waiting]


def with_runtime(create: Sequence[str], name: str, profile: str) -> list[str]:
    """The box's own command line for runc and the profile for the host's kernel, as the fallback's would be."""
    words = [f"seccomp={profile}" if word.startswith("seccomp=") else word for word in create]
    words[words.index("--runtime") + 1] = "runc"
    words[words.index("--name") + 1] = name
    at = words.index("--entrypoint")
    return [*words[:at], "--ulimit", "nproc=1024:1024", *words[at:]]
