"""The command line: finds the verb, parses its options, runs it, renders what it returns."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from aibox import __version__, ui
from aibox.errors import FAILED, INTERRUPTED, OK, SESSION, AiboxError
from aibox.options import OPTIONS, VERBS, Option, Verb, verb

if TYPE_CHECKING:
    from aibox.context import Context
    from aibox.winpath import Windows


class Arguments(argparse.Namespace):
    """Every option of every verb, typed; a verb reads those that its row names."""

    workspace: str = ""
    json: bool = False
    dry_run: bool = False
    yes: bool = False
    all: bool = False
    recreate: bool = False
    volumes: bool = False
    rm: bool = False
    workdir: str = ""
    env: list[str]
    follow: bool = False
    tail: str = ""
    runsc: str = ""
    bundle: str = ""
    sign_with: str = ""
    key: str = ""
    scope: str = ""
    lookaside: str = ""
    remove: bool = False
    prepare_for: str = ""
    time: str = ""
    fix: bool = False
    output: str = ""
    homes: bool = False
    look: bool = False
    rollback: bool = False
    program: bool = False
    downgrade: bool = False
    locked: bool = False
    sbom: bool = False
    check: list[str]
    words: list[str]
    settings: dict[str, str]

    def __init__(self) -> None:
        super().__init__()
        self.env, self.check, self.words, self.settings = [], [], [], {}


Action: TypeAlias = "Callable[[Context, Arguments, ui.Style], ui.Outcome | int]"


def _narrow(prog: str) -> argparse.HelpFormatter:
    """For the checks that argparse makes while options are added: it does not look for the terminal's size."""
    return argparse.HelpFormatter(prog, width=80)


class _Parser(argparse.ArgumentParser):
    def format_help(self) -> str:
        self.formatter_class = argparse.HelpFormatter
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        unknown = message.partition("unrecognized arguments: --")[2].split(" ")[0].partition("=")[0]
        near = _near(f"--{unknown}", list(self._option_string_actions)) if unknown else ""
        raise AiboxError("usage", message, fix=f"did you mean {near}?" if near else f"{self.prog} --help")


class _Setting(argparse.Action):
    """Collects a configuration flag by its key."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, option: str | None = None
    ) -> None:
        del parser, option
        if isinstance(namespace, Arguments) and isinstance(values, str):
            namespace.settings[self.dest] = values


def main(argv: Sequence[str] | None = None) -> int:
    """Run aibox; returns the exit code. Called by the zipapp and by tests."""
    given = list(sys.argv[1:] if argv is None else argv)
    style = ui.style(os.environ, json=_wants_json(given), log_json=os.environ.get("AIBOX_LOG_FORMAT") == "json")
    row: Verb | None = None
    windows: Windows | None = None
    try:
        if given[:1] == ["--from-windows"]:
            from aibox import fromwindows

            given, windows = fromwindows.accept("".join(given[1:2]))
            style = ui.style(os.environ, json=_wants_json(given), log_json=style.log_json)
        if not given or given[0] in ("-h", "--help") or given == ["help"]:
            sys.stdout.write(overview())
            return OK if given else 2
        if given[0] == "__complete":
            from aibox.completion import answer

            sys.stdout.write(answer(given[1:]))
            return OK
        if given[0] in ("-V", "--version"):
            sys.stdout.write(f"aibox {__version__}\n")
            return OK
        row = _find_verb(given[0])
        code = _run(row, given[1:], windows)
        sys.stdout.flush()
    except AiboxError as error:
        code = SESSION if row and row.session else error.exit_code
        ui.show_error(error, given[0] if given else "", style, code)
    except KeyboardInterrupt:
        code = SESSION if row and row.session else INTERRUPTED
        ui.show_error(AiboxError("interrupted", "interrupted; nothing half-made was left"), given[0], style, code)
    except BrokenPipeError:
        # the reader of our output is gone; keep Python from complaining about that at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = FAILED
    except RecursionError:
        code = FAILED
        ui.show_error(AiboxError("internal-error", "aibox ran out of stack"), given[0], style, code)
    return code


def _run(row: Verb, given: list[str], windows: "Windows | None") -> int:
    options, words = split_words(row, given)
    if windows:
        from aibox import fromwindows

        paths = {name for option in options_of(row) if option.host_path for name in (option.long, option.short) if name}
        options = fromwindows.translated(options, paths, windows)
    arguments = Arguments()
    parser(row).parse_args(operands_last(row, options), namespace=arguments)
    if windows and row.operand_files:
        from aibox import fromwindows

        arguments.words = fromwindows.operands(arguments.words, row.operand_files, windows)
    if row.words:
        arguments.words = words
    if row.words and not words:
        raise AiboxError("usage", f"aibox {row.name} needs a command", fix=f"for example: {row.example}")
    outcome = _act(row, arguments)
    return outcome if isinstance(outcome, int) else outcome.exit_code


def _act(row: Verb, arguments: Arguments) -> "ui.Outcome | int":
    """Run a verb and print what it returns; a refusal is in the audit log afterwards."""
    from aibox import context, facts

    style = ui.style(os.environ, json=arguments.json, log_json=os.environ.get("AIBOX_LOG_FORMAT") == "json")
    gathered: Context | None = None
    try:
        if row.lenient:
            gathered = context.gather_leniently(os.environ, arguments.settings)
        else:
            facts.host()
            gathered = context.gather(os.environ, arguments.settings)
        style = ui.style(os.environ, json=arguments.json, log_json=gathered.config.log_format == "json")
        for notice in gathered.notices():
            ui.note(notice, style)
        outcome = _load(row)(gathered, arguments, style)
    except AiboxError as error:
        if error.refusal and not error.recorded:
            told = _recorded(error, row, arguments, gathered)
            if told:
                ui.note(told, style)
        raise
    if not isinstance(outcome, int):
        ui.show(outcome, row.name, style)
    return outcome


def _recorded(error: AiboxError, row: Verb, arguments: Arguments, gathered: "Context | None") -> str:
    """Put a refusal that no verb recorded into the audit log; returns why that failed, or nothing."""
    from aibox import audit, boxes, context

    box = ""
    try:
        # what policy or configuration raised hides neither where the log is nor whose box it is about
        gathered = gathered or context.gather_leniently(os.environ, arguments.settings)
        box = boxes.locate(gathered, arguments.workspace).name if "workspace" in row.options else ""
    except AiboxError as second:
        if gathered is None:
            return f"this refusal is not in the audit log: {second.what}"
    return audit.refusal(gathered.paths, box, error, verb=row.name)


def _load(row: Verb) -> "Action":
    import importlib

    action: Action = importlib.import_module(f"aibox.commands.{row.module}").run
    return action


def _find_verb(name: str) -> Verb:
    row = verb(name)
    if row:
        return row
    near = _near(name, [known.name for known in VERBS])
    hint = f"did you mean `aibox {near}`?" if near else "aibox --help lists the verbs"
    raise AiboxError("usage", f"there is no verb {name!r}", fix=hint)


def _near(word: str, known: list[str]) -> str:
    """The known word that is most like this one, or nothing."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, known, 1)), "")


