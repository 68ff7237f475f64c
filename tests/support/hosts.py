"""What the suites on real engines share around a machine: what the host must have, the artifact, and each machine."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from machines import CACHE, ROOT, WORK, Machine

NEEDED = {
    "podman": "podman",
    "runc": "runc",
    "newuidmap": "uidmap",
    "mmdebstrap": "mmdebstrap",
    "nsenter": "util-linux",
}
PODMAN_KINDS = [f"{mode}-{runsc}" for mode in ("rootful", "rootless") for runsc in ("2024", "2026")]
DOCKER_KINDS = ["docker-2024", "docker-2026"]
KINDS = PODMAN_KINDS


def require_host() -> None:
    """Fail, not skip, where something is missing."""
    lacking = sorted(package for program, package in NEEDED.items() if not shutil.which(program))
    lacking_runsc = [name for name in ("runsc-2024", "runsc-2026") if not (CACHE / name).exists()]
    if os.geteuid() != 0:
        pytest.exit("the engine tests make users and mount namespaces: run tests/run as root", 1)
    if lacking or lacking_runsc:
        pytest.exit(f"missing: {' '.join([*lacking, *lacking_runsc])}; `tests/run` installs what the tests need", 1)


def build() -> Iterator[Path]:
    """The artifact, built from this tree, where every user can read it; gone when this ends."""
    folder = WORK / f"artifact-{os.getpid()}"
    folder.mkdir(parents=True)
    os.chmod(WORK, 0o755)
    os.chmod(folder, 0o755)
    output = folder / "aibox"
    subprocess.run([sys.executable, str(ROOT / "build_zipapp.py"), "--output", str(output)], check=True)
    yield output
    shutil.rmtree(folder)


def make(name: str, zipapp: Path) -> Iterator[Machine]:
    """A machine of one kind, from its namespace to its end."""
    mode, _, runsc = name.partition("-")
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=WORK)) / "m"
    engine = "docker" if mode == "docker" else "podman"
    assert engine == "podman" or shutil.which("dockerd"), "missing: docker.io; `tests/run` installs what the tests need"
    machine = Machine(name, mode == "rootless", CACHE / f"runsc-{runsc}", zipapp, folder, engine=engine)
    machine.enter()
    try:
        yield machine
    finally:
        machine.leave()


# the same for scripts, whose exceptions have to end the machine as well
built, made = contextmanager(build), contextmanager(make)
