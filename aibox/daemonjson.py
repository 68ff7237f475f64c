"""Docker's daemon.json with aibox's runtime in it, and everything else as it was. Pure."""

import json

from aibox import jsonview
from aibox.engines.dialect import RUNTIME_KEY
from aibox.errors import AiboxError
from aibox.jsonview import Json

INDENT = "  "


def parse(content: bytes | None) -> dict[str, Json]:
    """The file's object; empty for no file. Raises setup-failed for what dockerd itself would not read alike."""
    if content is None or not content.strip():
        return {}
    try:
        found: Json = json.loads(content.decode("utf-8"), object_pairs_hook=jsonview.once)
    except (ValueError, RecursionError) as error:
        raise _unfit(str(error)) from error
    runtimes = found.get("runtimes", {}) if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(runtimes, dict):
        raise AiboxError(
            "setup-failed",
            "/etc/docker/daemon.json is not an object, or its runtimes are not",
            why="dockerd would not read it either",
            fix="correct the file, then: aibox setup --engine docker",
        )
    return found


def path_of(content: bytes | None) -> str:
    """The program that the file names for aibox's runtime, without any arguments; else empty. Raises setup-failed."""
    entry = jsonview.fields(parse(content), "runtimes", RUNTIME_KEY)
    return jsonview.text(entry, "path") if set(entry) == {"path"} else ""


def merged(content: bytes | None, program: str) -> bytes:
    """The file with aibox's one key set; all others keep their values and their order. Raises setup-failed."""
    found = parse(content)
    found["runtimes"] = {**jsonview.fields(found, "runtimes"), RUNTIME_KEY: {"path": program}}
    indent = jsonview.indent((content or b"").decode("utf-8", "replace"), INDENT)
    try:
        written = json.dumps(found, indent=indent, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError) as error:
        # NaN and Infinity, which Python reads and dockerd does not; or nested too deeply
        raise _unfit(str(error)) from error
    # half of a surrogate pair cannot be written but as the escape that it was read from
    return f"{written}\n".encode("utf-8", "backslashreplace")


def _unfit(why: str) -> AiboxError:
    return AiboxError(
        "setup-failed",
        "/etc/docker/daemon.json is not JSON that aibox may change",
        why=why,
        fix="correct the file (JSON has no comments, and each name once), then: aibox setup --engine docker",
    )
