"""Moments as engines print them, and how long ago they were, for people."""

import re
from calendar import timegm

# RFC 3339 with any number of digits behind the second, or Docker's and Podman's `2026-11-28 07:05:11.1 +0000 UTC`
MOMENT = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.\d+)? ?(?:Z|([+-])(\d\d):?(\d\d))?")
LONGEST = 11  # digits of seconds: the year 5138
UNITS = (("day", 86_400), ("hour", 3600), ("minute", 60))


def moment(text: str) -> int | None:
    """Seconds since 1970 of a moment as engines print it, or of the seconds themselves; None if it is neither."""
    if text.isdecimal():
        return int(text) if len(text) <= LONGEST else None
    found = MOMENT.match(text)
    if found is None:
        return None
    try:
        seconds = timegm(tuple(int(part) for part in found.groups()[:6]))
    except ValueError:
        return None  # a thirteenth month
    if found[7]:
        offset = int(found[8]) * 3600 + int(found[9]) * 60
        seconds -= offset if found[7] == "+" else -offset
    return seconds


def iso(text: str) -> str:
    """A moment in UTC as RFC 3339 says, to the second; what is none stays as it is."""
    from time import gmtime, strftime

    seconds = moment(text)
    return text if seconds is None else strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(seconds))


def ago(text: str, now: float) -> str:
    """`3 hours ago`; what is no moment stays as it is."""
    seconds = moment(text)
    if seconds is None:
        return text
    passed = now - seconds
    for name, length in UNITS:
        count = int(passed // length)
        if count > 0:
            return f"{count} {name}{'' if count == 1 else 's'} ago"
    return "just now"
