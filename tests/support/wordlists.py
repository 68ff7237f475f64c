"""Random lists of words, and the ways to write each in PowerShell."""

import random
import re

PIECES = (
    "", " ", "a", "b c", '"', '""', "'", "\\", "\\\\", '\\"', "$", "$HOME", "$(1)", "`", ";", "&", "&&", "|", "%",
    "%PATH%", "%%", "!", "^", "^^", "--", "-", "-x", "--long=1", "-name:value", "-n:", "--%", "–", "—x", "―", "*", "?", "[a]",
    "~", "~/x", "C:\\Users\\me\\", "\\\\server\\share", "/mnt/c", "\t", "\n", "é", "ß", "日本語", "𝄞", "🙂", "\u0301",
    "\u00a0", "\u201cq\u201d", "@x", "@{}", "#", "<", ">", "(", ")", "{", "}", ",", "a,b", "1.0", "0x10", "1kb", "1e3",
    "true", "=", "\x01", "\u2028", "  ", "\\ ",
)  # fmt: skip
SHORT = 6
# words that mean themselves when nothing is put around them
BARE = re.compile(r"(?:--?|[–—―])?[A-Za-z0-9_/.\\:=+%^!*?~-]*[A-Za-z0-9_/=]")


def word(chance: random.Random) -> str:
    """One word: a few pieces, none of them a NUL."""
    return "".join(chance.choice(PIECES) for _ in range(chance.randint(0, SHORT)))


def words(chance: random.Random) -> list[str]:
    """A list of words as a command line might have."""
    return [word(chance) for _ in range(chance.randint(0, SHORT))]


def written(text: str, chance: random.Random) -> str:
    """One way to write the word in PowerShell."""
    if BARE.fullmatch(text) and not _means_something_else(text) and chance.random() < 0.7:
        return text
    if chance.random() < 0.5:
        return single(text)
    quoted = re.sub('([`$"\u201c\u201d\u201e])', "`\\1", text)
    return f'"{quoted}"'


def single(text: str) -> str:
    """The word in single quotes; every kind of single quote that PowerShell knows is doubled."""
    return "'" + re.sub("(['\u2018\u2019\u201a\u201b])", "\\1\\1", text) + "'"


def _means_something_else(text: str) -> bool:
    """Whether PowerShell's own rules would change the bare word: expansion, or a name that waits for its value."""
    return text.endswith(":") or text in ("--", "--%") or text.startswith(("~", "--%")) or "*" in text or "?" in text


# what a line of a batch file can hold
CMD_LINE = 7000
# no line ends; Wine's cmd.exe reads a percent sign in %* a second time, counts quotes otherwise, and reads files as OEM text
_NOT_IN_BATCH = re.compile('[^\x20-\x7e]|[%"]')


def for_cmd(chance: random.Random) -> str:
    """A random word that a batch file can hand on as it stands; PowerShell itself refuses `- x` and `-:x` behind -File."""
    return re.sub("^-+(?=[ :])", "", _NOT_IN_BATCH.sub("", word(chance)))


def batch_word(text: str) -> str:
    """The word as a batch file has it: in quotes, by the C runtime's rules."""
    return '"' + re.sub(r"(\\+)$", r"\1\1", text) + '"'
