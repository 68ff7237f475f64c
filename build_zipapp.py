#!/usr/bin/env python3
"""Builds dist/aibox, one executable file, with shiv in a build environment of its own. Same commit, same bytes.

Usage: python3 build_zipapp.py [--output FILE]
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOOLS = ("pip==25.3", "setuptools==80.9.0", "shiv==1.0.8")
EPOCH = "315532800"  # 1980-01-01, the oldest date that a zip archive can hold
SHEBANG = "/usr/bin/python3 -IS"
LARGEST = 500_000
OLDEST_PYTHON = (3, 10)


def main() -> int:
    """Build, and say what was built."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", default=f"{HERE}/dist/aibox", help="where to write it (default: dist/aibox)")
    output = os.path.abspath(parser.parse_args().output)
    if sys.version_info < OLDEST_PYTHON:
        sys.exit("building aibox needs Python 3.10 or newer")
    python = build_environment()
    with tempfile.TemporaryDirectory(prefix="aibox-build-") as folder:
        staged = f"{folder}/staged"
        stage(staged)
        made = f"{folder}/aibox"
        environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH, "PYTHONHASHSEED": "0"}
        command = [python, "-m", "shiv", "--site-packages", staged, "--python", SHEBANG, "--reproducible"]
        subprocess.run([*command, "-e", "aibox.cli:main", "-o", made], check=True, env=environment, cwd=folder)
        finish(made)
        os.makedirs(os.path.dirname(output), exist_ok=True)
        shutil.copyfile(made, f"{output}.new")
        os.chmod(f"{output}.new", 0o755)  # noqa: S103 - a program for everybody
        os.replace(f"{output}.new", output)
    size = os.path.getsize(output)
    with open(output, "rb") as file:
        print(f"{os.path.relpath(output)}  {size} bytes  sha256 {hashlib.sha256(file.read()).hexdigest()}")
    if size > LARGEST:
        sys.exit(f"the artifact may have {LARGEST} bytes at most")
    return 0


def build_environment() -> str:
    """A virtual environment with the pinned tools, made once; returns its interpreter."""
    wanted = hashlib.sha256("\n".join((*TOOLS, sys.version)).encode()).hexdigest()[:16]
    folder = f"{HERE}/build/env-{wanted}"
    python = f"{folder}/bin/python"
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    with open(f"{folder}.lock", "w", encoding="ascii") as lock:  # two builds may begin at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(f"{folder}/complete"):
            make_environment(folder, python)
    return python


def make_environment(folder: str, python: str) -> None:
    """A virtual environment with the tools, marked as complete."""
    require_venv()
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *TOOLS]
    if subprocess.run(install, check=False).returncode != 0:
        sys.exit(
            "building aibox needs pip to bring its tools from a Python package index; pip said above why it did not"
        )
    with open(f"{folder}/complete", "w", encoding="ascii"):
        pass


def require_venv() -> None:
    """Debian and Ubuntu keep `venv` in a package of its own: root installs it, others are told how."""
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        apt = ["apt-get", "-o", "DPkg::Lock::Timeout=300"]
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            sys.exit("building aibox needs Python's venv module; to install it: sudo apt-get install python3-venv")
        print("installing python3-venv, which the build environment needs", flush=True)
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = [*apt, "install", "--yes", "-qq", "--no-install-recommends", "python3-venv"]
        for step in ([*apt, "update", "-qq"], install):
            subprocess.run(step, check=True, env=quiet, stdout=subprocess.DEVNULL)


def stage(folder: str) -> None:
    """Copy the package and its data, and nothing else, with the same modes everywhere."""
    parts = {"aibox": "aibox", "data": "aibox/data", "docs": "aibox/data/docs", "windows_shim": "aibox/data/windows"}
    for source, target in parts.items():
        for root, folders, names in os.walk(f"{HERE}/{source}"):
            folders[:] = sorted(name for name in folders if name not in ("__pycache__", "schemas"))
            place = f"{folder}/{target}{root.removeprefix(f'{HERE}/{source}')}"
            os.makedirs(place, exist_ok=True)
            for name in sorted(names):
                if name.endswith((".pyc", ".swp")) or name == "zipmain.py":
                    continue
                shutil.copyfile(f"{root}/{name}", f"{place}/{name}")
                os.chmod(f"{place}/{name}", 0o644)


def finish(made: str) -> None:
    """Put aibox's own start in front of shiv's, and compress everything in a fixed order."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(made) as archive:
        entries = {name: archive.read(name) for name in sorted(archive.namelist()) if not name.endswith("/")}
    for name in sorted(entries):
        digest.update(f"{name} {hashlib.sha256(entries[name]).hexdigest()}\n".encode())
    with open(f"{HERE}/data/zipmain.py", encoding="utf-8") as file:
        entries["__main__.py"] = file.read().replace("@BUILD@", digest.hexdigest()[:32]).encode()
    with open(made, "wb") as file:
        file.write(f"#!{SHEBANG}\n".encode())
        with zipfile.ZipFile(file, "w") as archive:
            for name in sorted(entries):
                info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                info.external_attr = 0o100644 << 16
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, entries[name], compresslevel=9)


if __name__ == "__main__":
    raise SystemExit(main())
