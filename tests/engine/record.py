"""Records what the real engine says of a real box, for the unit tests. Usage: python -m tests.engine.record (as root)

Writes tests/unit/recorded/ENGINE-MODE/: the plan, `inspect`, the OCI configuration, `ps`, `image inspect`, and what the
host's /proc shows of the box.
"""

import json
import re
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "support"), str(Path(__file__).resolve().parents[2])]

from hosts import make
from machines import CACHE, LOCAL_IMAGE, ROOT, WORK, Machine

# aibox's own look at the box, as JSON; of the caller's mounts only those that the workspace can lie on
LOOK = """
import json, sys
sys.path.insert(0, sys.argv[1] + "/site-packages")
from aibox import hostview, planrecord
view = hostview.look(int(sys.argv[2]), sys.argv[3])
above = tuple(one for one in view.own_mounts if sys.argv[4].startswith(one.target))
print(json.dumps(planrecord.encode(view._replace(own_mounts=above))))
"""


def record(machine: Machine, folder: Path) -> None:
    """Start a box and keep what the engine says of it."""
    folder.mkdir(parents=True, exist_ok=True)
    place = machine.workspace("recorded")
    name = json.loads(machine.ok("start", "--workspace", str(place), "--json").out)["data"]["box"]
    inspect = json.loads(machine.run(["podman", "container", "inspect", name]).out)
    path = inspect[0]["OCIConfigPath"]
    reading = ["podman", "unshare", "cat", path] if machine.rootless else ["cat", path]
    workspace = next(mount["Source"] for mount in inspect[0]["Mounts"] if mount["Destination"] == "/workspace")
    look = [str(machine.zipapp), str(inspect[0]["State"]["Pid"]), inspect[0]["Id"], workspace]
    found = {
        "host": json.loads(machine.run(["/usr/bin/python3", "-c", LOOK, *look]).out),
        "inspect": inspect,
        "config": json.loads(machine.run(reading).out),
        "ps": json.loads(machine.run(["podman", "ps", "--all", "--no-trunc", "--format", "json"]).out),
        "image": json.loads(machine.run(["podman", "image", "inspect", LOCAL_IMAGE]).out),
        "dry-run": json.loads(machine.ok("start", "--workspace", str(place), "--dry-run", "--json").out)["data"],
        "setup": json.loads(machine.read(f"{machine.data}/setup.json")),
        "seccomp": json.loads(machine.read(f"{machine.data if machine.rootless else '/etc/aibox'}/seccomp.json")),
    }
    for kind, content in found.items():
        text = json.dumps(content, indent=1, sort_keys=True)
        # neither this host's folders and user nor anything that changes with each run
        for old, new in ((str(place), "/home/dev1/project"), (str(machine.home), "/home/dev1"), (machine.user, "dev1"),
                         (f"/run/user/{machine.uid}", "/run/user/1001"), (str(CACHE), "/opt/runsc"),
                         (str(machine.folder), "/machine")):  # fmt: skip
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
