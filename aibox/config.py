"""Configuration and policy: file contents, variables and flags in; typed values with their origins out. Pure.

Precedence: default, system file, user file, `AIBOX_*` variable, flag; later wins. A file in a workspace is never a
source. The policy is separate: it can only refuse, and no variable or flag changes it.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from aibox.configkeys import KEYS, POLICY_KEYS, Row, Value, convert, from_text, invalid, show, shown, unknown
from aibox.imageref import matches, parse_image
from aibox.imagevariants import of_variant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SYSTEM_CONFIG = "/etc/aibox/config.yaml"
POLICY_FILE = "/etc/aibox/policy.yaml"
# Variables that are no configuration keys: where the zipapp unpacks itself.
INTERNAL_ENV = ("AIBOX_CACHE",)


class Origin(NamedTuple):
    """Where a value comes from. `kind`: default, system, user, env or flag; `name`: the file, variable or flag."""

    kind: str
    name: str = ""
    line: int = 0

    def __str__(self) -> str:
        """As `config show` prints it: `/etc/aibox/config.yaml:3`, `AIBOX_ENGINE`, `--engine` or `default`."""
        return f"{self.name}:{self.line}" if self.line else self.name or self.kind


class ConfigFile(NamedTuple):
    """A configuration file that was read; `kind` is system or user."""

    kind: str
    path: str
    content: bytes


class Config(NamedTuple):
    """All settings. Sizes are bytes, timeouts seconds; 0 as a limit means none. `origins` is keyed by dotted path."""

    engine: str
    engine_path: str
    image: str
    variant: str
    mirror: str
    runtime: str
    platform: str
    runsc_path: str
    memory: int
    cpus: float
    pids: int
    shm: int
    pull: str
    signing_key: str
    program_url: str
    start_timeout: int
    stop_timeout: int
    caches: tuple[str, ...]
    log_format: str
    origins: Mapping[str, Origin]


class Policy(NamedTuple):
    """What the host's administrator allows; None: no bound. An empty tuple allows nothing.

    The defaults hold where no policy file exists: everything but the fallback to runc or crun, because requirement R4
    wants that to be an explicit choice of the administrator. `require_mac` and `require_signature` need facts about
    the host and the image, so `policy_violations` does not check them.
    """

    allowed_images: tuple[str, ...] | None = None
    allowed_registries: tuple[str, ...] | None = None
    fallback_runtime: bool = False
    require_mac: str = "none"
    max_memory: int | None = None
    max_cpus: float | None = None
    max_pids: int | None = None
    workspace_roots: tuple[str, ...] | None = None
    require_signature: bool = False
    signing_key: str | None = None


def load_config(
    files: Iterable[ConfigFile], *, environ: Mapping[str, str], flags: Mapping[str, str] | None = None
) -> Config:
    """Merge all sources. `files` in rising precedence; `flags` maps dotted paths to the text that was typed.

    Every source is checked, also where a later one wins. Errors: `config-invalid`, `config-unknown-key`,
    `yaml-refused`.
    """
    values: dict[str, Value] = {row.name: row.default for row in KEYS}
    origins = {row.path: Origin("default") for row in KEYS}
    for file in files:
        from aibox.settingsfile import read  # most hosts have no such file

        for row, value, line in read(KEYS, file.content, file.path):
            values[row.name], origins[row.path] = value, Origin(file.kind, file.path, line)
    _refuse_unknown_variables(environ)
    typed = flags or {}
    for row in KEYS:
        if row.env in environ:
            values[row.name] = _from_outside(row, environ[row.env], row.env, f"correct or unset {row.env}")
            origins[row.path] = Origin("env", row.env)
        if row.path in typed:
            values[row.name] = _from_outside(row, typed[row.path], row.flag, f"correct {row.flag}")
            origins[row.path] = Origin("flag", row.flag)
    if origins["image"].kind == "default":
        values["image"] = of_variant(_text(values["image"]), _text(values["variant"]))
    return Config(
        engine=_text(values["engine"]),
        engine_path=_text(values["engine_path"]),
        image=_text(values["image"]),
        variant=_text(values["variant"]),
        mirror=_text(values["mirror"]),
        runtime=_text(values["runtime"]),
        platform=_text(values["platform"]),
        runsc_path=_text(values["runsc_path"]),
        memory=_whole(values["memory"]),
        cpus=_decimal(values["cpus"]),
        pids=_whole(values["pids"]),
        shm=_whole(values["shm"]),
        pull=_text(values["pull"]),
        signing_key=_text(values["signing_key"]),
        program_url=_text(values["program_url"]),
        start_timeout=_whole(values["start_timeout"]),
        stop_timeout=_whole(values["stop_timeout"]),
        caches=_names(values["caches"]),
        log_format=_text(values["log_format"]),
        origins=MappingProxyType(origins),
    )


def config_rows(config: Config) -> tuple[tuple[str, str, str], ...]:
    """Key, value and origin of every setting, for `config show`."""
    values = config._asdict()
    return tuple((row.path, show(row, values[row.name]), str(config.origins[row.path])) for row in KEYS)


def load_policy(content: bytes, *, source: str = POLICY_FILE) -> Policy:
    """The policy in a file's bytes; a host without a policy file has `Policy()`.

    Errors: as `load_config`; also for a file without any key, which a full disk can leave behind.
    """
    from aibox.settingsfile import read

    values: dict[str, Value] = {row.name: row.default for row in POLICY_KEYS}
    written = {row.name: value for row, value, _line in read(POLICY_KEYS, content, source)}
    if not written:
        fix = "write a key such as 'fallback_runtime: false', or remove the file"
        invalid(source, "the policy file holds no key", "at least one", fix)
    values.update(written)
    return Policy(
        allowed_images=_optional_names(values["allowed_images"]),
        allowed_registries=_optional_names(values["allowed_registries"]),
        fallback_runtime=values["fallback_runtime"] is True,
        require_mac=_text(values["require_mac"]),
        max_memory=None if values["max_memory"] is None else _whole(values["max_memory"]),
        max_cpus=None if values["max_cpus"] is None else _decimal(values["max_cpus"]),
        max_pids=None if values["max_pids"] is None else _whole(values["max_pids"]),
        workspace_roots=_optional_names(values["workspace_roots"]),
        require_signature=values["require_signature"] is True,
        signing_key=None if values["signing_key"] is None else _text(values["signing_key"]),
    )


def policy_violations(config: Config, policy: Policy, workspace: str) -> list[tuple[str, str]]:
    """The policy keys that this configuration breaks, each with a message; `workspace` is absolute, symlinks resolved.

    `require_mac` and `require_signature` are checked where their facts are known.
    """
    found = list(_image_violations(config.image, policy))
    if config.runtime != "runsc" and not policy.fallback_runtime:
        message = f"runtime {config.runtime} is a fallback, which {POLICY_FILE} has to allow"
        found.append(("fallback_runtime", message))
    ceilings: tuple[tuple[str, float, float | None], ...] = (
        ("memory", config.memory, policy.max_memory),
        ("cpus", config.cpus, policy.max_cpus),
        ("pids", config.pids, policy.max_pids),
    )
    for name, value, ceiling in ceilings:
        if ceiling is not None and not 0 < value <= ceiling:
            row = next(row for row in KEYS if row.name == name)
            shown = show(row, value) if value else "unlimited"
            message = f"{row.path} is {shown} ({config.origins[row.path]}); the ceiling is {show(row, ceiling)}"
            found.append((f"max_{name}", message))
    roots = policy.workspace_roots
    if roots is not None and not any(_lies_in(workspace, root) for root in roots):
        found.append(("workspace_roots", f"{workspace!r} does not lie in {' or '.join(roots) or 'any folder'}"))
    return found


def _image_violations(image: str, policy: Policy) -> Iterator[tuple[str, str]]:
    if policy.allowed_images is None and policy.allowed_registries is None:
        return
    reference = parse_image(image)
    patterns, registries = policy.allowed_images, policy.allowed_registries
    if patterns is not None and not any(matches(pattern, reference.exact) for pattern in patterns):
        yield "allowed_images", f"image {reference.exact} matches none of: {', '.join(patterns) or '(empty list)'}"
    if registries is None:
        return
    if not reference.registry:
        yield "allowed_registries", f"image {image} names no registry, so the engine would choose one"
    elif reference.registry not in registries:
        allowed = ", ".join(registries) or "(empty list)"
        yield "allowed_registries", f"registry {reference.registry} is none of: {allowed}"


def _lies_in(path: str, root: str) -> bool:
    if not path.startswith("/") or ".." in path.split("/"):
        return False
    return path == root or path.startswith(root.rstrip("/") + "/")


def _from_outside(row: Row, text: str, where: str, fix: str) -> Value:
    try:
        return convert(row, from_text(row, text))
    except ValueError as error:
        invalid(where, f"wrong value {shown(text)} for {row.path}", str(error), fix)


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    known = tuple(row.env for row in KEYS)
    for name in sorted(environ):
        if name.startswith("AIBOX_") and name not in known and name not in INTERNAL_ENV:
            unknown(f"unknown environment variable {shown(name)}", name, known)


# The tables of keys promise these types.


def _text(value: Value) -> str:
    assert isinstance(value, str)
    return value


def _whole(value: Value) -> int:
    assert isinstance(value, int)
    return value


def _decimal(value: Value) -> float:
    assert isinstance(value, float)
    return value


def _names(value: Value) -> tuple[str, ...]:
    assert isinstance(value, tuple)
    return value


def _optional_names(value: Value) -> tuple[str, ...] | None:
    return None if value is None else _names(value)
