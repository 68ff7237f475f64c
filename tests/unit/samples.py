"""What the unit tests share: recordings of real engines, and the plans of the boxes that were recorded."""

import json
from pathlib import Path

from aibox import jsonview
from aibox.hostview import HostProcess, HostView
from aibox.jsonview import Json, dig, items, number, text, texts
from aibox.model import LABEL_OWNER, LABEL_PLAN, Developer, Engine, Identity, LaunchPlan, Limits, Runtime, Workspace
from aibox.mountinfo import MountEntry
from aibox.plan import Image, Seccomp, make

RECORDED = Path(__file__).with_name("recorded")
RECORDINGS = sorted(path.name for path in RECORDED.iterdir() if path.name.startswith("podman-"))
DOCKERS = sorted(path.name for path in RECORDED.iterdir() if path.name.startswith("docker-"))
EVERY = [*RECORDINGS, *DOCKERS]
# how each engine names that limit in what it tells of a box
NOFILE = {"podman": "RLIMIT_NOFILE", "docker": "nofile"}
CACHES = ("maven", "gradle", "npm", "bazel", "pip", "go", "cargo")


def recorded(name: str, kind: str) -> Json:
    """One recorded document. The recorder shortened the workspace's path, so what is derived from that path (the
    box's name and its plan's digest) is put in as the shortened path gives it."""
    content = (RECORDED / name / f"{kind}.json").read_text()
    record = jsonview.parse((RECORDED / name / "inspect.json").read_text())
    plan = plan_of(name)
    content = content.replace(text(record, 0, "Name").removeprefix("/"), plan.name)
    kept = text(record, 0, "Config", "Labels", LABEL_PLAN)
    return jsonview.parse(content.replace(kept, dict(plan.labels)[LABEL_PLAN]))


def profile_of(name: str) -> Json:
    """The seccomp profile that a recorded box was given."""
    return jsonview.parse((RECORDED / name / "seccomp.json").read_text())


def plan_of(name: str) -> LaunchPlan:
    """The plan of a recorded box, made from the facts in the recording."""
    setup = jsonview.parse((RECORDED / name / "setup.json").read_text())
    inspect = dig(jsonview.parse((RECORDED / name / "inspect.json").read_text()), 0)
    kind, rootless = name.partition("-")[0], name.endswith("rootless")
    user = text(inspect, "Config", "Labels", LABEL_OWNER)
    limits = {text(row, "Name"): number(row, "Hard") for row in items(inspect, "HostConfig", "Ulimits")}
    kept = dig(setup, "runtime")
    return make(
        workspace=workspace("/home/dev1/project", Developer(1001, 1001, user) if rootless else Developer(0, 0, user)),
        engine=engine(rootless=rootless, version=tuple(int(part) for part in name.split("-")[1].split(".")), kind=kind),
        runtime=Runtime(
            "runsc", text(kept, "path"), text(kept, "digest"), text(kept, "program"), text(kept, "platform"),
        ),
        image=Image(text(setup, "image", "reference"), text(setup, "image", "id"), (("LANG", "C.UTF-8"),)),
        seccomp=Seccomp(text(setup, "seccomp", "path"), text(setup, "seccomp", "sha256")),
        apparmor="",
        limits=Limits(8 << 30, 4.0, 4096, 256 << 20, limits[NOFILE[kind]], holder="" if rootless else "engine"),
        caches=CACHES,
        id_mapped_source="/run/aibox/docker/workspaces" if kind == "docker" else "/run/aibox/workspaces",
        init=text(inspect, "Args", 1),
        stop_timeout=10,
        version="0.1.0",
    )  # fmt: skip


def host_view(name: str) -> HostView:
    """What the host's /proc showed of a recorded box."""
    record = recorded(name, "host")
    return HostView(
        tuple(_process(one) for one in items(record, "processes")),
        tuple(_mount(one) for one in items(record, "own_mounts")),
        number(record, "inherited"),  # recordings made before it was looked at are of hosts without any
    )


def _process(record: Json) -> HostProcess:
    return HostProcess(
        pid=number(record, "pid"),
        role=text(record, "role"),
        argv=tuple(texts(record, "argv")),
        program=text(record, "program"),
        uid=number(record, "uid"),
        capabilities=number(record, "capabilities"),
        no_new_privileges=dig(record, "no_new_privileges") is True,
        seccomp=number(record, "seccomp"),
        filters=number(record, "filters"),
        label=text(record, "label"),
        id_map=tuple((number(row, 0), number(row, 1), number(row, 2)) for row in items(record, "id_map")),
        interfaces=tuple(texts(record, "interfaces")),
        routes=tuple(texts(record, "routes")),
        mounts=tuple(_mount(one) for one in items(record, "mounts")),
    )


def _mount(record: Json) -> MountEntry:
    return MountEntry(
        device=text(record, "device"),
        root=text(record, "root"),
        target=text(record, "target"),
        options=tuple(texts(record, "options")),
        filesystem=text(record, "filesystem"),
        source=text(record, "source"),
        super_options=tuple(texts(record, "super_options")),
    )


def workspace(path: str, owner: Developer) -> Workspace:
    """A checked workspace."""
    return Workspace(path, Identity(2049, 131), owner, "ext4", empty=False)


def engine(*, rootless: bool, version: tuple[int, ...] = (4, 3, 1), kind: str = "podman") -> Engine:
    """Podman, or Docker."""
    return Engine(kind, f"/usr/bin/{kind}", version, rootless)


def changed(document: Json, *way: str | int, to: Json = None, remove: bool = False, add: bool = False) -> Json:
    """A copy of a JSON document with one place set, removed, or (a list) added to."""
    copy: Json = json.loads(json.dumps(document))
    *outer, last = way
    place = dig(copy, *outer)
    if add:
        target = dig(place, last)
        assert isinstance(target, list)
        target.append(to)
    elif isinstance(place, dict) and isinstance(last, str):
        if remove:
            del place[last]
        else:
            assert last not in place or place[last] != to, "the mutant changes nothing"
            place[last] = to
    else:
        assert isinstance(place, list)
        assert isinstance(last, int)
        place[last] = to
    return copy
