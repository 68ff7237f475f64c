"""Making a bundle: what this host was set up with, in one file."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from aibox import __version__, assets, bundleformat, runner, runtimefiles, setupimage, signing, state
from aibox.bundleformat import Manifest, Member
from aibox.bundleread import PIECE, Told
from aibox.context import Context, installed_runtime
from aibox.enginecalls import EngineCalls
from aibox.errors import AiboxError
from aibox.plan import Image

SAVE_SECONDS = 1800.0
PARTS = {
    "profiles": ("apparmor-runsc", "apparmor-sandbox"),
    "wrapper": ("wrapper.sh", "launch.py", "session.pl", "init.pl", "verify.pl"),
    "windows": ("aibox.ps1", "aibox.cmd", "install.ps1", "profile.ps1", "setup.ps1"),
}


class Given(NamedTuple):
    """What a bundle is made of: the running program, runsc, the image, and the key to sign with, if any."""

    program: str
    runsc: str
    image: Image
    sign_with: str


def gather(context: Context, calls: EngineCalls, sign_with: str) -> Given:
    """Find the parts. Raises bundle-failed, runtime-missing, runtime-tampered or image-missing."""
    fix = "python3 build_zipapp.py && dist/aibox bundle create -o FILE"
    program = assets.program("bundle-failed", "bundle", fix=fix)
    if context.config.runtime != "runsc":
        raise AiboxError("bundle-failed", "a bundle holds gVisor, never the fallback", fix="remove --runtime")
    runtime, _ = installed_runtime(context)
    record = state.read_record(context.paths.setup_record)
    return Given(program, runtime.program, setupimage.local_image(context, calls, record), sign_with)


def save_command(calls: EngineCalls, image: Image, path: str) -> list[str]:
    """The engine command that writes the image's archive."""
    from aibox.engines.images import save

    return save(calls.engine, image.reference, path)


def small_files(machine: str) -> dict[str, bytes]:
    """The files out of aibox itself, by their names in the bundle: for reading, and for Windows."""
    from aibox import jsonview, seccomp

    files = {
        f"profiles/seccomp-{kind}.json": f"{jsonview.dump(seccomp.profile(kind))}\n".encode()
        for kind in ("runsc", "native")
    }
    for folder, names in PARTS.items():
        files |= {f"{folder}/{name}": assets.read(f"windows/{name}" if folder == "windows" else name) for name in names}
    return files | {f"wrapper/{name}": assets.read(name) for name in (f"session-{machine}.bpf", f"outer-{machine}.bpf")}


def sbom_file(calls: EngineCalls, image: Image, say: Callable[[str], None]) -> dict[str, bytes]:
    """The image's packages (SPDX 2.3), to be read before anything is set up; none for an image without dpkg."""
    from aibox import imagefiles, jsonview

    try:
        document = imagefiles.document(calls, image.reference)
    except AiboxError as error:
        say(f"no SBOM: {error.what}")
        return {}
    return {bundleformat.SBOM: f"{jsonview.dump(document)}\n".encode()}


@contextmanager
def _beside(output: str) -> Iterator[str]:
    """A folder on the same disk as the output; gone afterwards."""
    try:
        folder = tempfile.mkdtemp(prefix=f".{os.path.basename(output)}-", dir=os.path.dirname(output))
    except OSError as error:
        raise _unwritable(output, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def create(
    context: Context, calls: EngineCalls, given: Given, output: str, *, say: Callable[[str], None], told: Told
) -> Manifest:
    """Write the bundle to `output`: afterwards it is there as a whole, or not at all. Raises bundle-failed."""
    machine = os.uname().machine
    with _beside(output) as folder:
        say(f"save {given.image.reference}")
        archive = f"{folder}/image.tar"
        runner.checked(calls.run(save_command(calls, given.image, archive), SAVE_SECONDS), "bundle-failed")
        sources: dict[str, str] = {bundleformat.PROGRAM: given.program}
        small = small_files(machine) | sbom_file(calls, given.image, say)
        for name, content in sorted(small.items()):
            sources[name] = f"{folder}/{name}"
            state.write_atomically(sources[name], content, 0o644)
        beside = os.path.dirname(given.runsc)
        for path in runtimefiles.program_files(given.runsc):
            name = "runsc" if path == given.runsc else path.removeprefix(f"{beside}/")
            sources[f"runsc/{name}"] = path
        sources[bundleformat.IMAGE] = archive
        try:
            members = tuple(_member(name, path) for name, path in sources.items())
            created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            image = given.image
            manifest = Manifest(__version__, created, machine, image.reference, image.identifier, members)
            content = bundleformat.encode(manifest)
            signature = signing.sign(given.sign_with, content, context.env) if given.sign_with else None
            say(f"write {output}")
            _write(f"{folder}/bundle", content, signature, [(member, sources[member.name]) for member in members], told)
            os.replace(f"{folder}/bundle", output)
        except OSError as error:
            raise _unwritable(output, error) from error
    return manifest


def _member(name: str, path: str) -> Member:
    runs = name == bundleformat.PROGRAM or name.startswith("runsc/")
    return Member(name, os.path.getsize(path), state.sha256_file(path), 0o755 if runs else 0o644)


def _write(path: str, manifest: bytes, signature: bytes | None, files: list[tuple[Member, str]], told: Told) -> None:
    head = [(bundleformat.MANIFEST, manifest)]
    head.append((bundleformat.SUMS, bundleformat.sums(manifest, tuple(member for member, _ in files), signature)))
    head += [(bundleformat.SIGNATURE, signature)] if signature is not None else []
    with open(path, "wb") as bundle:
        bundle.writelines(
            part
            for name, content in head
            for part in (bundleformat.header(name, len(content)), content, bundleformat.padding(len(content)))
        )
        for member, source in files:
            bundle.write(bundleformat.header(member.name, member.size, member.mode))
            left = member.size
            with open(source, "rb") as file:
                while piece := file.read(min(PIECE, left)):
                    bundle.write(piece)
                    left -= len(piece)
                    told(len(piece))
            if left:
                raise OSError(f"{source} became shorter while it was read")
            bundle.write(bundleformat.padding(member.size))
        bundle.write(bundleformat.END)
        bundle.flush()
        os.fchmod(bundle.fileno(), 0o644)
        os.fsync(bundle.fileno())


def _unwritable(path: str, error: OSError) -> AiboxError:
    why = error.strerror or str(error)
    return AiboxError("bundle-failed", f"{path} was not written", why=why, fix="name a file on a disk with more space")
