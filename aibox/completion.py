"""What can stand at the end of a command line, from the tables of verbs and options; the shells' scripts ask for it.

A candidate is a value and, behind a tab, what it means. The lines `:files` and `:folders` leave it to the shell.
"""

import os
from collections.abc import Sequence

from aibox import assets
from aibox.cli import options_of, split_words
from aibox.configkeys import KEYS
from aibox.errors import KINDS, AiboxError
from aibox.options import VERBS, Option, Verb, verb

SCRIPTS = {"bash": "complete.bash", "zsh": "complete.zsh", "fish": "complete.fish", "powershell": "complete.ps1"}
FILES, FOLDERS = ":files", ":folders"
PARTS = {"show": "every setting with its origin", "validate": "read the files and say whether they are right",
         "schema": "the JSON Schema of config.yaml", "policy-schema": "the JSON Schema of policy.yaml"}  # fmt: skip
VOLUME_PARTS = {"list": "what there is, its size, last use and boxes", "backup": "write one to a file",
                "restore": "put a backup in its place", "prune": "remove unused ones"}  # fmt: skip
IMAGE_PARTS = {"list": "what boxes use, its digest, size and signature", "inspect": "one image, and what its policy is",
               "build": "make the base image here", "trust": "demand signatures by a key"}  # fmt: skip
CACHE_PARTS = {"cache": "empty caches", "leftovers": "remove what nothing uses"}
PAGES = (
    "tutorial", "how-to", "config", "cli", "doctor", "troubleshooting", "json", "security", "seccomp", "apparmor",
    "attacks", "limits", "docker", "reliability", "windows", "architecture", "volumes", "images", "compatibility",
    "performance",
)  # fmt: skip


def script(shell: str) -> str:
    """The text that a shell has to read. Raises usage."""
    if shell not in SCRIPTS:
        raise AiboxError(
            "usage",
            f"there is no completion for {shell!r}" if shell else "completion for which shell?",
            fix=f"aibox completion {'|'.join(SCRIPTS)}",
        )
    return assets.text(SCRIPTS[shell])


def answer(given: Sequence[str]) -> str:
    """What a shell's script gets for `__complete SHELL WORD...`; the last word is the one at the cursor."""
    shell, words = (given[0], list(given[1:])) if given else ("", [])
    if shell == "powershell":
        words = [word.removeprefix("w:") for word in words]
    if shell == "bash":
        words = joined([plain(word) for word in words])
    return "".join(f"{line}\n" for line in candidates(words or [""], bare=shell == "bash"))


def plain(word: str) -> str:
    """A word as bash will read it, its quotes and backslashes taken away; an open quote counts as closed."""
    import shlex

    for closing in ("", "'", '"'):
        try:
            parts = shlex.split(word + closing)
        except ValueError:
            continue
        return parts[0] if parts else ""
    return word


def joined(words: list[str]) -> list[str]:
    """Bash cuts at `=`: the three words `--image`, `=`, `x` are one option."""
    found: list[str] = []
    for word in words:
        if word == "=" and found and found[-1].startswith("--"):
            found[-1] += "="
        elif found and found[-1].startswith("--") and found[-1].endswith("="):
            found[-1] += word
        else:
            found.append(word)
    return found


def candidates(words: Sequence[str], *, bare: bool = False) -> list[str]:
    """All candidates for the last of the words behind `aibox`. `bare`: a value alone where it stands behind `=`."""
    current = words[-1]
    if len(words) == 1:
        known = [(row.name, row.summary) for row in VERBS]
        return _matching(current, [*known, ("--help", "all verbs"), ("--version", "the version of aibox")])
    row = verb(words[0])
    return _of_verb(row, words, bare=bare) if row else []


