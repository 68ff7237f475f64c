"""The plan: the whole command line that it becomes, its digest, names and tables."""

import shlex
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import CACHES, EVERY, RECORDINGS, engine, plan_of, recorded, workspace

from aibox import plan as plans
from aibox import planrecord
from aibox.configkeys import CACHES as CONFIGURED_CACHES
from aibox.engines import podman
from aibox.engines.adapter import SessionOptions
from aibox.jsonview import text
from aibox.model import Developer, Engine, IdMap, LaunchPlan, Mount
from aibox.plan import box_name, digest, id_map, safe_name, volume_name

DEV = Developer(1001, 1001, "dev1")
HARD = ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only", "--read-only-tmpfs=false"]
SEPARATE = ["--ipc", "private", "--pid", "private", "--uts", "private", "--cgroupns", "private"]
ACCOUNT = ["--http-proxy=false", "--no-hosts", "--passwd-entry", "dev:*:1000:1000:developer:/home/dev:/bin/sh"]
VARIABLES = [
    "--env", "HOME=/home/dev", "--env", "LANG=C.UTF-8", "--env", "LOGNAME=dev",
    "--env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "--env", "USER=dev",
]  # fmt: skip
SCRATCH = [
    "--tmpfs", "/tmp:nodev,noexec,nosuid,rw,size=2147483648",
    "--tmpfs", "/var/tmp:nodev,noexec,nosuid,rw,size=1073741824",
    "--tmpfs", "/dev/shm:nodev,noexec,nosuid,rw,size=268435456",
]  # fmt: skip
REST = [
    "--ulimit", "nofile=20000:20000", "--ulimit", "core=0:0",
    "--workdir", "/workspace", "--stop-timeout", "10", "--stop-signal", "SIGTERM",
    "--pull", "never", "--restart", "no", "--no-healthcheck", "--umask", "0022",
    "--log-driver", "k8s-file", "--log-opt", "max-size=16mb",
    "--entrypoint", '["/usr/bin/perl"]',
]  # fmt: skip


def volumes(user: str, *places: tuple[str, str]) -> list[str]:
    return [
        word
        for purpose, target in places
        for word in ("--mount", f"type=volume,source=aibox-{user}-{purpose},destination={target},nodev,nosuid,rw=true")
    ]


def caches(user: str) -> list[str]:
    return volumes(
        user, ("maven-cache", "/home/dev/.m2"), ("gradle-cache", "/home/dev/.gradle"), ("npm-cache", "/home/dev/.npm"),
        ("bazel-cache", "/home/dev/.cache/bazel"), ("pip-cache", "/home/dev/.cache/pip"), ("go-cache", "/home/dev/go"),
        ("cargo-cache", "/home/dev/.cargo/registry"),
    )  # fmt: skip


def test_golden_rootful() -> None:
    plan = plan_of("podman-4.3.1-rootful")
    name = "aibox-root-617923bc297b"
    assert plan.name == name
    assert plan.runtime.path.startswith("/var/lib/aibox/runtimes/")
    labels = dict(plan.labels)
    assert podman.create(engine(rootless=False), plan) == [
        "/usr/bin/podman", "--runtime", plan.runtime.path,
        "create", "--name", name, "--hostname", "aibox",
        "--label", "io.aibox.owner=root", "--label", f"io.aibox.plan={labels['io.aibox.plan']}",
        "--label", "io.aibox.version=0.1.0", "--label", "io.aibox.workspace=/home/dev1/project",
        *HARD,
        "--user", "1000:1000", "--uidmap", "0:1900000000:65536", "--gidmap", "0:1900000000:65536",
        "--security-opt", "seccomp=/etc/aibox/seccomp.json",
        "--security-opt", "label=disable", "--security-opt", "apparmor=unconfined",
        "--network", "none", "--image-volume", "ignore",
        "--mount",
        f"type=bind,source=/run/aibox/workspaces/{name}/workspace,destination=/workspace,nodev,nosuid,rw=true",
        *volumes("root", ("home", "/home/dev"), ("toolpacks", "/opt/toolpacks")),
        *SCRATCH, *caches("root"), *ACCOUNT, *SEPARATE, *VARIABLES,
        "--memory", "8589934592", "--memory-swap", "8589934592", "--cpus", "4", "--pids-limit", "4096",
        *REST, plan.image_id, "-e", plan.command[2],
    ]  # fmt: skip


