"""Writes data/image.lock: the version of every package of the variant `full`, as Debian's archive has them now.

Usage: python tests/tools/make_lock.py [--mirror URL]; it needs apt-get and the archive. Nothing is installed.
"""

import argparse
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

from aibox import baseimage, imagevariants
from aibox.imagemaking import ARCHITECTURES, LOCK

DATA = Path(__file__).resolve().parents[2] / "data"
# one archive alone, so that one snapshot of it has them all
DEBIAN = "http://deb.debian.org/debian"
START = baseimage.ORIGINS["debian"]
INSTALLED = re.compile(r"^Inst (\S+) \((\S+) ", re.MULTILINE)


def main() -> None:
    """Ask apt what it would install on nothing, and write it down."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mirror", default=DEBIAN, help="the archive (default: Debian's)")
    mirror = parser.parse_args().mirror
    wanted = [
        *baseimage.packages(),
        *(name for layer in imagevariants.variant("full").layers for name in layer.packages),
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name in ("lists/partial", "cache/archives/partial"):
            os.makedirs(f"{folder}/{name}")
        line = f"deb [signed-by={START.keyring}] {mirror} {START.suite} {START.components}\n"
        Path(f"{folder}/sources").write_text(line)
        options = [
            f"Dir::Etc::SourceList={folder}/sources",
            "Dir::Etc::SourceParts=/dev/null",
            f"Dir::State::Lists={folder}/lists",
            f"Dir::Cache={folder}/cache",
            "Dir::State::status=/dev/null",
            "APT::Install-Recommends=false",
            "APT::Sandbox::User=root",
        ]
        apt = ["apt-get", *(part for option in options for part in ("-o", option))]
        subprocess.run([*apt, "update", "-qq"], check=True)
        # mmdebstrap's variant `minbase` has what is required as well
        simulated = [*apt, "install", "--simulate", "?essential", "?priority(required)", "apt", *wanted]
        done = subprocess.run(simulated, check=True, stdout=subprocess.PIPE, text=True)
    rows = sorted(set(INSTALLED.findall(done.stdout)))
    today = int(time.time()) // 86400 * 86400
    head = f"# {START.suite} {ARCHITECTURES[os.uname().machine]} {today}"
    (DATA / LOCK).write_text("\n".join([head, *(f"{name} {version}" for name, version in rows), ""]))
    print(f"{len(rows)} packages")


if __name__ == "__main__":
    main()
