"""The manual inside the artifact: pages of docs/ as text, sections by error code and check, and the man page."""

import re

from aibox import __version__, assets, ui
from aibox.cli import options_of, overview, parser
from aibox.completion import PAGES
from aibox.doctorchecks import IDS
from aibox.errors import EXIT_CODES, KINDS, AiboxError
from aibox.options import VERBS, Option, Verb, verb

WIDTH = 100


def topic(name: str) -> list[str]:
    """What the manual says on a topic. Raises usage, with the nearest topic that there is."""
    if not name:
        return [*overview().splitlines(), "", f"pages of the manual: {', '.join(PAGES)}"]
    if name == "man":
        return man_page().splitlines()
    if name in PAGES and not verb(name):
        return rendered(assets.text(f"docs/{name}.md"))
    row = verb(name)
    if row:
        return [*parser(row).format_help().splitlines(), *_more(name)]
    for page, names in (("troubleshooting", tuple(KINDS)), ("doctor", IDS)):
        if name in names:
            return rendered(section(assets.text(f"docs/{page}.md"), name))
    from difflib import get_close_matches

    known = [*PAGES, *(row.name for row in VERBS), *KINDS, *IDS]
    near = get_close_matches(name, known, 1)
    hint = f"did you mean `aibox help {near[0]}`?" if near else f"aibox help {'|'.join(PAGES)}"
    raise AiboxError("usage", f"the manual has no topic {name!r}", fix=hint)


def _more(name: str) -> list[str]:
    """A verb may have a page of its own."""
    return ["", *rendered(assets.text(f"docs/{name}.md"))] if name in PAGES else []


def section(text: str, name: str) -> str:
    """The part of a page below the heading `name`, with it; empty if there is none."""
    match = re.search(rf"^## {re.escape(name)}\n.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return match[0] if match else ""


def rendered(text: str) -> list[str]:
    """A page of Markdown as text for a terminal: tables in columns, comments and link targets left out."""
    text = re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL)
    text = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text)
    lines: list[str] = []
    rows: list[tuple[str, ...]] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            cells = tuple(cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1])
            if not all(set(cell) == {"-"} for cell in cells):
                rows.append(cells)
            continue
        lines += _columns(rows)
        rows = []
        lines.append(line)
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    """A table in columns, or, where that is too wide, each row as a paragraph."""
    shown = ui.table(rows)
    if all(len(line) <= WIDTH for line in shown):
        return shown
    head, *body = rows
    lines = []
    for row in body:
        lines.append(row[0])
        lines += [f"    {title}: {cell}" for title, cell in zip(head[1:], row[1:], strict=False) if cell]
    return lines


def synopsis(row: Verb) -> str:
    """How a verb is called."""
    if row.words:
        return f"aibox {row.name} [options] [--] COMMAND [ARGUMENT...]"
    return f"aibox {row.name} [options]{f' [{row.operand}]' if row.operand else ''}"


def own_options(row: Verb) -> list[Option]:
    """The options of a verb without the configuration's flags, which all verbs share."""
    return [option for option in options_of(row) if "." not in option.name and not is_setting(option)]


def is_setting(option: Option) -> bool:
    """Whether an option stands for a key of the configuration."""
    from aibox.configkeys import KEYS

    return any(key.flag == option.long for key in KEYS)


def usage(option: Option) -> str:
    """An option as it is typed."""
    names = ", ".join(name for name in (option.short, option.long) if name)
    return f"{names} {option.value}" if option.value else names


def man_page() -> str:
    """The man page aibox(1), as troff source (man(7))."""
    from aibox.configkeys import KEYS

    lines = [
        f'.TH AIBOX 1 "" "aibox {__version__}" "User Commands"',
        ".SH NAME",
        r"aibox \- a hardened dev container under gVisor for any workspace folder",
        ".SH SYNOPSIS",
        ".B aibox",
        r"\fIVERB\fR [\fIoptions\fR]",
        ".SH VERBS",
    ]
    for row in VERBS:
        lines += [".SS " + troff(synopsis(row)), troff(f"{row.summary[:1].upper()}{row.summary[1:]}.")]
        for option in own_options(row):
            lines += [".TP", rf"\fB{troff(usage(option))}\fR", troff(option.help)]
        if row.settings:
            lines += [".PP", "Also takes every setting."]
    lines += [".SH SETTINGS", "A flag overrides its variable, and that the files."]
    for key in KEYS:
        lines += [".TP", rf"\fB{troff(key.flag)}\fR, \fB{troff(key.env)}\fR, {troff(key.path)}", troff(key.meaning)]
    lines += [".SH EXIT STATUS"]
    for code in EXIT_CODES:
        lines += [".TP", f"\\fB{code.value}\\fR", troff(code.meaning)]
    lines += [
        ".SH FILES",
        troff("~/.config/aibox/config.yaml, /etc/aibox/config.yaml, /etc/aibox/policy.yaml"),
        ".SH SEE ALSO",
        troff("aibox help TOPIC shows the manual's pages: " + ", ".join(PAGES)),
    ]
    return "\n".join(lines) + "\n"


def troff(text: str) -> str:
    """A text without anything that troff would take as its own."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq").replace("`", r"\(ga")
    return rf"\&{escaped}" if escaped[:1] == "." else escaped
