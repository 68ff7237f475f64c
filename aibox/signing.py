"""Detached signatures by the system's own `gpg` or `openssl`: a private key signs, a file with the public key verifies.

Sources: gpg(1), GnuPG's doc/DETAILS (status lines), openssl-pkeyutl(1).
"""

import os
import tempfile
from collections.abc import Mapping
from typing import NamedTuple

from aibox import runner, state
from aibox.errors import AiboxError

SECONDS = 60.0
GPG = "gpg:"
_PEM = b"-----BEGIN PUBLIC KEY-----"
_BAD = ("EXPSIG", "EXPKEYSIG", "REVKEYSIG", "BADSIG", "ERRSIG")


class Key(NamedTuple):
    """A public key: the file it came from, its content (PEM, or exported by gpg), and the environment for programs."""

    path: str
    content: bytes
    env: Mapping[str, str]


def load(path: str, env: Mapping[str, str]) -> Key:
    """Read a public key's file. Raises config-unreadable."""
    content = state.read_bytes(path)
    if not content:
        raise AiboxError(
            "config-unreadable",
            f"the signing key {path} cannot be read",
            why="a signature is checked with the public key in this file",
            fix="export it there: gpg --export --armor KEY, or openssl pkey -pubout",
        )
    return Key(path, content, env)


def sign(how: str, content: bytes, env: Mapping[str, str]) -> bytes:
    """Sign with `gpg:KEY` (a key of the caller's keyring) or the file of a private key. Raises signing-failed."""
    with tempfile.TemporaryDirectory(prefix="aibox-sign-") as folder:
        signed, signature = f"{folder}/content", f"{folder}/signature"
        state.write_atomically(signed, content)
        if how.startswith(GPG):
            name = how.removeprefix(GPG)
            argv = [_program("gpg"), "--batch", "--armor", "--local-user", name, "--output", signature]
            argv += ["--detach-sign", signed]
        else:
            argv = [_program("openssl"), "pkeyutl", "-sign", "-rawin", "-inkey", how, "-in", signed, "-out", signature]
        runner.checked(
            runner.run(argv, timeout=SECONDS, env=env, cwd="/"),
            "signing-failed",
            fix="name a key that is there: --sign-with gpg:FINGERPRINT, or --sign-with FILE with a private key in PEM",
        )
        return state.read_bytes(signature) or b""


def verify(key: Key, content: bytes, signature: bytes | None, what: str) -> str:
    """Who signed `content`, in words. Raises bundle-unsigned where there is no signature, else bundle-untrusted."""
    if not signature:
        raise AiboxError(
            "bundle-unsigned",
            f"{what} is not signed",
            why=f"a signature by the key in {key.path} is demanded",
            fix="have it made with: aibox bundle create --sign-with KEY -o FILE",
        )
    if not is_by(key, content, signature):
        raise AiboxError(
            "bundle-untrusted",
            f"the signature of {what} is not by the key in {key.path}",
            why="it was signed with another key, or changed after it was signed; nothing was installed",
            fix="get the bundle and the key again, each from its maker",
        )
    return f"the key in {key.path}"


def is_by(key: Key, content: bytes, signature: bytes) -> bool:
    """Whether this is a signature of `content` by the key."""
    with tempfile.TemporaryDirectory(prefix="aibox-verify-") as folder:
        files = {"key": key.content, "content": content, "signature": signature}
        for name, data in files.items():
            state.write_atomically(f"{folder}/{name}", data)
        return _openssl(folder, key) if _PEM in key.content else _gpg(folder, key)


def _openssl(folder: str, key: Key) -> bool:
    argv = [_program("openssl"), "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", f"{folder}/key"]
    argv += ["-in", f"{folder}/content", "-sigfile", f"{folder}/signature"]
    return runner.run(argv, timeout=SECONDS, env=key.env, cwd="/").code == 0


def _gpg(folder: str, key: Key) -> bool:
    """A keyring with this key alone; expired and revoked keys do not count, though gpg's exit code would let them."""
    ring = f"{folder}/ring"
    os.mkdir(ring, 0o700)
    gpg = [_program("gpg"), "--homedir", ring, "--batch", "--no-autostart", "--quiet"]
    taken = runner.run([*gpg, "--import", f"{folder}/key"], timeout=SECONDS, env=key.env, cwd="/")
    if taken.code != 0:
        return False
    argv = [*gpg, "--status-fd", "1", "--verify", f"{folder}/signature", f"{folder}/content"]
    result = runner.run(argv, timeout=SECONDS, env=key.env, cwd="/")
    words = [line.split()[1] for line in result.text().splitlines() if line.startswith("[GNUPG:] ")]
    return result.code == 0 and {"GOODSIG", "VALIDSIG"} <= set(words) and not set(_BAD) & set(words)


def _program(name: str) -> str:
    found = runner.find_program(name)
    if not found:
        raise AiboxError(
            "command-missing",
            f"{name} is not installed, and the signature needs it",
            why="aibox has no cryptography of its own",
            fix=f"install the package of {name}: apt-get install {'gnupg' if name == 'gpg' else name}",
        )
    return found