def test_golden_rootless() -> None:
    plan = plan_of("podman-4.3.1-rootless")
    assert plan.name == "aibox-dev1-7e4539cf6d78"
    labels = dict(plan.labels)
    assert podman.create(engine(rootless=True), plan) == [
        "/usr/bin/podman", "--runtime", plan.runtime.path,
        "create", "--name", "aibox-dev1-7e4539cf6d78", "--hostname", "aibox",
        "--label", "io.aibox.owner=dev1", "--label", f"io.aibox.plan={labels['io.aibox.plan']}",
        "--label", "io.aibox.version=0.1.0", "--label", "io.aibox.workspace=/home/dev1/project",
        *HARD,
        "--user", "1000:1000", "--userns", "keep-id:uid=1000,gid=1000",
        "--security-opt", "seccomp=/home/dev1/.local/share/aibox/seccomp.json", "--security-opt", "label=disable",
        "--network", "none", "--image-volume", "ignore",
        "--mount", "type=bind,source=/home/dev1/project,destination=/workspace,nodev,nosuid,rw=true",
        *volumes("dev1", ("home", "/home/dev"), ("toolpacks", "/opt/toolpacks")),
        *SCRATCH, *caches("dev1"), *ACCOUNT, *SEPARATE, *VARIABLES,
        *REST, plan.image_id, "-e", plan.command[2],
    ]  # fmt: skip


@pytest.mark.parametrize("name", RECORDINGS)
def test_golden_is_what_the_engine_was_given(name: str) -> None:
    """The plan made here from recorded facts gives the very words that the recorded box was created with."""
    plan = plan_of(name)
    line = text(recorded(name, "dry-run"), "commands", 0)
    assert podman.create(engine(rootless=plan.rootless), plan) == shlex.split(line)


def test_other_commands() -> None:
    rootful = engine(rootless=False)
    how = SessionOptions(True, True, "/workspace/src", (("A", "b c"), ("E", "")))
    assert podman.session(rootful, "aibox-a-1", ["make", "-j 2"], how) == [
        "/usr/bin/podman", "exec", "--interactive", "--tty", "--workdir", "/workspace/src",
        "--env", "A=b c", "--env", "E=", "aibox-a-1", "make", "-j 2",
    ]  # fmt: skip
    quiet = SessionOptions(False, False, "/workspace", ())
    plain = podman.session(rootful, "b", ["true"], quiet)
    assert plain == ["/usr/bin/podman", "exec", "--workdir", "/workspace", "b", "true"]
    assert podman.stop(rootful, "b", 7) == ["/usr/bin/podman", "stop", "--time", "7", "b"]
    assert podman.remove(rootful, "b") == ["/usr/bin/podman", "rm", "--force", "--time", "0", "--ignore", "b"]
    assert podman.list_boxes(rootful) == [
        "/usr/bin/podman", "ps", "--all", "--no-trunc", "--filter", "label=io.aibox.plan", "--format", "json",
    ]  # fmt: skip


def test_limits_of_zero_are_not_asked_for() -> None:
    plan = plan_of("podman-4.3.1-rootful")
    argv = podman.create(engine(rootless=False), plan._replace(limits=plan.limits._replace(memory=0, cpus=0.0, pids=0)))
    assert not {"--memory", "--memory-swap", "--cpus", "--pids-limit"} & set(argv)
    argv = podman.create(engine(rootless=False), plan._replace(limits=plan.limits._replace(cpus=1.5)))
    assert argv[argv.index("--cpus") + 1] == "1.5"


ODD = ["/w/with space", "/w/colon:x", "/w/comma,x", '/w/double"quote', "/w/a=b", "/w/back\\slash", '/w/",dst=/etc"']


@pytest.mark.parametrize("path", ODD)
def test_odd_paths_are_one_csv_field(path: str) -> None:
    """`--mount` is one CSV record: what Go's reader makes of it is the path and nothing more."""
    import csv

    plan = plan_of("podman-4.3.1-rootless")
    first, *rest = plan.mounts
    argv = podman.create(engine(rootless=True), plan._replace(mounts=(first._replace(source=path), *rest)))
    record = next(csv.reader([argv[argv.index("--mount") + 1]], strict=True))
    assert record == ["type=bind", f"source={path}", "destination=/workspace", "nodev", "nosuid", "rw=true"]


# The digest


