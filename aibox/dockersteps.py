"""Setup's step that only Docker needs: aibox's own runtime in daemon.json, and a daemon that knows it.

Sources: dockerd(8) on daemon.json and on what SIGHUP makes it read again (`runtimes` is among it).
"""

import os
import shlex
import signal
import stat
import time
from typing import TYPE_CHECKING

from aibox import assets, daemonjson, jsonview, runner, state
from aibox.enginecalls import EngineCalls
from aibox.engines.dialect import RUNTIME_KEY
from aibox.errors import AiboxError

if TYPE_CHECKING:
    from aibox.setupsteps import Setup

DAEMON_JSON = "/etc/docker/daemon.json"
BACKUP = f"{DAEMON_JSON}.before-aibox"
PID_FILE = "/var/run/docker.pid"
SYSTEMD_RUNS = "/run/systemd/system"
RELOAD = "systemctl reload docker"
RELOAD_SECONDS = 20.0


def program(setup: "Setup") -> str:
    """The file that daemon.json names: it finds the wrapper of each box."""
    return f"{setup.context.paths.data}/aibox-docker"


def content(setup: "Setup") -> bytes:
    """What that file holds."""
    return assets.text("docker-runtime.sh").replace("@BOXES@", shlex.quote(setup.context.paths.meetings)).encode()


def missing(setup: "Setup") -> str:
    """What is wrong with the registration, or nothing."""
    path = program(setup)
    if state.read_bytes(path) != content(setup):
        return f"{path} is not there, or of another version of aibox"
    if daemonjson.path_of(_read()) != path:
        return f"{DAEMON_JSON} does not name it as the runtime {RUNTIME_KEY!r}"
    known = known_path(setup.calls())
    return "" if known == path else f"the running daemon does not know the runtime {RUNTIME_KEY!r}; {RELOAD} tells it"


def commands(setup: "Setup") -> list[str]:
    """What `register` does."""
    path = program(setup)
    lines = [f"write {path}"]
    if daemonjson.path_of(_read()) != path:
        kept = f" (the file as it is now is kept as {BACKUP})" if os.path.exists(DAEMON_JSON) else ""
        lines.append(f"add the runtime {RUNTIME_KEY!r}, and nothing else, to {DAEMON_JSON}{kept}")
    return [*lines, f"{RELOAD} (or SIGHUP, where there is no systemd); containers go on running"]


def register(setup: "Setup") -> None:
    """Write aibox's runtime into daemon.json and have the daemon read it.

    Raises engine-failed or setup-failed before anything is written if there is no daemon that could read it.
    """
    path = program(setup)
    known_path(setup.calls())
    pid = _daemon()
    state.write_atomically(path, content(setup), 0o755)
    before = _read()
    if daemonjson.path_of(before) != path:
        mode = stat.S_IMODE(os.stat(DAEMON_JSON).st_mode) if before is not None else 0o644
        after = daemonjson.merged(before, path)
        if before is not None:
            state.write_atomically(BACKUP, before, mode)
        state.write_atomically(DAEMON_JSON, after, mode)
    _reload(setup, pid)
    deadline = time.monotonic() + RELOAD_SECONDS
    while known_path(setup.calls()) != path:
        if time.monotonic() > deadline:
            raise AiboxError(
                "setup-failed",
                f"the daemon did not take in the runtime {RUNTIME_KEY!r} from {DAEMON_JSON}",
                why="another file or a flag of dockerd may say otherwise",
                fix="systemctl restart docker (this stops containers), then: aibox setup --engine docker",
            )
        time.sleep(0.2)


def known_path(calls: EngineCalls) -> str:
    """Where the running daemon finds aibox's runtime; empty if it knows none. Raises engine-failed."""
    told = calls.change([*calls.engine.argv, "info", "--format", "{{json .Runtimes}}"], fix="systemctl start docker")
    try:
        return jsonview.text(jsonview.parse(told.text()), RUNTIME_KEY, "path")
    except ValueError as error:
        raise AiboxError("engine-garbage", "docker info did not print JSON", why=str(error)) from error


def _read() -> bytes | None:
    try:
        with open(DAEMON_JSON, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AiboxError("setup-failed", f"{DAEMON_JSON} cannot be read", why=error.strerror or "") from error


def _systemctl() -> str:
    """systemd's program, where systemd is what runs the host."""
    return (runner.find_program("systemctl") or "") if os.path.isdir(SYSTEMD_RUNS) else ""


def _daemon() -> int:
    """The daemon's pid where no systemd knows it, otherwise 0. Raises setup-failed."""
    if _systemctl():
        return 0
    pid = (state.read_bytes(PID_FILE) or b"").strip()
    name = (state.read_bytes(f"/proc/{int(pid)}/comm") or b"").strip() if pid.isdigit() else b""
    if name != b"dockerd":
        raise AiboxError(
            "setup-failed",
            "the daemon that has to read its file again was not found",
            why=f"{PID_FILE} names no dockerd",
            fix="send SIGHUP to dockerd, then: aibox setup --engine docker",
        )
    return int(pid)


def _reload(setup: "Setup", pid: int) -> None:
    """Have the daemon read its file again. Raises setup-failed."""
    if pid:
        os.kill(pid, signal.SIGHUP)
    else:
        setup.command([_systemctl(), "reload", "docker"], timeout=RELOAD_SECONDS)
