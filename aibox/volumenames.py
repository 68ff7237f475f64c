"""Names of volumes: what people type, what the engine knows, and whose a volume is. Pure."""

from difflib import get_close_matches
from typing import NamedTuple

from aibox.errors import AiboxError
from aibox.plan import CACHES

PURPOSES = ("home", "toolpacks", *(f"{cache.name}-cache" for cache in CACHES))
PREFIX = "aibox-"


class VolumeName(NamedTuple):
    """A volume of aibox's: the engine's name for it, its user as it stands in that name, and what it is for."""

    name: str
    user: str
    purpose: str

    @property
    def cache(self) -> bool:
        """Whether it can be emptied without a loss: tools fill it again."""
        return self.purpose.endswith("-cache")

    @property
    def short(self) -> str:
        """The purpose as people type it."""
        return self.purpose.removesuffix("-cache")


SHORT = tuple(purpose.removesuffix("-cache") for purpose in PURPOSES)


def parse(name: str) -> VolumeName | None:
    """What a volume's name says, or None if aibox did not name it so.

    A user's name has no hyphen there (`plan.safe_name`), so that it ends at the first one.
    """
    if not name.startswith(PREFIX):
        return None
    user, hyphen, purpose = name[len(PREFIX) :].partition("-")
    return VolumeName(name, user, purpose) if user and hyphen and purpose in PURPOSES else None


def choose(word: str, known: list[VolumeName], caller: str) -> VolumeName:
    """The volume that `word` means: a full name, or a purpose, of which the caller's own comes first.

    `caller` is the user as it stands in names. A volume that does not exist yet is fine. Raises usage where a purpose
    is unknown or is several users'.
    """
    full = parse(word)
    if full:
        return full
    purpose = purpose_of(word)
    own = VolumeName(f"{PREFIX}{caller}-{purpose}", caller, purpose)
    others = sorted(one.name for one in known if one.purpose == purpose and one != own)
    if own in known or not others:
        return own
    if len(others) == 1:
        return next(one for one in known if one.name == others[0])
    raise AiboxError(
        "usage",
        f"{len(others)} users have a volume {word!r} here",
        why=", ".join(others),
        fix="name it in full",
    )


def purpose_of(word: str, among: tuple[str, ...] = PURPOSES) -> str:
    """The purpose that a person means by `maven` or `maven-cache`. Raises usage."""
    for purpose in among:
        if word in (purpose, purpose.removesuffix("-cache")):
            return purpose
    short = [purpose.removesuffix("-cache") for purpose in among]
    near = get_close_matches(word, short, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"one of: {', '.join(short)}"
    raise AiboxError("usage", f"there is no volume {word!r}", fix=hint)
