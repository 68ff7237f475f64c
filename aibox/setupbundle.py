"""Setup from a bundle: everything is checked in a folder of aibox's own before the first step sees any of it."""

import os
import shutil
from typing import NamedTuple

from aibox import bundleread, configfiles, signing, state
from aibox.bundleformat import IMAGE, RUNSC, Manifest
from aibox.bundleread import Opened, Told
from aibox.config import POLICY_FILE
from aibox.context import Context
from aibox.errors import AiboxError
from aibox.signing import Key
from aibox.state import Paths


class Bundle(NamedTuple):
    """A bundle as setup's steps use it; `folder` holds its checked files, and is empty in a dry run."""

    manifest: Manifest
    folder: str
    signed_by: str

    @property
    def runsc(self) -> str:
        """The checked runsc."""
        return f"{self.folder}/{RUNSC}"

    @property
    def runsc_digest(self) -> str:
        """As `runtimefiles.program_digest` of the bundle's runsc."""
        members = self.manifest.runsc
        if len(members) == 1:
            return members[0].sha256
        first = self.manifest.member(RUNSC)
        others = sorted((one for one in members if one is not first), key=lambda one: one.name)
        rows = [f"{os.path.basename(one.name)} {one.sha256}\n" for one in (first, *others)]
        return state.sha256("".join(rows).encode())

    @property
    def image(self) -> str:
        """The checked archive of the image."""
        return f"{self.folder}/{IMAGE}"


def key_for(context: Context) -> Key | None:
    """The key that a bundle's signature is checked with: the policy's before any other, or none.

    Raises policy-refused where policy demands signatures and names no key: one of the caller's choice proves nothing.
    """
    if context.policy.signing_key:
        path = context.policy.signing_key
        content = configfiles.read_trusted(path, code="policy-untrusted")
        return Key(path, content, context.env) if content else signing.load(path, context.env)
    if context.policy.require_signature:
        raise AiboxError(
            "policy-refused",
            "the host's policy demands signed bundles, and names no key to check them with",
            why=f"{POLICY_FILE}: require_signature without signing_key",
            fix="have the administrator of this host add signing_key",
        )
    return signing.load(context.config.signing_key, context.env) if context.config.signing_key else None


def look(context: Context, path: str) -> Bundle:
    """The bundle's head alone, for a dry run."""
    with bundleread.opened(path, key_for(context)) as bundle:
        _require_machine(bundle)
        return Bundle(bundle.manifest, "", bundle.signed_by)


def folder_of(paths: Paths) -> str:
    """Where bundles are unpacked and checked."""
    return f"{paths.data}/bundle"


def stage(context: Context, path: str, told: Told) -> Bundle:
    """Unpack and check all of the bundle; files that an interrupted run had checked are summed again and kept.

    A bundle that is wrong leaves nothing behind. Raises what reading one raises, and state-unwritable.
    """
    with bundleread.opened(path, key_for(context)) as bundle:
        _require_machine(bundle)
        folder = f"{folder_of(context.paths)}/{bundle.digest[:16]}"
        try:
            state.make_folder(folder)
            _forget_others(context.paths, bundle.digest[:16])
            _require_space(bundle, folder)
            _unpack(bundle, folder, told)
        except AiboxError:
            discard(context.paths)
            raise
        except OSError as error:
            raise AiboxError(
                "state-unwritable",
                f"{folder} cannot be written",
                why=error.strerror or str(error),
                fix="free some space",
            ) from error
        return Bundle(bundle.manifest, folder, bundle.signed_by)


def _unpack(bundle: Opened, folder: str, told: Told) -> None:
    for member in bundle.manifest.members:
        target = f"{folder}/{member.name}"
        if _have(target, member.size, member.sha256):
            bundleread.skip(bundle, member)
            told(member.size)
            continue
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        with open(f"{target}.new", "wb") as file:
            bundleread.copy(bundle, member, file, told)
            file.flush()
            os.fchmod(file.fileno(), member.mode)
            os.fsync(file.fileno())
        os.replace(f"{target}.new", target)
    bundleread.finish(bundle)


def _have(path: str, size: int, sha256: str) -> bool:
    try:
        return os.lstat(path).st_size == size and state.sha256_file(path) == sha256
    except OSError:
        return False


def _require_machine(bundle: Opened) -> None:
    here = os.uname().machine
    if bundle.manifest.machine != here:
        raise AiboxError(
            "host-unsupported",
            f"{bundle.path} is for {bundle.manifest.machine}, and this host is {here}",
            why="runsc and the image are for one kind of processor",
            fix=f"make a bundle on a host of the kind {here}",
        )


def _require_space(bundle: Opened, folder: str) -> None:
    free = shutil.disk_usage(folder).free
    staged = sum(os.path.getsize(f"{place}/{name}") for place, _, names in os.walk(folder) for name in names)
    if free + staged < bundle.total:
        raise AiboxError(
            "state-unwritable",
            f"{folder} has too little space for the bundle",
            why=f"{bundle.total} bytes are needed, {free} are free",
            fix="free some space",
        )


def _forget_others(paths: Paths, name: str) -> None:
    for other in os.listdir(folder_of(paths)):
        if other != name:
            shutil.rmtree(f"{folder_of(paths)}/{other}", ignore_errors=True)


def discard(paths: Paths) -> None:
    """Remove what was unpacked."""
    shutil.rmtree(folder_of(paths), ignore_errors=True)