def _of_verb(row: Verb, words: Sequence[str], *, bare: bool) -> list[str]:
    current = words[-1]
    options, behind = split_words(row, list(words[1:-1]))
    if row.words and (behind or "--" in words[1:-1]):
        return [FILES]
    valued = {name: option for option in options_of(row) if option.value for name in _names(option)}
    before = options[-1] if options else ""
    if before in valued and not _is_value(options, valued):
        return _values(valued[before], current)
    name, equals, value = current.partition("=")
    if equals and name in valued:
        found = _values(valued[name], value)
        return found if bare else [line if line[:1] == ":" else f"{name}={line}" for line in found]
    if row.operand and not current.startswith("-"):
        given = [word for at, word in enumerate(options) if not _taken(options[:at], word, valued)]
        if row.operand_kind in ("volume", "cache") and given:
            return _of_volumes(given, current)
        return _matching(current, operands(row))
    used = {word.partition("=")[0] for word in options}
    left = [option for option in options_of(row) if option.repeat or not used & set(_names(option))]
    found = _matching(current, [*((option.long, option.help) for option in left), ("--help", "about this verb")])
    return [*found, *([FILES] if row.words and not current.startswith("-") else [])]


def operands(row: Verb) -> list[tuple[str, str]]:
    """What can follow a verb that takes a word."""
    if row.operand_kind == "shell":
        return [(name, "") for name in SCRIPTS]
    if row.operand_kind == "part":
        return list(PARTS.items())
    if row.operand_kind == "image":
        return list(IMAGE_PARTS.items())
    if row.operand_kind == "bundle":
        return [("create", ""), ("inspect", "")]
    if row.operand_kind in ("volume", "cache"):
        return list(VOLUME_PARTS.items() if row.operand_kind == "volume" else CACHE_PARTS.items())
    from aibox.doctorchecks import CHECKS

    return [
        *((page, "a page of the manual") for page in PAGES),
        ("man", "the man page, as troff source"),
        *((known.name, known.summary) for known in VERBS),
        *((code, kind.meaning) for code, kind in KINDS.items()),
        *((check.id, check.why) for check in CHECKS if not verb(check.id)),
    ]


def _of_volumes(given: list[str], current: str) -> list[str]:
    """What can stand behind the parts of `volume` and `repair`: volumes by purpose and by name, then a file."""
    from aibox.volumenames import SHORT

    part, count = given[0], len(given)
    caches = part == "cache"
    if (part == "backup" and count == 1) or (part == "restore" and count == 1) or caches:
        named = [(name, "") for name in volumes() if not caches or name.endswith("-cache")]
        short = [(name, "yours") for name in SHORT if not caches or name not in ("home", "toolpacks")]
        return [line for line in _matching(current, [*short, *named]) if line.partition("\t")[0] not in given]
    return [FILES] if part == "restore" and count == 2 else []


def volumes() -> list[str]:
    """Volumes that boxes used, from aibox's own notes; the engine is not asked."""
    from aibox import boxes, state

    return boxes.noted_volumes(state.paths(os.environ, os.getuid()))


def _taken(before: Sequence[str], word: str, valued: dict[str, Option]) -> bool:
    """Whether a word is an option or the value of the option before it, so no operand."""
    return word.startswith("-") or bool(before and before[-1] in valued and not _is_value(list(before), valued))


def _is_value(options: list[str], valued: dict[str, Option]) -> bool:
    """Whether the last word is itself the value of the option before it."""
    taken = False
    for word in options[:-1]:
        taken = not taken and word in valued
    return taken


def _values(option: Option, current: str) -> list[str]:
    if option.kind == "check":
        from aibox.doctorchecks import CHECKS

        return _matching(current, [(check.id, check.why) for check in CHECKS])
    if option.kind == "workspace":
        return [*_matching(current, [(path, "has a box") for path in workspaces()]), FOLDERS]
    if option.kind in ("file", "folder"):
        return [f":{option.kind}s"]
    row = next((key for key in KEYS if key.path == option.name), None)
    if row is None:
        return []
    if row.kind == "path":
        return [FILES]
    return _matching(current, [(choice, "") for choice in row.choices if row.kind == "choice"])


def workspaces() -> list[str]:
    """The folders of this user's boxes, from aibox's own notes; the engine is not asked."""
    from aibox import boxes, state

    found = [str(record.get("workspace", "")) for _, record in boxes.registered(state.paths(os.environ, os.getuid()))]
    return sorted(path for path in found if path)


def _names(option: Option) -> tuple[str, ...]:
    return tuple(name for name in (option.long, option.short) if name)


def _matching(current: str, known: Sequence[tuple[str, str]]) -> list[str]:
    return [f"{value}\t{meaning}" if meaning else value for value, meaning in known if value.startswith(current)]
