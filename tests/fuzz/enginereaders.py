"""What engines, gVisor and other programs print, and who reads it."""

from random import Random

from material import as_bytes, json_text, json_value, lines
from rows import Case, Reader, reading
from samples import DOCKERS, RECORDED, plan_of, recorded

from aibox import (
    ages,
    boxids,
    checks_engine,
    controls,
    dockergate,
    doctorjudge,
    facts,
    planrecord,
    remotepodman,
    runscsources,
    sessionview,
    trustpolicy,
    verification,
)
from aibox.engines import docker, images, podman, podmanvolumes
from aibox.hostview import HostView
from aibox.jsonview import Json, dig, fields, parse
from aibox.model import LABEL_OWNER, LABEL_PLAN, LABEL_WORKSPACE, LaunchPlan
from aibox.plan import digest
from aibox.runner import Result
from aibox.trustpolicy import Demand

GARBAGE = ("engine-garbage",)
NAME = "podman-4.3.1-rootless"
PLAN = plan_of(NAME)
DOCKER_PLAN = plan_of(DOCKERS[0])
DOCKER, DOCKER_OCI = dig(recorded(DOCKERS[0], "inspect"), 0), recorded(DOCKERS[0], "config")
INSPECT, IMAGE, PS = (recorded(NAME, kind) for kind in ("inspect", "image", "ps"))
OCI = recorded(NAME, "config")
PROFILE = parse((RECORDED / NAME / "seccomp.json").read_text())
LABELS: dict[str, Json] = {LABEL_OWNER: "dev1", LABEL_PLAN: "p", LABEL_WORKSPACE: "/w"}
VOLUMES: Json = [
    {"Name": "aibox-dev1-home", "Driver": "local", "Mountpoint": "/v/_data", "CreatedAt": "2026-11-28T02:16:49.41Z",
     "Labels": {LABEL_OWNER: "dev1"}, "Scope": "local", "Options": {}, "UID": 1, "MountCount": 0},
]  # fmt: skip
IMAGES: Json = [
    {"Id": "sha256:8527", "Size": 983957825, "Names": ["localhost/aibox/base:24.04"],
     "RepoDigests": ["localhost/aibox/base@sha256:8a9f"]},
]  # fmt: skip
SIZES: Json = [{"Names": ["aibox-dev1-1"], "Labels": LABELS, "ImageID": "8527", "Size": {"rootFsSize": 9, "rwSize": 5}}]
INFO: Json = {
    "host": {"conmon": {"version": "conmon version 2.1.6, commit: unknown"}, "serviceIsRemote": False},
    "store": {"graphDriverName": "overlay", "graphRoot": "/s"}, "version": {"Version": "4.3.1"},
    "Driver": "overlay2", "DockerRootDir": "/d", "ServerVersion": "20.10.24", "Runtimes": {"aibox": {"path": "/p"}},
}  # fmt: skip
HOOK: Json = {"version": "1.0.0", "hook": {"path": "/bin/x"}, "when": {"always": True}, "stages": ["prestart"]}
OUTER: Json = {"landlock_abi": 7, "lacking": ["signal"], "attempts": {"tcp": "refused", "keyctl": "refused: 1"}}
PROBE = (
    "status\tSeccomp\t2\nstatus\tUid\t1000\t1000\t1000\t1000\ncall\tptrace\t1\nwrite\t/etc\t30\nwrite\t/tmp\t0\n"
    "interfaces\tlo\nrun\t/tmp\t1\n"
)
VERSIONS = ("podman version 4.3.1\n", "Docker version 20.10.24+dfsg1, build 297e128\n", "podman version 5.4.2-rc1\n")
COMPLAINT = (
    "Error: writing blob: Source image rejected: Signature for identity harbor.internal/a:1 is not accepted",
    "Error: Source image rejected: A signature was required, but no signature exists",
)
MOMENTS = (
    "2026-11-28T07:05:11.123456789+01:00", "2026-11-28 07:05:11.1 +0000 UTC", "1795571986", "0001-01-01T00:00:00Z",
)  # fmt: skip
NOBODY = HostView((), ())


def _inspected(value: Json) -> None:
    controls.inspect_findings(PLAN, value)
    podman.mounted_volumes(value)


def _plan_kept(value: Json) -> None:
    """A record that was changed has another digest, or says the same."""
    plan = planrecord.decode(value)
    digest(plan)
    controls.plan_findings(plan)
    controls.host_findings(plan, NOBODY, running=True)


def _hooks(content: bytes) -> None:
    doctorjudge.hooks({"/usr/share/containers/oci/hooks.d/x.json": content})


def _gate(content: bytes) -> None:
    dockergate.parse(content)
    try:
        dockergate.digest(parse(content))
    except ValueError:
        return


def _info(text: str) -> None:
    try:
        info = parse(text)
    except ValueError:
        return
    remotepodman.elsewhere(Result(("podman",), 0, text.encode("utf-8", "replace"), text.encode("utf-8", "replace")))
    doctorjudge.storage(info)
    doctorjudge.monitor(str(dig(info, "host", "conmon", "version")), "")


