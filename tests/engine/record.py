"""Records what the real engine says of a real box, for the unit tests. Usage: python -m tests.engine.record (as root)

Writes tests/unit/recorded/ENGINE-MODE/: the plan, `inspect`, the OCI configuration, `ps`, `image inspect`.
"""

import json
import re
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "support"), str(Path(__file__).resolve().parents[2])]

from hosts import make
from machines import CACHE, LOCAL_IMAGE, ROOT, WORK, Machine


def record(machine: Machine, folder: Path) -> None:
    """Start a box and keep what the engine says of it."""
    folder.mkdir(parents=True, exist_ok=True)
    place = machine.workspace("recorded")
    name = json.loads(machine.ok("start", "--workspace", str(place), "--json").out)["data"]["box"]
    inspect = json.loads(machine.run(["podman", "container", "inspect", name]).out)
    path = inspect[0]["OCIConfigPath"]
    reading = ["podman", "unshare", "cat", path] if machine.rootless else ["cat", path]
    found = {
        "inspect": inspect,
        "config": json.loads(machine.run(reading).out),
        "ps": json.loads(machine.run(["podman", "ps", "--all", "--no-trunc", "--format", "json"]).out),
        "image": json.loads(machine.run(["podman", "image", "inspect", LOCAL_IMAGE]).out),
        "dry-run": json.loads(machine.ok("start", "--workspace", str(place), "--dry-run", "--json").out)["data"],
        "setup": json.loads(machine.read(f"{machine.data}/setup.json")),
    }
    for kind, content in found.items():
        text = json.dumps(content, indent=1, sort_keys=True)
        # neither this host's folders and user nor anything that changes with each run
        for old, new in ((str(place), "/home/dev1/project"), (str(machine.home), "/home/dev1"), (machine.user, "dev1"),
                         (f"/run/user/{machine.uid}", "/run/user/1001"), (str(CACHE), "/opt/runsc")):  # fmt: skip
            text = text.replace(old, new) if old != "root" else text
        text = re.sub(r'"kernel": "[^"]*"', '"kernel": "6.1.0"', text)
        (folder / f"{kind}.json").write_text(text + "\n")
    machine.ok("destroy", "--workspace", str(place))


def main() -> None:
    """Both modes with the older runsc, whose exec needs the launcher."""
    zipapp = WORK / "record" / "aibox"
    zipapp.parent.mkdir(parents=True, exist_ok=True)
    zipapp.parent.parent.chmod(0o755)
    zipapp.write_bytes((ROOT / "dist" / "aibox").read_bytes())
    zipapp.chmod(0o755)
    for mode in ("rootful", "rootless"):
        for machine in make(f"{mode}-2024", zipapp):
            machine.set_up()
            version = machine.run(["podman", "--version"]).out.split()[-1]
            record(machine, ROOT / "tests/unit/recorded" / f"podman-{version}-{mode}")


if __name__ == "__main__":
    main()
