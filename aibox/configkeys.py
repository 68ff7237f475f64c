"""The tables of configuration and policy keys, and how a written value becomes a typed one. Pure.

Help, `config show`, the JSON Schemas and the reference are all made from these rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, NoReturn, TypeAlias

from aibox.errors import AiboxError
from aibox.imageref import check_registry, parse_image
from aibox.imagevariants import DEFAULT_IMAGE, NAMES

if TYPE_CHECKING:
    from aibox.yamlreader import Plain

Value: TypeAlias = "str | int | float | bool | tuple[str, ...] | None"

CACHES = ("maven", "gradle", "npm", "bazel", "pip", "go", "cargo")
MIB = 1 << 20
GIB = 1 << 30
_UNITS = {"K": 1 << 10, "M": MIB, "G": GIB, "T": 1 << 40}
_MAX_SIZE = 1 << 50
_LISTS = ("names", "patterns", "registries", "folders")


class Row(NamedTuple):
    """One key.

    `name` is its field in Config or Policy, `path` its place in the file; `kind` says how it is written (see
    `convert`); `locked_by` names the policy keys that bound it; `unlimited`: 0 is allowed and means no limit.
    A policy key has neither `env` nor `flag`: only the root-owned file sets it.
    """

    name: str
    path: str
    kind: str
    default: Value
    meaning: str
    env: str = ""
    flag: str = ""
    choices: tuple[str, ...] = ()
    minimum: float = 0
    maximum: float = 0
    unlimited: bool = False
    locked_by: tuple[str, ...] = ()


KEYS: tuple[Row, ...] = (
    Row("engine", "engine", "choice", "auto",
        "container engine; auto: Docker where its daemon is and Podman is not, else Podman", "AIBOX_ENGINE", "--engine",
        choices=("auto", "podman", "docker")),
    Row("engine_path", "engine_path", "path", "", "the engine's program; empty: searched in the system's folders",
        "AIBOX_ENGINE_PATH", "--engine-path"),
    Row("image", "image", "image", DEFAULT_IMAGE, "image of new boxes", "AIBOX_IMAGE", "--image",
        locked_by=("allowed_images", "allowed_registries", "require_signature")),
    Row("variant", "variant", "choice", "base", "toolchains of the image, where `image` is not set", "AIBOX_VARIANT",
        "--variant", choices=NAMES),
    Row("mirror", "mirror", "url", "", "archive of the packages of local images; empty: the distribution's",
        "AIBOX_MIRROR", "--mirror"),
    Row("runtime", "runtime", "choice", "runsc", "OCI runtime; runc and crun are a fallback that policy has to allow",
        "AIBOX_RUNTIME", "--runtime", choices=("runsc", "runc", "crun"), locked_by=("fallback_runtime", "require_mac")),
    Row("platform", "platform", "choice", "auto", "gVisor platform; auto is systrap", "AIBOX_PLATFORM", "--platform",
        choices=("auto", "systrap", "kvm", "ptrace")),
    Row("runsc_path", "runsc_path", "path", "", "the runsc program; empty: searched in the system's folders",
        "AIBOX_RUNSC_PATH", "--runsc-path"),
    Row("memory", "limits.memory", "size", 8 * GIB, "memory of a box", "AIBOX_LIMITS_MEMORY", "--memory",
        minimum=64 * MIB, maximum=_MAX_SIZE, unlimited=True, locked_by=("max_memory",)),
    Row("cpus", "limits.cpus", "decimal", 4.0, "processors of a box", "AIBOX_LIMITS_CPUS", "--cpus",
        minimum=0.01, maximum=4096, unlimited=True, locked_by=("max_cpus",)),
    Row("pids", "limits.pids", "integer", 4096, "processes and threads of a box", "AIBOX_LIMITS_PIDS", "--pids",
        minimum=16, maximum=4194304, unlimited=True, locked_by=("max_pids",)),
    Row("shm", "limits.shm", "size", 256 * MIB, "shared memory of a box", "AIBOX_LIMITS_SHM", "--shm",
        minimum=MIB, maximum=_MAX_SIZE),
    Row("pull", "pull", "choice", "missing", "when to pull the image", "AIBOX_PULL", "--pull",
        choices=("missing", "never", "always")),
    Row("signing_key", "signing_key", "path", "", "file with the public key that signs bundles and aibox's updates",
        "AIBOX_SIGNING_KEY", "--signing-key", locked_by=("signing_key",)),
    Row("program_url", "program_url", "url", "", "where aibox's own update comes from, with .sha256 and .sig beside it",
        "AIBOX_PROGRAM_URL", "--program-url", choices=("https", "file")),
    Row("start_timeout", "start_timeout", "integer", 90, "seconds until a start counts as failed",
        "AIBOX_START_TIMEOUT", "--start-timeout", minimum=1, maximum=3600),
    Row("stop_timeout", "stop_timeout", "integer", 10, "seconds for processes to end before they are killed",
        "AIBOX_STOP_TIMEOUT", "--stop-timeout", minimum=1, maximum=3600),
    Row("caches", "caches", "names", CACHES, "tools that get a cache volume", "AIBOX_CACHES", "--caches",
        choices=CACHES),
    Row("log_format", "log_format", "choice", "text", "format of messages on stderr",
        "AIBOX_LOG_FORMAT", "--log-format", choices=("text", "json")),
)  # fmt: skip

POLICY_KEYS: tuple[Row, ...] = (
    Row("allowed_images", "allowed_images", "patterns", None,
        "images that may be used; `*` stops at '/'; `**` does not"),
    Row("allowed_registries", "allowed_registries", "registries", None, "registries that images may come from"),
    Row("fallback_runtime", "fallback_runtime", "boolean", False,
        "whether runc and crun may be used instead of gVisor"),
    Row("require_mac", "require_mac", "choice", "none", "the Linux security module that has to confine boxes",
        choices=("none", "any", "apparmor", "selinux")),
    Row("max_memory", "max_memory", "size", None, "ceiling of limits.memory", minimum=64 * MIB, maximum=_MAX_SIZE),
    Row("max_cpus", "max_cpus", "decimal", None, "ceiling of limits.cpus", minimum=0.01, maximum=4096),
    Row("max_pids", "max_pids", "integer", None, "ceiling of limits.pids", minimum=16, maximum=4194304),
    Row("workspace_roots", "workspace_roots", "folders", None, "folders that workspaces have to lie in"),
    Row("require_signature", "require_signature", "boolean", False,
        "whether images and bundles need a valid signature"),
    Row("signing_key", "signing_key", "path", None, "file with the public key that bundles have to be signed with"),
)  # fmt: skip


def is_list(row: Row) -> bool:
    """Whether the key holds a list."""
    return row.kind in _LISTS


def from_text(row: Row, text: str) -> Plain:
    """What a variable or flag holds, as the YAML file would hold it; a list is separated by commas."""
    if is_list(row):
        return [part.strip() for part in text.split(",")] if text else []
    digits = text.replace(".", "", 1) if row.kind == "decimal" else text
    if row.kind in {"integer", "decimal"} and digits.isascii() and digits.isdecimal() and len(digits) <= 20:
        return float(text) if "." in text else int(text)
    return text


def convert(row: Row, raw: Plain) -> Value:
    """The typed value of a key. Raises ValueError, whose text says what is expected."""
    if not is_list(row):
        return convert_item(row, raw)
    if not isinstance(raw, list):
        raise ValueError(expected(row))
    items: list[str] = []
    for part in raw:
        item = convert_item(row, part)
        if not isinstance(item, str) or item in items:
            raise ValueError(f"{expected(row)}, each once")
        items.append(item)
    # The order of names must not make two plans differ.
    return tuple(sorted(items, key=row.choices.index)) if row.choices else tuple(items)


def convert_item(row: Row, raw: Plain) -> Value:
    """As `convert`; for a list key, one of its items."""
    if row.kind == "boolean" and isinstance(raw, bool):
        return raw
    number = _number(row, raw)
    if number is not None and ((row.unlimited and number == 0) or row.minimum <= number <= row.maximum):
        return number if row.kind != "decimal" else float(number)
    if row.kind in _TEXT_CHECKS and isinstance(raw, str):
        problem = _TEXT_CHECKS[row.kind](row, raw)
        if problem is None:
            return raw
        raise ValueError(f"{expected(row)}{'; ' if problem else ''}{problem}")
    raise ValueError(expected(row))


def expected(row: Row) -> str:
    """What a value of this key looks like, for messages and help."""
    zero = ", or 0 for no limit" if row.unlimited else ""
    if row.kind == "size":
        return f"a size from {show(row, int(row.minimum))} on, such as 512M or 8G{zero}"
    if row.kind in {"integer", "decimal"}:
        number = "a whole number" if row.kind == "integer" else "a number"
        return f"{number} from {row.minimum:g} to {int(row.maximum)}{zero}"
    choices = ", ".join(row.choices)
    return {
        "choice": f"one of {choices}",
        "path": "an absolute path without '..', or empty",
        "url": f"a URL that begins with {' or '.join(f'{scheme}://' for scheme in schemes(row))}, or empty",
        "image": "an image reference such as harbor.internal/aibox/base:24.04",
        "boolean": "true or false",
        "names": f"a list of names out of {choices}",
        "patterns": "a list of image references, with `*` and `?` as wildcards",
        "registries": "a list of registries such as harbor.internal or localhost:5000",
        "folders": "a list of absolute folders without '..'",
    }[row.kind]


def show(row: Row, value: Value) -> str:
    """The value as it would be written in the file."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(value)
    if row.kind == "size" and isinstance(value, int):
        for unit, factor in reversed(_UNITS.items()):
            if value and value % factor == 0:
                return f"{value // factor}{unit}"
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _number(row: Row, raw: Plain) -> int | float | None:
    if isinstance(raw, bool) or row.kind not in {"size", "integer", "decimal"}:
        return None
    if isinstance(raw, int) or (isinstance(raw, float) and row.kind == "decimal"):
        return raw
    return _size(raw) if isinstance(raw, str) and row.kind == "size" else None


