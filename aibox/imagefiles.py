"""What an image says of its packages, read out of a container that is never started, and the SBOM made of it."""

import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aibox import __version__, jsonview, sbom, state
from aibox.errors import AiboxError

if TYPE_CHECKING:
    from aibox.enginecalls import EngineCalls
    from aibox.jsonview import Json
    from aibox.state import Paths

STATUS, OS_RELEASE, SUMS, DOCS = (
    "var/lib/dpkg/status",
    "usr/lib/os-release",
    "usr/share/aibox/packages",
    "usr/share/doc",
)
PLACES = (STATUS, OS_RELEASE, SUMS, DOCS)
COPY_SECONDS = 300.0
LARGEST = 64 << 20  # bytes of one file: an image may hold anything
FOLDER = "sbom"


def sbom_path(paths: "Paths", identifier: str) -> str:
    """Where the SBOM of an image that was built here lies."""
    return f"{paths.data}/{FOLDER}/{identifier[:12]}.spdx.json"


def document(calls: "EngineCalls", reference: str) -> "Json":
    """The SBOM of a local image. Raises image-missing, or sbom-failed for an image without dpkg."""
    record = calls.image_record(reference)
    if record is None:
        raise AiboxError("image-missing", f"the image {reference} is not on this host", fix="aibox image list")
    files: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="aibox-sbom-") as folder:
        for place, archive in copied(calls, reference, folder):
            files |= texts_of(archive, place.rpartition("/")[0])
    if STATUS not in files:
        raise AiboxError(
            "sbom-failed",
            f"{reference} has no list of packages that aibox can read",
            why=f"there is no /{STATUS}: it is no image of Debian or Ubuntu",
            fix="ask its builder for the SBOM",
        )
    identifier = jsonview.text(record, "Id").removeprefix("sha256:")
    system = dict(line.partition("=")[::2] for line in files.get(OS_RELEASE, "").splitlines())
    subject = sbom.Subject(
        reference,
        identifier,
        _second(jsonview.text(record, "Created")),
        system.get("ID", "").strip('"'),
        system.get("VERSION_ID", "").strip('"'),
        f"aibox-{__version__}",
    )
    return sbom.document(subject, packages(files))


def packages(files: dict[str, str]) -> list[sbom.Package]:
    """The installed packages, with sums and licences, of files by their paths."""
    found = sbom.with_sums(sbom.installed(files[STATUS]), files.get(SUMS, ""))
    return [one._replace(licenses=sbom.licenses(files.get(f"{DOCS}/{one.name}/copyright", ""))) for one in found]


def copied(calls: "EngineCalls", reference: str, folder: str) -> Iterator[tuple[str, str]]:
    """Copies of the places in the image that are there, each as a tar archive whose root is the place's folder."""
    with unstarted(calls, reference, COPY_SECONDS) as container:
        for number, place in enumerate(PLACES):
            archive = f"{folder}/{number}.tar"
            with open(archive, "wb") as file:
                argv = [*calls.engine.argv, "cp", f"{container}:/{place}", "-"]
                result = calls.stream(argv, COPY_SECONDS, stdout_to=file.fileno())
            if result.code == 0 and os.path.getsize(archive):
                yield place, archive


@contextmanager
def unstarted(calls: "EngineCalls", reference: str, seconds: float) -> Iterator[str]:
    """A container of an image that is never started, gone afterwards; `seconds` to make it. Raises engine-failed."""
    create = [*calls.engine.argv, "create", "--network", "none", reference, "true"]
    container = calls.change(create, timeout=seconds).text().strip()
    try:
        yield container
    finally:
        calls.run([*calls.engine.argv, "rm", "--force", "--volumes", container])


def texts_of(archive: str, above: str = "") -> dict[str, str]:
    """`texts` of an archive that an engine wrote. Raises engine-garbage."""
    try:
        with tarfile.open(archive) as tar:
            return dict(texts(tar, above))
    except (tarfile.TarError, ValueError, KeyError, EOFError) as error:
        raise AiboxError("engine-garbage", "the engine copied nothing that aibox can read", why=str(error)) from error


def texts(tar: tarfile.TarFile, above: str = "") -> Iterator[tuple[str, str]]:
    """The files that matter, by their paths in the image; `above` is the folder that the archive's root stands for."""
    whole: dict[str, str] = {}
    links: dict[str, str] = {}
    for member in tar:
        path = os.path.normpath(f"{above}/{member.name}").strip("/")
        if member.issym() and path.startswith(f"{DOCS}/"):
            links[path] = os.path.normpath(f"{os.path.dirname(path)}/{member.linkname}").strip("/")
        content = tar.extractfile(member) if _wanted(path) and (member.isreg() or member.islnk()) else None
        if content:
            whole[path] = content.read(LARGEST).decode("utf-8", "replace")
    yield from whole.items()
    for path, target in links.items():  # a package may share the folder of another one, or a file of it
        name = path if path.endswith("/copyright") else f"{path}/copyright"
        found = whole.get(target if path == name else f"{target}/copyright")
        if found is not None:
            yield name, found


def _wanted(path: str) -> bool:
    return path in (STATUS, OS_RELEASE, SUMS) or (path.startswith(f"{DOCS}/") and path.endswith("/copyright"))


def _second(stamp: str) -> str:
    """A time as SPDX wants it: whole seconds, UTC."""
    return f"{stamp[:19]}Z" if len(stamp) >= 20 and stamp[10] == "T" else "1970-01-01T00:00:00Z"


def keep(paths: "Paths", calls: "EngineCalls", reference: str, identifier: str) -> str:
    """Write the SBOM of an image that was built, forget those of images that are gone; returns the path."""
    path = sbom_path(paths, identifier)
    content = document(calls, reference)
    folder = os.path.dirname(path)
    state.make_folder(folder)
    for name in os.listdir(folder):
        if calls.image_record(name.partition(".")[0]) is None:
            state.remove_file(f"{folder}/{name}")
    state.write_atomically(path, (jsonview.dump(content) + "\n").encode(), 0o644)
    return path
