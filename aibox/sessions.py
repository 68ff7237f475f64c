"""Sessions in a running box: exit codes, terminal, signals and output are the child's."""

import os
import signal
from collections.abc import Callable, Sequence

from aibox import hostview, notes, runner, ui
from aibox.boxes import Located, recorded_plan
from aibox.cli import Arguments
from aibox.context import Context
from aibox.enginecalls import EngineCalls
from aibox.engines.adapter import SessionOptions
from aibox.errors import AiboxError
from aibox.jsonview import Json
from aibox.ui import Outcome, Style

MARK = "AIBOX_SESSION"
SIGNAL_SECONDS = 20.0
CAPTURE_SECONDS = 24 * 3600.0
# sends a signal to every process of one session: they are the ones that inherited its mark
_SIGNALLER = (
    "my ($mark, $signal) = @ARGV; for (glob '/proc/[0-9]*/environ') { open my $f, '<', $_ or next; local $/;"
    ' my $e = <$f>; next unless defined $e && index("\\0$e", "\\0$mark\\0") >= 0;'
    " my ($p) = m{/proc/(\\d+)/}; kill $signal, $p if $p != $$ }"
)


def new_mark() -> str:
    """What tells one session's processes from all others."""
    return os.urandom(8).hex()


def require_running(context: Context, calls: EngineCalls, located: Located) -> None:
    """Raise box-not-running or box-missing if no process of the box is there, control-failed if it is not the box."""
    if notes.noted_running(context.paths, located.name):
        return
    box = calls.inspect(located.name)
    if box and box.running:
        from aibox import controls, execute

        # it was started by hand: it may be another container under the box's name, or lack what the host checks
        plan = recorded_plan(context.paths, located.name, box.plan)
        if plan is None:
            raise AiboxError(
                "control-failed",
                f"{located.name} is not entered: it is not a box that aibox made",
                why="a container of this name runs without aibox's record of it",
                fix=f"{calls.engine.kind} rm --force {located.name}; {_starting(located)}",
            )
        execute.require(
            controls.host_findings(plan, hostview.look(box.pid, box.identifier), running=True),
            located.name,
            "entered",
        )
        notes.note_running(context.paths, located.name, box)
        return
    raise AiboxError(
        "box-not-running" if box else "box-missing",
        f"the box of {located.workspace} is {box.status if box else 'gone'}",
        why="it was stopped, or ended with the host" if box else "it was removed outside aibox",
        fix=_starting(located),
    )


def _starting(located: Located) -> str:
    return runner.printable(["aibox", "start", "--workspace", located.workspace])


def options(*, workdir: str, variables: Sequence[str], terminal: bool, mark: str, term: str) -> SessionOptions:
    """How a session runs. A pipe gets no terminal. Raises usage for a variable without `=`."""
    pairs = []
    for variable in variables:
        name, equals, value = variable.partition("=")
        if not equals or not name:
            raise AiboxError("usage", f"--env {variable} has no value", fix=f"--env {name or 'NAME'}=VALUE")
        pairs.append((name, value))
    if terminal and term:
        pairs.append(("TERM", term))
    return SessionOptions(True, terminal, workdir, (*pairs, (MARK, mark)))


def enter(context: Context, calls: EngineCalls, located: Located, arguments: Arguments, style: Style) -> Outcome | int:
    """Run the words of `exec`, `run` or `shell` in the box; if the box itself ended meanwhile, that is said."""
    words, workdir, variables = arguments.words, arguments.workdir, arguments.env
    if style.json:
        outcome = capture(context, calls, located, words, workdir=workdir, variables=variables)
        return outcome._replace(notices=_ended(context, located, outcome.exit_code))
    code = attend(context, calls, located, words, workdir=workdir, variables=variables)
    for notice in _ended(context, located, code):
        ui.note(notice, style)
    return code


def _ended(context: Context, located: Located, code: int) -> tuple[str, ...]:
    if code == 0 or notes.noted_running(context.paths, located.name):
        return ()
    notice = "the box itself ended: it was stopped, or it took more memory or processes than its limits"
    return (f"{notice}; `aibox status` shows them, `{_starting(located)}` starts it again",)


def attend(
    context: Context,
    calls: EngineCalls,
    located: Located,
    words: Sequence[str],
    *,
    workdir: str,
    variables: Sequence[str],
) -> int:
    """Run `words` in the box on the caller's own streams; returns the child's exit code."""
    require_running(context, calls, located)
    terminal = os.isatty(0) and os.isatty(1)
    mark = new_mark()
    how = options(
        workdir=workdir or located.workdir,
        variables=variables,
        terminal=terminal,
        mark=mark,
        term=context.environ.get("TERM", ""),
    )
    argv = calls.adapter.session(calls.engine, located.name, words, how)
    return runner.attend(argv, env=calls.env, tty=terminal, on_signal=_forwarder(calls, located.name, mark))


def _forwarder(calls: EngineCalls, box: str, mark: str) -> Callable[[int], None]:
    def forward(number: int) -> None:
        name = signal.Signals(number).name.removeprefix("SIG")
        argv = [*calls.engine.argv, "exec", box, "/usr/bin/perl", "-e", _SIGNALLER, f"{MARK}={mark}", name]
        calls.run(argv, SIGNAL_SECONDS)

    return forward


def capture(
    context: Context,
    calls: EngineCalls,
    located: Located,
    words: Sequence[str],
    *,
    workdir: str,
    variables: Sequence[str],
) -> Outcome:
    """Run `words` in the box and return what it printed, for `--json`."""
    require_running(context, calls, located)
    how = options(
        workdir=workdir or located.workdir, variables=variables, terminal=False, mark=new_mark(), term=""
    )._replace(interactive=False)
    result = runner.run(
        calls.adapter.session(calls.engine, located.name, words, how), timeout=CAPTURE_SECONDS, env=calls.env
    )
    code = runner.as_shell(result.code)
    data: dict[str, Json] = {"box": located.name, "command": list(words), "exit_code": code}
    for stream, content in (("stdout", result.out), ("stderr", result.err)):
        data.update(_stream(stream, content))
    return Outcome(data, [], exit_code=code)


def _stream(name: str, content: bytes) -> dict[str, Json]:
    try:
        return {name: content.decode("utf-8")}
    except UnicodeDecodeError:
        import base64

        return {f"{name}_base64": base64.b64encode(content).decode("ascii")}