def _size(text: str) -> int:
    """Bytes of a size such as 512M (units of 1024); -1 if it is none."""
    factor = _UNITS.get(text[-1:].upper(), 1)
    digits = text[:-1] if factor > 1 else text
    return int(digits) * factor if digits.isascii() and digits.isdecimal() and len(digits) <= 20 else -1


def is_clean_path(text: str) -> bool:
    """Absolute, printable, and without empty, '.' or '..' parts ('/' itself is clean)."""
    parts = text.split("/")[1:]
    return text.isprintable() and (text == "/" or (text[:1] == "/" and not {"", ".", ".."}.intersection(parts)))


def _choice_problem(row: Row, text: str) -> str | None:
    return None if text in row.choices else ""


def _path_problem(row: Row, text: str) -> str | None:
    empty = row.kind == "path" and not text
    return None if empty or (is_clean_path(text) and (row.kind == "folders" or text != "/")) else ""


def schemes(row: Row) -> tuple[str, ...]:
    """What the URLs of a key may begin with."""
    return row.choices or ("https", "http", "file")


def _url_problem(row: Row, text: str) -> str | None:
    scheme, _, rest = text.partition("://")
    plain = text.isascii() and text.isprintable() and not set(text) & set(" '\"\\`$<>")
    fits = rest[:1] == "/" if scheme == "file" else rest[:1].isalnum()
    return None if not text or (plain and fits and scheme in schemes(row)) else ""


