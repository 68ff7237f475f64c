"""Further people on a test machine: accounts beside the machine's own user, each with a home and a runtime folder."""

import contextlib
import dataclasses
import os
import pwd
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

from machines import Machine


@contextlib.contextmanager
def developer(machine: Machine, suffix: str = "") -> Iterator[Machine]:
    """Another developer on the same machine, with the same engine program; nobody's setup but their own."""
    name = f"aibu{secrets.token_hex(4)}{suffix}"
    home = machine.folder / f"home-{name}"
    subprocess.run(["useradd", "--create-home", "--home-dir", str(home), name], check=True)
    uid = pwd.getpwnam(name).pw_uid
    folder = f"/run/user/{uid}"
    machine.run(["install", "-d", "-m", "0700", "-o", str(uid), "-g", str(uid), folder], root=True)
    one = dataclasses.replace(machine, rootless=True, user=name, uid=uid, home=str(home), ready=False, daemon=None)
    try:
        yield one
    finally:
        if machine.rootless:
            one.run(["podman", "rm", "--all", "--force", "--time", "0"], timeout=120)
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(["pkill", "--signal", "KILL", "--uid", str(uid)], check=False, timeout=10)
        subprocess.run(["userdel", name], check=False)
        subprocess.run(["rm", "-rf", "--one-file-system", str(home)], check=False)


def own(place: Path, uid: int) -> Path:
    """Give a folder to somebody, and let everybody reach it."""
    os.chown(place, uid, uid)
    os.chmod(place, 0o755)
    for parent in place.parents:
        if str(parent).startswith("/var/tmp/aibox-tests"):
            os.chmod(parent, parent.stat().st_mode | 0o011)
    return place
