"""The only module that asks the network, and only when the user has something fetched; with limits of time and size."""

import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPMessage
from typing import IO, NamedTuple

from aibox.errors import AiboxError
from aibox.meter import Meter

CONNECT_SECONDS = 15.0
PIECE = 1 << 18


class Limits(NamedTuple):
    """When (on the monotonic clock) a download has to be over, its bytes, and the seconds to wait for an answer."""

    deadline: float
    largest: int
    silence: float = CONNECT_SECONDS


class _SameScheme(urllib.request.HTTPRedirectHandler):
    """A redirection away from https would be one away from whoever was asked."""

    def redirect_request(  # noqa: PLR0917 - the signature is the library's
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        if not newurl.startswith("https://"):
            raise urllib.error.HTTPError(req.full_url, code, f"redirected to {newurl[:80]}", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(url: str, path: str, limits: Limits, said: Callable[[str], None], *, code: str, fix: str) -> str:
    """Write what the URL holds to `path`. Raises FileNotFoundError if it is not there, else `code`."""
    size = 0
    opener = urllib.request.build_opener(_SameScheme)
    try:
        with opener.open(url, timeout=limits.silence) as answer, open(path, "wb") as file:
            length = str(answer.headers.get("Content-Length", ""))
            meter = Meter(os.path.basename(url), int(length) if length.isdecimal() else 0, said)
            while piece := answer.read(PIECE):
                size += len(piece)
                if time.monotonic() > limits.deadline or size > limits.largest:
                    raise AiboxError(code, f"{url} took longer than its time or is too large", fix=fix)
                file.write(piece)
                meter.add(len(piece))
            meter.end()
    except urllib.error.HTTPError as error:
        if error.code == 404:
            raise FileNotFoundError(url) from error
        raise AiboxError(code, f"{url}: HTTP status {error.code}", fix=fix) from error
    except OSError as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, FileNotFoundError) or "[Errno 2]" in str(reason):  # urllib of some releases has the text
            raise FileNotFoundError(url) from error
        raise AiboxError(code, f"{url}: {reason}", fix=fix) from error
    return path