def split_words(row: Verb, given: list[str]) -> tuple[list[str], list[str]]:
    """Options of the verb, and the command behind them: from `--` on, or from the first word that is no option."""
    if not row.words:
        return given, []
    valued = {name for option in options_of(row) if option.value for name in (option.long, option.short) if name}
    position = 0
    while position < len(given):
        word = given[position]
        if word == "--":
            return given[:position], given[position + 1 :]
        if not word.startswith("-") or word == "-":
            return given[:position], given[position:]
        position += 2 if word in valued else 1
    return given, []


def operands_last(row: Verb, given: list[str]) -> list[str]:
    """The words of an operand behind all options: argparse takes them from one place only."""
    if not row.operand:
        return given
    valued = {name for option in options_of(row) if option.value for name in (option.long, option.short) if name}
    options: list[str] = []
    words: list[str] = []
    left = list(given)
    while left:
        word = left.pop(0)
        if word == "--":
            return [*options, "--", *words, *left]
        if word.startswith("-") and word != "-":
            if word in valued and not left:
                return given  # argparse says that its value is missing
            options += [word, left.pop(0)] if word in valued else [word]
        else:
            words.append(word)
    return [*options, *words]


def options_of(row: Verb) -> list[Option]:
    """All options of a verb: its own, `--json`, and the configuration's flags."""
    from aibox.configkeys import KEYS, expected

    own = [OPTIONS[name] for name in (*row.options, "json")]
    keys = KEYS if row.settings else [key for key in KEYS if key.name in ("log_format", "engine", "engine_path")]
    return own + [
        Option(
            key.path,
            key.flag,
            f"{key.meaning} ({expected(key)})",
            value="VALUE",
            kind="file" if key.kind == "path" else "",
        )
        for key in keys
    ]


def parser(row: Verb) -> argparse.ArgumentParser:
    """The parser of one verb."""
    operand = f" [{row.operand}]" if row.operand else ""
    usage = f"aibox {row.name} [options]{' [--] COMMAND [ARGUMENT...]' if row.words else operand}"
    made = _Parser(
        prog=f"aibox {row.name}",
        usage=usage,
        description=f"{row.summary[:1].upper()}{row.summary[1:]}.",
        epilog=f"example: {row.example}",
        allow_abbrev=False,
        formatter_class=_narrow,
    )
    own = {option.name for option in (OPTIONS[name] for name in (*row.options, "json"))}
    settings = made.add_argument_group("settings (they override the configuration)")
    for option in options_of(row):
        names = [name for name in (option.short, option.long) if name]
        text = option.help.replace("%", "%%")
        if option.name not in own:
            settings.add_argument(*names, dest=option.name, metavar=option.value, help=text, action=_Setting)
        elif option.repeat:
            made.add_argument(*names, dest=option.name, metavar=option.value, help=text, action="append")
        elif option.value:
            made.add_argument(*names, dest=option.name, metavar=option.value, help=text)
        else:
            made.add_argument(*names, dest=option.name, help=text, action="store_true")
    if row.operand:
        made.add_argument("words", nargs="*", metavar=row.operand, help=f"see `aibox help {row.name}`")
    return made


def overview() -> str:
    """The text of `aibox --help`."""
    width = max(len(row.name) for row in VERBS)
    lines = [
        "usage: aibox VERB [options]",
        "",
        "A hardened dev container under gVisor for any workspace folder.",
        "",
        *(f"  {row.name.ljust(width)}  {row.summary}" for row in VERBS),
        "",
        "first steps:",
        "  aibox setup                        once, some minutes; asks before each change",
        "  aibox start --workspace ~/project  a box for that folder; seconds",
        "  aibox shell                        a shell in it; or: aibox exec -- COMMAND",
        "",
        "more: aibox VERB --help, aibox help tutorial; if something fails: aibox doctor",
        "",
    ]
    return "\n".join(lines)


def _wants_json(given: list[str]) -> bool:
    """Whether --json stands among aibox's own options, so that errors are JSON even when parsing fails."""
    row = verb(given[0]) if given else None
    if row is None:
        return "--json" in given
    return "--json" in split_words(row, given[1:])[0]


if __name__ == "__main__":
    raise SystemExit(main())