def _image_problem(_row: Row, text: str) -> str | None:
    try:
        parse_image(text)
    except ValueError as error:
        return str(error)
    return None


def _registry_problem(_row: Row, text: str) -> str | None:
    try:
        check_registry(text)
    except ValueError as error:
        return str(error)
    return None


def _pattern_problem(_row: Row, text: str) -> str | None:
    # Other glob syntax, such as [a-z], would silently match nothing.
    allowed = text.isascii() and text.replace("*", "").replace("?", "").translate(_PATTERN_MARKS).isalnum()
    return None if allowed or (text and not text.strip("*?/")) else ""


_PATTERN_MARKS = str.maketrans(dict.fromkeys("/:.@_-", "a"))
_TEXT_CHECKS = {
    "choice": _choice_problem,
    "names": _choice_problem,
    "path": _path_problem,
    "folders": _path_problem,
    "image": _image_problem,
    "url": _url_problem,
    "registries": _registry_problem,
    "patterns": _pattern_problem,
}


# Errors.


def invalid(where: str, what: str, wanted: str, fix: str) -> NoReturn:
    """Refuse a value. Raises config-invalid."""
    raise AiboxError("config-invalid", f"{where}: {what}", why=f"expected {wanted}", fix=fix)


def unknown(what: str, name: str, known: tuple[str, ...]) -> NoReturn:
    """Refuse a key or variable, with the nearest known one. Raises config-unknown-key."""
    import difflib

    if name in known:
        section, _, leaf = name.rpartition(".")
        fix = f"write '{section}:' and, indented below it, '{leaf}: ...'"
    else:
        close = difflib.get_close_matches(name[:80], known, 1)
        fix = f"did you mean {close[0]}?" if close else f"known are: {', '.join(known)}"
    raise AiboxError("config-unknown-key", what, why="aibox refuses what it would have to ignore", fix=fix)


def shown(raw: Plain) -> str:
    """A wrong value in a message: on one line, and not too long."""
    if raw is None or isinstance(raw, bool):
        return "null" if raw is None else str(raw).lower()
    text = "a mapping" if isinstance(raw, dict) else repr(raw)
    return text if len(text) <= 80 else f"{text[:76]} ..."
