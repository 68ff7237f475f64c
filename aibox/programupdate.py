"""aibox's own update: one signed file from a configured place, checked before it takes the running file's place.

The place is `program_url`; beside the file lie its SHA-256 (`.sha256`, as sha256sum(1) writes it) and a detached
signature of the file (`.sig`). At any moment the running file is the old one or the new one, whole.
"""

import os
import re
import stat
import tempfile
import time
import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from aibox import __version__, assets, download, runner, setupbundle, signing, state
from aibox.download import Limits
from aibox.errors import AiboxError

if TYPE_CHECKING:
    from aibox.context import Context

SECONDS = 120.0
TRY_SECONDS = 60.0
LARGEST = 64 << 20
LARGEST_BESIDE = 1 << 16
PREVIOUS, NEW = ".previous", ".new"
_VERSION = re.compile(r"""^__version__ = ["']([0-9][0-9A-Za-z.+-]*)["']$""", re.MULTILINE)
_FROM = "have the file put there again by whoever publishes it"


class Offered(NamedTuple):
    """A checked file: where it came from and lies now, its version and SHA-256, and who signed it."""

    url: str
    path: str
    version: str
    sha256: str
    signed_by: str


class Running(NamedTuple):
    """The running file."""

    path: str
    version: str
    sha256: str

    @property
    def previous(self) -> str:
        """Where the file before the last update lies."""
        return f"{self.path}{PREVIOUS}"


def running() -> Running:
    """The file that runs. Raises program-failed where aibox does not run from its one file."""
    path = assets.program("program-failed", "replace", fix="python3 build_zipapp.py, and run dist/aibox")
    return Running(path, __version__, state.sha256_file(path))


def fetch(context: "Context", folder: str, said: Callable[[str], None]) -> Offered:
    """Get the offered file into `folder` and check it; nothing of it has run.

    Raises usage without a place, program-failed, program-tampered or program-untrusted.
    """
    url = context.config.program_url
    if not url:
        raise AiboxError(
            "usage",
            "no place is configured from which aibox's own update could come",
            why="program_url is not set",
            fix="aibox update --program --program-url URL, or add it to the configuration",
        )
    key = setupbundle.key_for(context)
    if key is None:
        raise AiboxError(
            "program-untrusted",
            "no key is configured to check aibox's own update with",
            why="what starts your boxes is never replaced by a file that nobody signed",
            fix="set signing_key to the file with the publisher's public key",
        )
    deadline = time.monotonic() + SECONDS
    path = _get(url, f"{folder}/aibox", Limits(deadline, LARGEST), said)
    sums = _get(f"{url}.sha256", f"{folder}/sha256", Limits(deadline, LARGEST_BESIDE), said)
    try:
        signature = state.read_bytes(_get(f"{url}.sig", f"{folder}/sig", Limits(deadline, LARGEST_BESIDE), said))
    except AiboxError as error:
        raise AiboxError("program-untrusted", f"{url} has no signature", why=error.what, fix=_FROM) from error
    wanted = (state.read_bytes(sums) or b"").decode("ascii", "replace").split()[:1]
    found = state.sha256_file(path)
    if wanted != [found]:
        raise AiboxError(
            "program-tampered",
            f"{url} does not have its published SHA-256",
            why=f"it has {found}; nothing was changed",
            fix="try again later; if it stays so, ask whoever publishes it",
        )
    if not signing.is_by(key, state.read_bytes(path) or b"", signature or b""):
        raise AiboxError(
            "program-untrusted",
            f"the signature of {url} is not by the key in {key.path}",
            why="it was signed with another key, or changed after it was signed; nothing was changed",
            fix="get the publisher's key from the publisher; do not go round this",
        )
    return Offered(url, path, _version_in(path, url), found, f"the key in {key.path}")


def _get(url: str, path: str, limits: Limits, said: Callable[[str], None]) -> str:
    try:
        return download.fetch(url, path, limits, said, code="program-failed", fix=_FROM)
    except FileNotFoundError as error:
        raise AiboxError("program-failed", f"{url} is not there", fix=_FROM) from error


def _version_in(path: str, url: str) -> str:
    """The version that a signed file says it has."""
    try:
        with zipfile.ZipFile(path) as archive:
            text = archive.read("site-packages/aibox/__init__.py").decode("utf-8", "replace")
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise AiboxError("program-failed", f"{url} is no aibox", why=str(error), fix=_FROM) from error
    found = _VERSION.search(text)
    if not found:
        raise AiboxError("program-failed", f"{url} does not say its version", fix=_FROM)
    return found[1]