def _complaint(text: str) -> None:
    for types in (("signedBy",), ("reject",), ()):
        trustpolicy.reason(Demand("/p", "s", types), text)
    trustpolicy.other_name(text)


def _moment(text: str) -> None:
    ages.moment(text)
    ages.iso(text)
    ages.ago(text, 1.8e9)


def _oci_case(rng: Random) -> Case:
    """The plan's engine and the seccomp profile by chance, too."""
    plan: LaunchPlan = rng.choice((PLAN, DOCKER_PLAN, PLAN._replace(id_map=None)))
    oci, profile = rng.choice((_OCI, _DOCKER_OCI))(rng), PROFILE if rng.random() < 0.8 else _PROFILE(rng)
    return Case(repr((plan.engine, oci, profile)), (lambda: controls.oci_findings(plan, oci, profile),))


_OCI, _DOCKER_OCI, _PROFILE = json_value(OCI), json_value(DOCKER_OCI), json_value(PROFILE)

READERS = (
    Reader("podman container inspect", ("engines.common", "engines.podman", "jsonview"),
           reading(json_text(INSPECT), podman.parse_inspect, podmanvolumes.parse_mounted), GARBAGE, 4),
    Reader("the controls in podman inspect", ("checks_engine", "controls"),
           reading(json_value(dig(INSPECT, 0)), _inspected)),
    Reader("podman ps", ("engines.podman", "engines.podmanvolumes"),
           reading(json_text(PS, SIZES), podman.parse_list, podmanvolumes.parse_users, podmanvolumes.parse_sizes),
           GARBAGE),
    Reader("podman volume ls", ("engines.podmanvolumes",),
           reading(json_text(VOLUMES), podmanvolumes.parse_volumes), GARBAGE),
    Reader("podman images", ("engines.podmanvolumes",),
           reading(json_text(IMAGES), podmanvolumes.parse_images), GARBAGE),
    Reader("image inspect", ("engines.images",),
           reading(json_text(IMAGE), lambda text: images.parse_image(text, "localhost/aibox/base:24.04"),
                   lambda text: images.parse_image(text, "x", "docker")), (*GARBAGE, "image-unsuitable")),
    Reader("the digest in image inspect", ("engines.images",),
           reading(json_value(dig(IMAGE, 0)), lambda value: images.digest_of(value, "localhost/aibox/base:24.04"))),
    Reader("docker container inspect", ("engines.common", "engines.docker"),
           reading(json_text([DOCKER]), docker.parse_inspect, docker.parse_boxes), GARBAGE),
    Reader("the controls in docker inspect", ("checks_engine", "controls"),
           reading(json_value(DOCKER), lambda value: controls.inspect_findings(DOCKER_PLAN, value))),
    Reader("version", ("engines.common", "facts", "doctorjudge"),
           reading(lines(*VERSIONS), podman.parse_version, docker.parse_version, doctorjudge.numbers,
                   lambda text: facts.version_of("docker", "/usr/bin/docker", text)),
           (*GARBAGE, "engine-unsupported")),
    Reader("podman info, docker info", ("doctorengine", "doctorjudge", "dockersteps", "remotepodman"),
           reading(json_text(INFO), _info)),
    Reader("OCI config.json", ("checks_engine", "controls", "enginecalls"), _oci_case, (), 4),
    Reader("a mount of config.json", ("checks_engine",),
           reading(json_value(dig(OCI, "mounts")),
                   lambda value: checks_engine.mounts_oci(PLAN, {"mounts": value}))),
    Reader("OCI hooks", ("doctorjudge",), reading(as_bytes(json_text(HOOK)), _hooks)),
    Reader("the question of Docker's wrapper", ("dockergate",),
           reading(as_bytes(json_text({"pid": 42, "config": "/c/config.json"})), _gate)),
    Reader("the record of a plan", ("planrecord", "plan", "boxes"),
           reading(json_value(planrecord.encode(PLAN)), _plan_kept)),
    Reader("the report of the outer layer", ("verification",),
           reading(json_value(OUTER), lambda value: verification.judge_outer(fields(value)))),
    Reader("the probe in a session", ("sessionview",), reading(lines(PROBE), sessionview.findings)),
    Reader("the answer of the volume worker", ("boxids", "volumework"),
           reading(as_bytes(json_text({"result": {"bytes": 1}}, {"error": {"code": "volume-failed", "what": "w"}})),
                   boxids.result_of), ("volume-failed", "internal-error")),
    Reader("why a pull was refused", ("trustpolicy", "imagetrust"), reading(lines(*COMPLAINT), _complaint)),
    Reader("moments", ("ages",), reading(lines(*MOMENTS), _moment)),
    Reader("apt's version of runsc", ("runscsources",), reading(lines("0.0~20240729.0-4+b1", "(none)"),
                                                               runscsources._date)),
)  # fmt: skip
