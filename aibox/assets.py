"""Files that ship inside aibox: profiles, launchers, recipes. Read from a folder or straight out of the zip."""

import os
import sys

from aibox.errors import AiboxError


def read(name: str) -> bytes:
    """The content of the shipped file `name`. Raises internal-error if the artifact is incomplete."""
    here = os.path.dirname(__file__)
    above = os.path.dirname(here)
    # the manual's pages lie beside the package in the source tree, and among the data in the artifact
    for folder in (os.path.join(here, "data"), os.path.join(above, "data"), *([above] if name[:5] == "docs/" else [])):
        try:
            return _load(os.path.join(folder, name))
        except OSError:
            continue
    raise AiboxError(
        "internal-error", f"this aibox lacks its own file {name}", fix="build it again: python3 build_zipapp.py"
    )


def text(name: str) -> str:
    """The content of a shipped text file."""
    return read(name).decode("utf-8")


def program(code: str, purpose: str, *, fix: str) -> str:
    """The path of the one file that runs. Raises `code` where aibox does not run from it; `purpose` says what for."""
    import zipfile

    path = os.path.realpath(sys.argv[0])
    if not zipfile.is_zipfile(path):
        raise AiboxError(
            code,
            f"aibox does not run from its one file here, so there is no file to {purpose}",
            why=f"{path} is not the built artifact",
            fix=fix,
        )
    return path


def _load(path: str) -> bytes:
    loader = __spec__.loader
    get_data = getattr(loader, "get_data", None)
    if get_data is None:
        raise OSError(f"no loader for {path}")
    data: bytes = get_data(path)
    return data
