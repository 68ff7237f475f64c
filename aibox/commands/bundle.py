"""`aibox bundle`."""

import os
from typing import TYPE_CHECKING

from aibox import bundlemake, bundleread, setupbundle, ui
from aibox.bundleformat import Manifest
from aibox.cli import Arguments
from aibox.consent import require_consent
from aibox.context import Context
from aibox.errors import AiboxError
from aibox.runner import printable
from aibox.ui import Outcome, Style

if TYPE_CHECKING:
    from aibox.jsonview import Json


def run(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """Make a bundle, or look into one."""
    part, *files = arguments.words or [""]
    if part == "create" and not files and arguments.output:
        return create(gathered, arguments, style)
    if part == "inspect" and len(files) == 1:
        return inspect(gathered, files[0], style)
    raise AiboxError(
        "usage",
        f"aibox bundle does not know {' '.join(arguments.words) or 'what to do'}",
        fix="aibox bundle create --output FILE, or: aibox bundle inspect FILE",
    )


def create(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """One file with all that a host without network needs."""
    output = os.path.abspath(arguments.output)
    calls = gathered.calls()
    given = bundlemake.gather(gathered, calls, arguments.sign_with)
    if arguments.dry_run:
        commands = [printable(bundlemake.save_command(calls, given.image, "image.tar")), f"write {output}"]
        return Outcome({"commands": [*commands]}, commands)
    if os.path.exists(output):
        require_consent(f"replace {output}", given=arguments.yes, style=style)
    progress = ui.Progress(style)
    transfer = ui.Transfer(style)
    manifest = bundlemake.create(gathered, calls, given, output, say=progress.step, told=transfer.add)
    signed = "signed" if given.sign_with else "not signed"
    size = os.path.getsize(output)
    lines = [
        f"{output}: {ui.size(size)}, {signed}; on the other host: tar xf FILE aibox && ./aibox setup --bundle FILE"
    ]
    return Outcome({"bundle": output, "size": size, "signed": bool(given.sign_with), **described(manifest)}, lines)


def inspect(gathered: Context, path: str, style: Style) -> Outcome:
    """What a bundle holds, every byte of it checked."""
    key = setupbundle.key_for(gathered)
    with bundleread.opened(path, key) as bundle:
        bundleread.check(bundle, ui.Transfer(style, bundle.total).add)
        manifest = bundle.manifest
        signature = f"by {bundle.signed_by}" if bundle.signed_by else "not checked" if bundle.has_signature else "none"
        size = os.fstat(bundle.file.fileno()).st_size
    rows = [
        ("aibox", manifest.aibox),
        ("made", manifest.created),
        ("machine", manifest.machine),
        ("image", f"{manifest.image} ({manifest.image_id[:12]})"),
        ("signature", signature),
        ("manifest", bundle.digest),
    ]
    files = [(member.name, ui.size(member.size), member.sha256[:16]) for member in manifest.members]
    lines = [*ui.table(rows), "", *ui.table(files), "", f"{path}: {ui.size(size)}, every file as the manifest says"]
    return Outcome({"bundle": path, "size": size, "signature": signature, **described(manifest)}, lines)


def described(manifest: Manifest) -> "dict[str, Json]":
    """A manifest for `--json`."""
    files: list[Json] = [{"name": one.name, "size": one.size, "sha256": one.sha256} for one in manifest.members]
    return {
        "made_by": manifest.aibox,
        "created": manifest.created,
        "machine": manifest.machine,
        "image": manifest.image,
        "image_id": manifest.image_id,
        "files": files,
    }