def is_older(offered: str, here: str) -> bool:
    """Whether a version comes before another: numbers by value; 1.0rc1 comes before 1.0."""
    return _order(offered) < _order(here)


def _order(version: str) -> tuple[list[int], bool, list[int]]:
    match = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
    numbers = [int(part) for part in match[0].split(".")] if match else []
    while numbers and not numbers[-1]:
        numbers.pop()
    rest = version[match.end() :] if match else version
    return numbers, not rest, [int(part) for part in re.findall(r"[0-9]+", rest)]


def require_newer(offered: Offered, here: Running, *, downgrade: bool) -> None:
    """Refuse an older file: whoever can exchange files at the place must not bring old faults back.

    Raises program-older.
    """
    if is_older(offered.version, here.version) and not downgrade:
        raise AiboxError(
            "program-older",
            f"{offered.url} is aibox {offered.version}, and {here.version} runs here",
            why="an older one could bring back what was mended since",
            fix="aibox update --program --downgrade, if that is what you want",
        )


def require_writable(here: Running, words: str) -> None:
    """Refuse early where the file cannot be replaced. Raises program-failed."""
    folder = os.path.dirname(here.path)
    if not os.access(folder, os.W_OK):
        raise AiboxError(
            "program-failed",
            f"{here.path} cannot be replaced by you",
            why=f"{folder} is not writable for you",
            fix=f"sudo {runner.printable([here.path])} {words}",
        )


def replace(offered: Offered, here: Running, env: dict[str, str]) -> None:
    """Put the checked file in the running file's place, with its mode and owner; the old one stays beside it.

    Raises program-failed; then the old file is in its place.
    """
    new = f"{here.path}{NEW}"
    try:
        old = os.stat(here.path)
        content = state.read_bytes(offered.path) or b""
        if state.sha256(content) != offered.sha256:
            raise AiboxError("program-failed", f"{offered.path} changed while it was looked at", fix="try again")
        mend(here)
        _write(new, content, old)
        _require_starts(new, offered, env)
        _keep(here)
        os.replace(new, here.path)
        _settle(here.path)
    except OSError as error:
        raise AiboxError(
            "program-failed", f"{here.path} was not replaced", why=error.strerror or str(error), fix="free some space"
        ) from error
    finally:
        state.remove_file(new)


def _write(path: str, content: bytes, old: os.stat_result) -> None:
    state.remove_file(path)  # of a run that was killed
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o700)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(file.fileno(), old.st_uid, old.st_gid)
        os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode))
        os.fsync(file.fileno())


def _require_starts(path: str, offered: Offered, env: dict[str, str]) -> None:
    """A file that does not start here, on this Python, must not take the place of one that does."""
    with tempfile.TemporaryDirectory(prefix="aibox-program-") as cache:
        result = runner.run([path, "--version"], timeout=TRY_SECONDS, env={**env, "AIBOX_CACHE": cache}, cwd="/")
    if result.code != 0 or result.text().strip() != f"aibox {offered.version}":
        raise AiboxError(
            "program-failed",
            f"aibox {offered.version} does not start on this host",
            why=result.complaint() if result.code else f"it says {result.text().strip()[:80]!r}",
            fix="ask its publisher which Python it needs",
        )


def _keep(here: Running) -> None:
    """The running file under a second name: the same file, so that at no moment either name lacks one."""
    spare = f"{here.previous}{NEW}"
    state.remove_file(spare)
    os.link(here.path, spare)
    os.replace(spare, here.previous)
    state.remove_file(spare)  # still there if both names were one file already (rename(2))


def _settle(path: str) -> None:
    """Have the names of a folder on the disk."""
    descriptor = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def mend(here: Running) -> None:
    """End a way back that was killed on its last step."""
    spare = f"{here.previous}{NEW}"
    if os.path.exists(spare) and not os.path.exists(here.previous):
        os.replace(spare, here.previous)


def roll_back(here: Running) -> None:
    """Exchange the running file and the one before it. Raises program-failed."""
    spare = f"{here.previous}{NEW}"
    try:
        mend(here)
        if not zipfile.is_zipfile(here.previous):
            raise AiboxError(
                "program-failed",
                f"there is no previous aibox at {here.previous}",
                why="update has not replaced this file yet",
                fix="aibox update --program",
            )
        state.remove_file(spare)
        os.link(here.path, spare)
        os.replace(here.previous, here.path)
        os.replace(spare, here.previous)
        state.remove_file(spare)
        _settle(here.path)
    except OSError as error:
        raise AiboxError(
            "program-failed", f"{here.path} was not replaced", why=error.strerror or str(error), fix="aibox doctor"
        ) from error