def test_digest_is_stable() -> None:
    """Equal in another process with another hash seed, and what the label carries."""
    first, second = plan_of("podman-4.3.1-rootful"), plan_of("podman-4.3.1-rootless")
    program = "from samples import *; from aibox.plan import digest; print(digest(plan_of('podman-4.3.1-rootful')))"
    env = {"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.strip() == digest(first)
    assert digest(first) == dict(first.labels)["io.aibox.plan"] != dict(second.labels)["io.aibox.plan"]


PASSING = {"labels"}


@pytest.mark.parametrize("field", [name for name in LaunchPlan._fields if name not in PASSING])
def test_digest_covers_every_field(field: str) -> None:
    plan = plan_of("podman-4.3.1-rootful")
    before = getattr(plan, field)
    after: object
    if field == "workspace":
        after = before._replace(path="/elsewhere")
    elif isinstance(before, bool):
        after = not before
    elif isinstance(before, int):
        after = before + 1
    elif isinstance(before, str):
        after = before + "x"
    elif field == "owner":
        after = before._replace(uid=before.uid + 1)
    elif field in ("runtime", "id_map", "limits"):
        after = before._replace(**{before._fields[-1]: "other"})
    else:
        after = (*before, "x")
    assert digest(LaunchPlan._make({**plan._asdict(), field: after}.values())) != digest(plan)


def test_digest_leaves_out_what_passes() -> None:
    plan = plan_of("podman-4.3.1-rootful")
    place = plan.workspace
    other = place._replace(empty=not place.empty, identity=place.identity._replace(inode=9))
    assert digest(plan._replace(workspace=other, labels=())) == digest(plan)


@pytest.mark.parametrize("name", EVERY)
def test_a_plan_survives_its_record(name: str) -> None:
    plan = plan_of(name)
    again = planrecord.decode(planrecord.encode(plan))
    assert again == plan
    assert digest(again) == digest(plan)


@pytest.mark.parametrize("garbage", [None, [], {}, "x", 3, {"mounts": 3, "id_map": {"base": "x"}, "limits": []}])
def test_a_damaged_record_is_another_plan(garbage: list[object] | dict[str, object] | str | int | None) -> None:
    decoded = planrecord.decode(garbage)  # type: ignore[arg-type]
    assert digest(decoded) != digest(plan_of("podman-4.3.1-rootful"))


def test_a_record_holds_values_only() -> None:
    with pytest.raises(TypeError, match="bytes has no place in a plan"):
        planrecord.encode(plan_of("podman-4.3.1-rootful")._replace(image=b"x"))  # type: ignore[arg-type]


# Names and tables


def test_names_depend_on_user_and_path() -> None:
    names = {box_name(owner, path) for owner in (DEV, Developer(1002, 1, "dev1")) for path in ("/a", "/a/b", "/a b")}
    assert len(names) == 6
    assert box_name(DEV, "/a") == box_name(Developer(1001, 5, "dev1"), "/a")
    assert volume_name(Developer(1, 1, "o'neil@x"), "home") == "aibox-o.27neil.40x-home"


@given(st.text(max_size=20))
def test_names_have_only_allowed_characters(name: str) -> None:
    assert set(safe_name(name)) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.")
    assert safe_name(name)


@given(st.text(alphabet="ab-_.2d", max_size=6), st.text(alphabet="ab-_.2d", max_size=6))
def test_two_users_have_two_names(one: str, other: str) -> None:
    """`a-b` and `a_b` must not share a home."""
    if one and other:
        assert (safe_name(one) == safe_name(other)) == (one == other)
    assert [safe_name(name) for name in ("dev1", "a-b", "a_b", "john.doe", "a.2db")] == [
        "dev1", "a.2db", "a_b", "john.doe", "a.2e2db",
    ]  # fmt: skip


def test_mounts_follow_the_caches() -> None:
    table = plans.mount_table("/w", DEV, ["go"], 1)
    assert [mount.target for mount in table] == [
        "/workspace", "/home/dev", "/opt/toolpacks", "/tmp", "/var/tmp", "/dev/shm", "/home/dev/go",
    ]  # fmt: skip
    assert table[0] == Mount("bind", "/w", "/workspace", ("nodev", "nosuid", "rw"))
    assert tuple(cache.name for cache in plans.CACHES) == CONFIGURED_CACHES == CACHES
    assert plans.CACHE_PARENTS == ("/home/dev/.cache", "/home/dev/.cargo")


@pytest.mark.parametrize("uid", [0, 1000, 3773, 3774, 65534, 4294967294])
def test_id_ranges_stay_apart_from_host_ids(uid: int) -> None:
    made = id_map(Developer(uid, 5, "x"), engine(rootless=False))
    assert made is not None
    assert made.base > 1 << 30
    assert made.base + made.size <= 1 << 31, "ids beyond 2^31 trouble old tools"
    assert (made.owner_uid, made.owner_gid) == (uid, 5)
    assert id_map(Developer(uid, 5, "x"), engine(rootless=True)) is None


def test_neighbours_have_ranges_of_their_own() -> None:
    bases = {made.base for uid in range(0, 3774, 7) if (made := id_map(Developer(uid, 0, "x"), engine(rootless=False)))}
    assert len(bases) == 540
    assert all(isinstance(one, IdMap) for one in [id_map(DEV, engine(rootless=False))])


def test_the_images_path_is_kept_and_other_variables_are_ours() -> None:
    image = plans.Image("i", "1", (("PATH", "/opt/jdk/bin:/usr/bin"), ("HOME", "/root"), ("JAVA_HOME", "/opt/jdk")))
    base = plan_of("podman-4.3.1-rootless")
    plan = plans.make(
        workspace=workspace("/w", DEV), engine=engine(rootless=True), runtime=base.runtime, image=image,
        seccomp=plans.Seccomp("/s", "0" * 64), apparmor="", limits=base.limits, caches=(), id_mapped_source="/r",
        init="", stop_timeout=1, version="1",
    )  # fmt: skip
    assert plan.environment == (
        ("HOME", "/home/dev"), ("JAVA_HOME", "/opt/jdk"), ("LANG", "C.UTF-8"), ("LOGNAME", "dev"),
        ("PATH", "/opt/jdk/bin:/usr/bin"), ("USER", "dev"),
    )  # fmt: skip


def test_engine_label() -> None:
    assert Engine("podman", "/p", (5, 4, 2), rootless=True).label == "podman 5.4.2 (rootless)"
