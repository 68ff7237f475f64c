"""The only module that starts programs.

Every call has a time limit, an environment that was built on purpose, and no shell.
"""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from aibox.errors import AiboxError

if TYPE_CHECKING:
    import subprocess

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin"
_KEPT = (
    "HOME",
    "USER",
    "LOGNAME",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "DBUS_SESSION_BUS_ADDRESS",
    "TERM",
)
_DRAIN_SECONDS = 2.0
BRIEF = 160
FROM_DAEMON = "Error response from daemon: "


class Result(NamedTuple):
    """What a finished program left: its exit code (negative: the signal that ended it) and its bytes."""

    argv: tuple[str, ...]
    code: int
    out: bytes
    err: bytes

    def text(self) -> str:
        """Standard output as text; bytes that are not UTF-8 survive as surrogates."""
        return self.out.decode("utf-8", "surrogateescape")

    def complaint(self) -> str:
        """The last line of standard error that begins with `Error:` (without that), else the last non-empty one.

        Docker's daemon has the cause, and its client's own error after it only the name.
        """
        lines = [line.strip() for line in self.err.decode("utf-8", "replace").splitlines() if line.strip()]
        told = [line for line in lines if line.startswith(FROM_DAEMON)]
        errors = told or [line for line in lines if line.startswith("Error:")] or lines
        if not errors:
            return f"exit code {self.code}, no message"
        return errors[-1].removeprefix(FROM_DAEMON).removeprefix("Error: ")


def clean_environment(environ: Mapping[str, str], extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for child programs: a fixed PATH, C.UTF-8, and nothing that redirects an engine."""
    kept = {name: environ[name] for name in _KEPT if name in environ}
    return {**kept, "PATH": SYSTEM_PATH, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", **(extra or {})}


def find_program(name: str, path: str = SYSTEM_PATH) -> str | None:
    """Absolute path of the executable `name` in `path`, or None. Never searches the caller's PATH."""
    for folder in path.split(":"):
        candidate = f"{folder}/{name}"
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    return None


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    env: Mapping[str, str],
    stdin: bytes | None = None,
    cwd: str | None = None,
    stdin_from: int | None = None,
    stdout_to: int | None = None,
) -> Result:
    """Run a program to its end and return what it left; the exit code is the caller's to judge.

    `timeout` is in seconds; when it is over, the program's whole process group is killed and `command-timeout`
    raised. `stdin_from` and `stdout_to` are file descriptors that are used instead of memory.
    """
    import subprocess

    given = subprocess.DEVNULL if stdin_from is None else stdin_from
    try:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE if stdin is not None else given,
            stdout=subprocess.PIPE if stdout_to is None else stdout_to,
            stderr=subprocess.PIPE,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        missing = cwd if cwd and not os.path.isdir(cwd) else argv[0]
        raise AiboxError("command-missing", f"{missing} is not there", why=str(error)) from error
    except OSError as error:
        raise AiboxError("command-failed", f"{argv[0]} could not be started", why=str(error)) from error
    try:
        out, err = child.communicate(stdin, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        _kill_group(child)
        raise AiboxError(
            "command-timeout",
            f"{os.path.basename(argv[0])} did not end within {timeout:g} seconds and was stopped",
            why=f"the command was: {brief(argv)}",
            fix="aibox doctor",
        ) from error
    except BaseException:
        _kill_group(child)
        raise
    return Result(tuple(argv), child.returncode, out or b"", err or b"")


def checked(result: Result, code: str = "command-failed", *, fix: str = "") -> Result:
    """Return `result` if the program succeeded, else raise `code` with the program's own last words."""
    if result.code == 0:
        return result
    raise AiboxError(
        code,
        f"{os.path.basename(result.argv[0])} failed: {result.complaint()}",
        why=f"exit code {result.code} of: {brief(result.argv)}",
        fix=fix,
    )


def printable(argv: Sequence[str]) -> str:
    """The command as a line that can be pasted into a POSIX shell."""
    import shlex

    return shlex.join(argv)


def brief(argv: Sequence[str]) -> str:
    """The beginning of the command, for messages; `--dry-run` prints all of it."""
    line = printable(argv).partition("\n")[0]
    return line if len(line) <= BRIEF else f"{line[:BRIEF].rpartition(' ')[0]} ..."


def _kill_group(child: "subprocess.Popen[bytes]") -> None:
    import subprocess

    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        child.kill()
    try:
        child.communicate(timeout=_DRAIN_SECONDS)
    except subprocess.TimeoutExpired:
        # a grandchild in another session may keep the pipes open; its output is not worth waiting for
        for pipe in (child.stdout, child.stderr, child.stdin):
            if pipe:
                pipe.close()


_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def attend(argv: Sequence[str], *, env: Mapping[str, str], tty: bool, on_signal: Callable[[int], None]) -> int:
    """Run a child on the caller's own standard streams and return its exit code (128 + signal if one ended it).

    With a terminal (`tty`) the child shares it and reads Ctrl-C as a key. Without one the child gets its own session,
    so that a signal reaches aibox alone, which hands it to `on_signal`; a terminal's input is then copied to the
    child, because a background process may not read it.
    """
    copied = not tty and os.isatty(0)
    early: list[int] = []
    started = False

    def note(number: int, _frame: object) -> None:
        if not started:
            early.append(number)
        elif not tty:
            on_signal(number)

    # before the child: a signal that came in between would end aibox and leave the child alone
    before = {number: signal.getsignal(number) for number in _FORWARDED}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, note)
        child = _attended(argv, env, copied=copied, own_session=not tty)
        started = True
        for signalled in early:
            note(signalled, None)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return as_shell(code)


def as_shell(code: int) -> int:
    """A child's exit code as a shell has it: 128 + signal if one ended it."""
    return 128 - code if code < 0 else code


def _attended(argv: Sequence[str], env: Mapping[str, str], *, copied: bool, own_session: bool) -> int:
    """Its pid, with the caller's input copied to it if so wanted; sessions start often, and subprocess loads slowly."""
    reading, writing = os.pipe() if copied else (-1, -1)
    actions = [(os.POSIX_SPAWN_DUP2, reading, 0)] if copied else []
    # what Python ignores for itself, the child has to hear
    heard = (signal.SIGPIPE, signal.SIGXFSZ)
    try:
        child = os.posix_spawn(
            argv[0], list(argv), dict(env), file_actions=actions, setsid=own_session, setsigdef=heard
        )
    except OSError as error:
        raise AiboxError("command-failed", f"{argv[0]} could not be started", why=error.strerror or "") from error
    finally:
        if copied:
            os.close(reading)
    if copied:
        _copy_input(writing)
    return child


def _copy_input(pipe: int) -> None:
    import threading

    def copy() -> None:
        try:
            while piece := os.read(0, 65536):
                while piece:
                    piece = piece[os.write(pipe, piece) :]
            os.close(pipe)
        except OSError:
            return

    threading.Thread(target=copy, daemon=True).start()
