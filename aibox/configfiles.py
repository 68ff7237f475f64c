"""Reads configuration and policy files, after checking on the open file who could have written it."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, NoReturn

from aibox.config import POLICY_FILE, SYSTEM_CONFIG, ConfigFile, Policy, load_policy
from aibox.errors import AiboxError

if TYPE_CHECKING:
    from collections.abc import Mapping

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def user_config_path(environ: Mapping[str, str]) -> str | None:
    """Where the user's file is: XDG_CONFIG_HOME counts only if absolute, as the XDG specification says."""
    base = environ.get("XDG_CONFIG_HOME", "")
    if not base.startswith("/"):
        home = environ.get("HOME", "")
        if not home.startswith("/"):
            return None
        base = f"{home}/.config"
    return f"{base.rstrip('/')}/aibox/config.yaml"


def read_config_files(environ: Mapping[str, str], *, system_path: str = SYSTEM_CONFIG) -> tuple[ConfigFile, ...]:
    """The configuration files that exist, in rising precedence.

    Both can name programs to run, so: the system file is held to the rules of the policy file, the user's file has to
    belong to the caller or root and be writable by nobody else. Errors: `config-unreadable`.
    """
    found: list[ConfigFile] = []
    content = read_trusted(system_path, code="config-unreadable")
    if content is not None:
        found.append(ConfigFile("system", system_path, content))
    user_path = user_config_path(environ)
    if user_path is not None:
        content = _read_own(user_path)
        if content is not None:
            found.append(ConfigFile("user", user_path, content))
    return tuple(found)


def read_policy(path: str = POLICY_FILE) -> Policy:
    """The host's policy; `Policy()` if there is no file.

    Errors: `policy-untrusted` if somebody who is not root could have written it; `config-unreadable`, `yaml-refused`,
    `config-invalid` or `config-unknown-key` if it cannot be understood. A caller must not go on without it.
    """
    content = read_trusted(path, code="policy-untrusted")
    return Policy() if content is None else load_policy(content, source=path)


def read_trusted(path: str, *, code: str, top: str = "/", owner: int = 0) -> bytes | None:
    """The bytes of `path` if it and every folder from `top` down belong to `owner` alone; None if it does not exist.

    Each part is opened relative to the one before, without following symlinks, and checked on the open descriptor, so
    nothing can be exchanged in between. Raises `code`, or `config-unreadable`. (Other `top` and `owner`: for tests.)
    """
    parts = path.removeprefix(top).strip("/").split("/")
    names = [top, *parts]
    handle: int | None = None
    try:
        for depth, name in enumerate(names):
            shown = f"{top.rstrip('/')}/{'/'.join(parts[:depth])}" if depth else top
            is_file = depth == len(parts)
            flags = _READ if is_file else os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
            opened = os.open(name, flags | os.O_NOFOLLOW, dir_fd=handle)
            if handle is not None:
                os.close(handle)
            handle = opened
            _check(handle, shown, code=code, owners=(owner,), folder=not is_file)
        assert handle is not None
        return _content(handle)
    except FileNotFoundError:
        return None
    except OSError as error:
        # ELOOP: the file is a symlink; ENOTDIR: so is a folder (opened with O_PATH and O_DIRECTORY).
        if error.errno in {errno.ELOOP, errno.ENOTDIR}:
            _distrust(code, path, "it, or a folder above it, is a symlink or not a folder", "put the real file there")
        raise _unreadable(path, error) from None
    finally:
        if handle is not None:
            os.close(handle)


def _read_own(path: str) -> bytes | None:
    """The bytes of the user's file, which may be a symlink (dotfile managers make them)."""
    try:
        handle = os.open(path, _READ)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(path, error) from None
    try:
        _check(handle, path, code="config-unreadable", owners=(0, os.geteuid()), folder=False)
        return _content(handle)
    except OSError as error:
        raise _unreadable(path, error) from None
    finally:
        os.close(handle)


def _check(handle: int, path: str, *, code: str, owners: tuple[int, ...], folder: bool) -> None:
    status = os.fstat(handle)
    if not folder and not stat.S_ISREG(status.st_mode):
        _distrust(code, path, "it is not a regular file", "put a regular file there")
    if status.st_uid not in owners:
        wanted = " or ".join(str(uid) for uid in sorted(set(owners)))
        _distrust(code, path, f"it belongs to uid {status.st_uid}, not to uid {wanted}", f"chown {owners[-1]} {path}")
    # With a POSIX ACL the group bits are the ACL's mask, so this sees those writers too.
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        why = f"its mode {stat.S_IMODE(status.st_mode):04o} lets others than its owner write it"
        _distrust(code, path, why, f"chmod go-w {path}")


def _distrust(code: str, path: str, why: str, fix: str) -> NoReturn:
    raise AiboxError(code, f"refusing to use {path}", why=why, fix=fix)


def _unreadable(path: str, error: OSError) -> AiboxError:
    reason = error.strerror or "unknown error"
    return AiboxError(
        "config-unreadable", f"cannot read {path}", why=reason, fix="make the file and the folders above it readable"
    )


def _content(handle: int) -> bytes:
    """All bytes, or one more than a document may have, so that the reader refuses it."""
    from aibox.yamlreader import MAX_BYTES

    chunks: list[bytes] = []
    left = MAX_BYTES + 1
    while left and (chunk := os.read(handle, left)):
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)
