"""WSL2: what this distribution offers, and what is not as a box needs it. `look` reads the host; the rest is pure.

Source: https://learn.microsoft.com/windows/wsl/wsl-config. Which kind of host it is says facts.py.
"""

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from aibox import fromwindows, state, winpath, wslconfig
from aibox.errors import AiboxError
from aibox.facts import INTEROP

OLDEST_KERNEL = (5, 15)
LEAST_MEMORY = 4 << 30


class Wsl(NamedTuple):
    """What this distribution is. Sizes are in bytes; `profile` is the Windows profile as Linux sees it, or empty.

    `systemd`: it runs; `systemd_wanted`: what wsl.conf says, None where it says nothing; `config`: the content of the
    profile's .wslconfig, empty where there is none.
    """

    distribution: str
    kernel: tuple[int, int]
    release: str
    memory: int
    swap: int
    processors: int
    systemd: bool
    systemd_wanted: bool | None
    interop: bool
    cgroup2: bool
    modules: tuple[str, ...]
    profile: str
    config: bytes = b""


class Finding(NamedTuple):
    """One check for doctor: `severity` is ok, warning or error; `evidence` what was seen; `remedy` what mends it."""

    id: str
    title: str
    severity: str
    evidence: str
    remedy: str


def version(release: str) -> tuple[int, int]:
    """Major and minor of a kernel release; (0, 0) if it has none."""
    match = re.match(r"(\d+)\.(\d+)", release)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def setting(content: bytes, section: str, key: str) -> str:
    """A value of wsl.conf(5), in lower case; empty if it is not there."""
    document = wslconfig.parse(content)
    return wslconfig.get(document, key, section).lower()


def systemd_wanted(content: bytes) -> bool | None:
    """What `[boot] systemd` of wsl.conf says."""
    try:
        value = setting(content, "boot", "systemd")
    except AiboxError:
        return None
    return {"true": True, "1": True, "false": False, "0": False}.get(value)


def with_systemd(content: bytes) -> bytes:
    """wsl.conf with systemd switched on and everything else as it was."""
    document = wslconfig.parse(content)
    if not content:
        document = document._replace(newline="\n")
    return wslconfig.dump(wslconfig.set_values(document, {"systemd": "true"}, "boot"))


def meminfo(content: bytes) -> tuple[int, int]:
    """Memory and swap in bytes, from /proc/meminfo."""
    found = dict(re.findall(rb"^(MemTotal|SwapTotal):\s+(\d+) kB", content, re.MULTILINE))
    return int(found.get(b"MemTotal", 0)) * 1024, int(found.get(b"SwapTotal", 0)) * 1024


def look(environ: Mapping[str, str]) -> Wsl:
    """Look at this distribution."""
    release = os.uname().release
    memory, swap = meminfo(state.read_bytes("/proc/meminfo") or b"")
    modules = (state.read_bytes("/sys/kernel/security/lsm") or b"").decode().strip()
    profile = profile_folder(environ)
    return Wsl(
        distribution=environ.get("WSL_DISTRO_NAME", ""),
        kernel=version(release),
        release=release,
        memory=memory,
        swap=swap,
        processors=os.cpu_count() or 1,
        systemd=os.path.isdir("/run/systemd/system"),
        systemd_wanted=systemd_wanted(state.read_bytes("/etc/wsl.conf") or b""),
        interop=any((state.read_bytes(path) or b"").startswith(b"enabled") for path in INTEROP),
        cgroup2=os.path.exists("/sys/fs/cgroup/cgroup.controllers"),
        modules=tuple(modules.split(",")) if modules else (),
        profile=profile,
        config=(state.read_bytes(f"{profile}/.wslconfig") or b"") if profile else b"",
    )


def profile_folder(environ: Mapping[str, str]) -> str:
    """The Windows profile folder as Linux sees it: what the shim said, else the only one that looks like a user's."""
    here = fromwindows.surroundings()
    named = environ.get(fromwindows.PROFILE, "")
    if named:
        try:
            return winpath.to_linux(named, here)
        except AiboxError:
            return ""
    users = f"{here.drives.get('C', '/nonexistent')}/Users"
    own = [f"{users}/{name}" for name in _names(users) if os.path.isdir(f"{users}/{name}/AppData/Local/Microsoft")]
    return own[0] if len(own) == 1 else ""


