"""Image references as Docker and Podman read them, taken apart for policy checks. Pure.

Grammar: https://github.com/distribution/reference/blob/main/reference.go
"""

from typing import NamedTuple

_LOWER = "abcdefghijklmnopqrstuvwxyz0123456789"
_WORD = _LOWER + "ABCDEFGHIJKLMNOPQRSTUVWXYZ_"
_HEX = "0123456789abcdef"
_MAX_LENGTH = 512
# Podman reads `dir:x` as a folder of the host, not as an image of a registry (containers-transports(5)).
_TRANSPORTS = {"containers-storage", "dir", "docker", "docker-archive", "docker-daemon", "oci", "oci-archive", "ostree"}
_TRANSPORTS |= {"sif", "tarball", "atomic", "http", "https"}


class ImageRef(NamedTuple):
    """An image reference; `registry` is '' for a short name, `tag` and `digest` are '' when not written."""

    registry: str
    repository: str
    tag: str
    digest: str

    @property
    def exact(self) -> str:
        """What the engine fetches: with a digest the tag has no say, without either it is `latest`."""
        name = f"{self.registry}/{self.repository}" if self.registry else self.repository
        return f"{name}@{self.digest}" if self.digest else f"{name}:{self.tag or 'latest'}"


def parse_image(text: str) -> ImageRef:
    """Take a reference apart. Raises ValueError with the reason."""
    if not text or len(text) > _MAX_LENGTH:
        raise ValueError(f"it has to have 1 to {_MAX_LENGTH} characters")
    if text.partition(":")[0] in _TRANSPORTS and ":" in text:
        raise ValueError(f"'{text.partition(':')[0]}:' is a transport, not a registry")
    named, at, digest = text.partition("@")
    algorithm, _, sum_ = digest.partition(":")
    if at and (algorithm != "sha256" or len(sum_) != 64 or sum_.strip(_HEX)):
        raise ValueError("the digest has to be sha256: and 64 hexadecimal digits")
    first, slash, rest = named.partition("/")
    is_host = bool(slash) and (first == "localhost" or "." in first or ":" in first)
    if is_host:
        check_registry(first)
    path, colon, tag = (rest if is_host else named).partition(":")
    if colon and (not tag or len(tag) > 128 or tag.strip(_WORD + ".-") or tag[0] in ".-"):
        raise ValueError("the tag has to be 1 to 128 letters, digits, '_', '.' or '-'")
    for part in path.split("/"):
        if not part or part.strip(_LOWER + "._-") or part[0] not in _LOWER or part[-1] not in _LOWER:
            raise ValueError("each part of the name has to be lower-case letters and digits, with '.', '_', '-' inside")
    return ImageRef(first if is_host else "", path, tag, digest)


def check_registry(text: str) -> None:
    """Raises ValueError unless `text` is a host name in lower case, with or without a port."""
    host, colon, port = text.partition(":")
    if any(not label or label.strip(_LOWER + "-") or label[0] == "-" for label in host.split(".")):
        raise ValueError("the registry has to be a host name in lower case")
    if colon and not (port.isascii() and port.isdecimal() and len(port) <= 5):
        raise ValueError("the registry's port has to be a number")


def matches(pattern: str, reference: str) -> bool:
    """Whether a policy's pattern covers the whole reference: `*` and `?` stop at '/', `**` does not."""
    import re

    # all places that the pattern so far can end at: many stars cost no more than few
    places = {0}
    for part in filter(None, re.split(r"(\*\*|\*|\?)", pattern)):
        if not places:
            return False
        if part == "**":
            places = set(range(min(places), len(reference) + 1))
        elif part == "*":
            places = _to_slash(places, reference)
        elif part == "?":
            places = {place + 1 for place in places if reference[place : place + 1] not in ("", "/")}
        else:
            places = {place + len(part) for place in places if reference.startswith(part, place)}
    return len(reference) in places


def _to_slash(places: set[int], reference: str) -> set[int]:
    """These places, and all behind them up to the next slash."""
    reached: set[int] = set()
    for place in sorted(places):
        if place not in reached:
            end = reference.find("/", place)
            reached.update(range(place, (len(reference) if end < 0 else end) + 1))
    return reached
