"""Registries as folders: what Maven, npm and pip would fetch, put where a box without a network can have it from.

It is filled once from the real registries, outside the box.
"""

import base64
import io
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

# where the box's own web server gives npm its packages; nothing else is reachable in a box
PORT = 8099
PIP = ("pip==25.3", "setuptools==80.9.0", "wheel==0.45.1")
SETTINGS = """<settings><mirrors><mirror><id>folder</id><mirrorOf>*</mirrorOf>
<url>file:///workspace/registry/maven</url></mirror></mirrors></settings>
"""
# as far away as a registry is: 50 ms, and a line of 20 Mbit/s
SERVER = f"""
import functools, http.server, time
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        time.sleep(0.05)
        super().do_GET()
    def copyfile(self, source, outputfile):
        while piece := source.read(125_000):
            time.sleep(0.05)
            outputfile.write(piece)
handler = functools.partial(Handler, directory="/workspace/registry/npm")
http.server.ThreadingHTTPServer(("127.0.0.1", {PORT}), handler).serve_forever()
"""
SERVE = "exec python3 /workspace/registry/server.py"
# each builds anew, as after a checkout; the tool finds its cache where it looks by default
BUILDS = {
    "maven": "cd /workspace/maven && rm -rf target && mvn -q -B -s ../registry/settings.xml package",
    "npm": "cd /workspace/node && rm -rf node_modules out && cp ../registry/package-lock.json . && "
    "npm ci --no-audit --no-fund --silent --prefer-offline && npm run --silent build",
    "pip": "cd /workspace && rm -rf installed && python3 registry/pip/pip-25.3-py3-none-any.whl/pip install --quiet "
    "--no-index --find-links registry/pip --target installed fast==1",
}
# what only a cache can have in the second run: pip's own folder stays, because it names what there is
EMPTIED = ("maven", "npm")
CACHES = ("maven", "npm", "pip")


def make(homes: dict[str, Path], projects: Path, folder: Path) -> None:
    """Fill `folder` from the seeded home folders of the Maven and the Node project, and for pip from its registry."""
    shutil.copytree(homes["maven"] / ".m2" / "repository", folder / "maven")
    for note in (folder / "maven").rglob("_remote.repositories"):
        note.unlink()
    (folder / "settings.xml").write_text(SETTINGS)
    (folder / "server.py").write_text(SERVER)
    lock = json.loads((homes["node"] / "package-lock.json").read_text())
    (folder / "npm").mkdir()
    for number, package in enumerate(row for row in lock["packages"].values() if "integrity" in row):
        kind, _, digest = package["integrity"].partition("-")
        name = base64.b64decode(digest).hex()
        kept = homes["node"] / ".npm" / "_cacache" / "content-v2" / kind / name[:2] / name[2:4] / name[4:]
        shutil.copyfile(kept, folder / "npm" / f"{number}.tgz")
        package["resolved"] = f"http://127.0.0.1:{PORT}/{number}.tgz"
    (folder / "package-lock.json").write_text(json.dumps(lock))
    (folder / "pip").mkdir()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "download", "--quiet", "--no-deps", "--dest", str(folder / "pip"), *PIP], check=True)
    # a source distribution, which pip has to compile
    with tarfile.open(folder / "pip" / "fast-1.tar.gz", "w:gz") as archive:
        archive.add(projects / "python", "fast-1")
        about = b"Metadata-Version: 2.1\nName: fast\nVersion: 1\n"
        member = tarfile.TarInfo("fast-1/PKG-INFO")
        member.size = len(about)
        archive.addfile(member, io.BytesIO(about))
