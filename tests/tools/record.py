"""Records what an engine and the host say of a box, for tests/unit/recorded: run as its user, in this source tree.

Usage: PYTHONPATH=. python3 tests/tools/record.py AIBOX ENGINE FOLDER [NAME=OTHER...]
AIBOX is the program, set up for that user and ENGINE (podman or docker); FOLDER gets a folder of files that is named
after the engine; each NAME, such as the path of a test machine, is written as OTHER. A box is started for that, and
destroyed.
"""

import json
import os
import pwd
import subprocess
import sys
import tempfile
from pathlib import Path

from aibox import dockergate, hostview, state

SECONDS = 300
# every recording has the same names, whatever machine it comes from
HOME, PROJECT = "/home/dev1", "/home/dev1/project"


def told(*argv: str) -> str:
    """What a command prints."""
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=SECONDS).stdout


def main() -> None:
    """Start a box, write down what is seen of it, destroy it."""
    program, engine, output = os.path.abspath(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    user = pwd.getpwuid(os.geteuid())
    paths = state.paths({"HOME": user.pw_dir}, os.geteuid(), engine)
    with tempfile.TemporaryDirectory(prefix="record-", dir=user.pw_dir if os.geteuid() else "/var/tmp") as workspace:
        os.chmod(workspace, 0o755)
        where = ("--workspace", workspace, "--engine", engine)
        planned = json.loads(told(program, "start", *where, "--dry-run", "--json"))["data"]
        box = json.loads(told(program, "start", *where, "--json"))["data"]["box"]
        try:
            setup = json.loads(Path(paths.setup_record).read_text())
            documents = {"dry-run": planned, "setup": setup, **seen(engine, box, paths.meetings)}
        finally:
            told(program, "destroy", *where)
    documents["seccomp"] = json.loads(Path(setup["seccomp"]["path"]).read_text())
    _, version, mode = setup["proof"]["engine"].replace("(", "").replace(")", "").split()
    if engine == "docker":
        # the client may be of another version; the daemon is what made the box
        version = told("docker", "version", "--format", "{{.Server.Version}}").strip()
    folder = output / f"{engine}-{version.partition('+')[0]}-{mode}"
    folder.mkdir(parents=True, exist_ok=True)
    given = [(mine, other) for mine, _, other in (word.partition("=") for word in sys.argv[4:])]
    names = [(workspace, PROJECT), *given, *([(user.pw_dir, HOME), (user.pw_name, "dev1")] if os.geteuid() else [])]
    for key, document in documents.items():
        text = json.dumps(document, indent=1, sort_keys=True)
        for mine, common in names:
            text = text.replace(mine, common)
        (folder / f"{key}.json").write_text(text + "\n")
    print(folder)


def seen(engine: str, box: str, meetings: str) -> dict[str, object]:
    """The engine's and the host's view of a running box."""
    inspect = json.loads(told(engine, "container", "inspect", box))
    record = inspect[0]
    view = hostview.look(record["State"]["Pid"], record["Id"])
    host = {
        "processes": [{**one._asdict(), "mounts": [entry._asdict() for entry in one.mounts]} for one in view.processes],
        # what aibox itself mounted, and the root
        "own_mounts": [
            one._asdict() for one in view.own_mounts if one.target == "/" or one.target.startswith("/run/aibox")
        ],
    }
    config = record.get("OCIConfigPath") or dockergate.config_path(f"{meetings}/{record['Id']}")
    documents = {
        "inspect": inspect,
        "config": json.loads(Path(config).read_text()),
        "image": json.loads(told(engine, "image", "inspect", record["Image"])),
        "host": host,
    }
    if engine == "podman":
        documents["ps"] = json.loads(told("podman", "ps", "--all", "--no-trunc", "--format", "json"))
    return documents


if __name__ == "__main__":
    main()