def _names(folder: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if name.lower() not in ("public", "default", "all users"))
    except OSError:
        return []


def findings(wsl: Wsl) -> list[Finding]:
    """What is and what is not as a box needs it."""
    shut_down = r"then, in Windows: wsl --shutdown"
    return [
        _finding(
            "wsl-kernel",
            "WSL2 kernel",
            "error" if wsl.kernel < OLDEST_KERNEL else "ok",
            wsl.release,
            "in Windows: wsl --update, " + shut_down,
        ),
        _finding(
            "wsl-memory",
            "memory of WSL2",
            "warning" if wsl.memory < LEAST_MEMORY else "ok",
            f"{wsl.memory / (1 << 30):.1f} GiB, swap {wsl.swap / (1 << 30):.1f} GiB, {wsl.processors} processors",
            "raise memory in .wslconfig (aibox setup offers it), " + shut_down,
        ),
        _config_finding(wsl),
        _finding(
            "wsl-systemd",
            "systemd",
            "ok" if wsl.systemd else "warning",
            "it runs" if wsl.systemd else f"it does not run ({_systemd_evidence(wsl)})",
            "systemd=true under [boot] in /etc/wsl.conf (aibox setup offers it), " + shut_down,
        ),
        _finding(
            "wsl-cgroups",
            "cgroups",
            "ok" if wsl.cgroup2 else "warning",
            "version 2" if wsl.cgroup2 else "version 1 or hybrid: limits of rootless boxes cannot be held",
            "in Windows: wsl --update (WSL 2.5 or newer), " + shut_down,
        ),
        _finding(
            "wsl-confinement",
            "AppArmor",
            "ok" if "apparmor" in wsl.modules else "warning",
            f"the kernel's active security modules: {', '.join(wsl.modules) or 'none'}",
            "kernelCommandLine in .wslconfig can turn it on (aibox setup offers it); until then: reduced mode",
        ),
        _finding(
            "wsl-interop",
            "calling Windows programs",
            "warning" if wsl.interop else "ok",
            "any program of this distribution, though not one in a box, can start Windows programs"
            if wsl.interop
            else "switched off",
            "enabled=false under [interop] in /etc/wsl.conf, if you do not need it",
        ),
    ]


def _config_finding(wsl: Wsl) -> Finding:
    """What `.wslconfig` says, what of it WSL passes over, and whether it has taken effect."""
    remedy = "in Windows: wsl --shutdown"
    try:
        document = wslconfig.parse(wsl.config)
    except AiboxError as error:
        return _finding(
            "wsl-config", ".wslconfig", "warning", f"{error.what}: {error.why}", error.fix + "; then, " + remedy
        )
    values = {key: wslconfig.get(document, key) for key in ("memory", "processors", "swap")}
    told = ", ".join(f"{key}={value}" for key, value in values.items() if value) or "sets no size: WSL's own hold"
    for key, value in values.items():
        good = value.isdecimal() if key == "processors" else wslconfig.size(value) or value == "0"
        if value and not good:
            evidence = f"{key}={value} is none of WSL's sizes, such as 8GB, and is passed over"
            return _finding(
                "wsl-config", ".wslconfig", "warning", evidence, "aibox setup offers a value; then, " + remedy
            )
    memory = wslconfig.size(values["memory"])
    # the kernel keeps some of it for itself
    if memory and not memory * 3 // 4 <= wsl.memory <= memory:
        evidence = f"memory={values['memory']} has not taken effect: {wsl.memory / (1 << 30):.1f} GiB are here"
        return _finding("wsl-config", ".wslconfig", "warning", evidence, remedy)
    return _finding(
        "wsl-config", ".wslconfig", "ok", told if wsl.profile else "the Windows profile is out of sight", ""
    )


def _finding(name: str, title: str, severity: str, evidence: str, remedy: str) -> Finding:
    return Finding(name, title, severity, evidence, "" if severity == "ok" else remedy)


def _systemd_evidence(wsl: Wsl) -> str:
    if wsl.systemd_wanted is None:
        return "/etc/wsl.conf does not say systemd=true"
    return "wsl.conf asks for it; WSL was not restarted" if wsl.systemd_wanted else "wsl.conf says systemd=false"
