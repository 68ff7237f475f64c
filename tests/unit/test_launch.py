"""data/launch.py, the part of the OCI runtime that prepares commands, and the programs that it puts into a box."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from aibox import assets, runtimefiles
from aibox.checks_engine import NOT_STEERING, STEERING
from aibox.jsonview import Json

ROOT = Path(__file__).resolve().parents[2]
MACHINE = os.uname().machine
PROCESS: dict[str, Json] = {
    "args": ["/bin/sh", "-c", "id"], "env": ["A=b", "PERL5OPT=-MSpoil"], "cwd": "/workspace", "terminal": False,
    "user": {"uid": 1000, "gid": 1000}, "capabilities": {}, "apparmorProfile": "crun",
}  # fmt: skip


@pytest.fixture
def launch() -> ModuleType:
    """The module, from the file that ships."""
    spec = importlib.util.spec_from_file_location("launch", ROOT / "data" / "launch.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("--bundle /b id", "/b"), ("--bundle=/b id", "/b"), ("-bundle /b", "/b"), ("-b /b", "/b"), ("-b=/b", "/b"),
        ("--log /l --bundle /b", "/b"), ("--bundles /b", None), ("id", None), ("--bundle", None), ("bundle /b", None),
        ("--bundle=", ""),
    ],
)  # fmt: skip
def test_values_of_options(launch: ModuleType, words: str, wanted: str | None) -> None:
    assert launch.value_of(words.split(), "bundle", "b") == wanted


@pytest.mark.parametrize("words", ["--bundle=/a --bundle=/b", "--bundle /a id -b /b", "-b=/a --bundle /a"])
def test_an_option_given_twice_is_refused(launch: ModuleType, words: str) -> None:
    """runsc takes the last one, and what was judged would be the first."""
    with pytest.raises(launch.RefusedError, match="--bundle is given 2 times"):
        launch.value_of(words.split(), "bundle", "b")


def refused(launch: ModuleType, act: Callable[[], object]) -> str:
    with pytest.raises(launch.RefusedError) as caught:
        act()
    return str(caught.value)


# Bundles


def test_annotations_that_steer_gvisor_are_refused(launch: ModuleType, tmp_path: Path) -> None:
    def check(config: Json) -> None:
        (tmp_path / "config.json").write_text(json.dumps(config))
        launch.check_bundle(str(tmp_path))

    harmless: list[Json] = [{}, {"annotations": None}, {"annotations": {}}, {"annotations": {"io.podman.x": "1"}}]
    harmless += [{"annotations": {name: "1"}} for name in (*NOT_STEERING, "io.kubernetes.cri-o.TTY")]
    for config in harmless:
        check(config)
    told = refused(launch, lambda: check({"annotations": {"dev.gvisor.flag.b": "", "x": "", "dev.gvisor.a": "1"}}))
    assert told.startswith("the container carries dev.gvisor.a, dev.gvisor.flag.b, which")
    told = refused(launch, lambda: check({"annotations": {f"{name}x": "" for name in STEERING}}))
    assert told.startswith(f"the container carries {', '.join(f'{name}x' for name in sorted(STEERING))}, which")


def test_the_launcher_refuses_what_is_refused_everywhere_else(launch: ModuleType) -> None:
    assert (launch.STEERING, launch.NOT_STEERING) == (STEERING, NOT_STEERING)


# Sessions


def session(launch: ModuleType, folder: Path, *, kind: str = "runsc", **changes: Json) -> dict[str, Json]:
    """What becomes of a session's process file."""
    path = folder / "process.json"
    path.write_text(json.dumps({**PROCESS, **changes}))
    (folder / "session.bpf").write_bytes(b"\x06\0\0\0\0\0\xff\x7f")
    (folder / "session.pl").write_text("# launcher")
    vars(launch)["HERE"] = str(folder)
    settings = {"kind": kind, "apparmor": "" if kind == "runsc" else "aibox-sandbox"}
    launch.prepare_session(["--log", "/l", "--process", str(path), "id"], settings)
    made: dict[str, Json] = json.loads(path.read_text())
    assert path.stat().st_mode & 0o7777 == 0o600
    assert sorted(os.listdir(folder)) == ["process.json", "session.bpf", "session.pl"]
    return made


def test_the_launcher_comes_first_and_has_no_environment(launch: ModuleType, tmp_path: Path) -> None:
    made = session(launch, tmp_path)
    assert made["args"] == [
        "/usr/bin/perl", "-e", "# launcher", "060000000000ff7f", "2", "A=b", "PERL5OPT=-MSpoil", "/bin/sh", "-c", "id",
    ]  # fmt: skip
    assert made["env"] == []
    assert (made["noNewPrivileges"], made["cwd"], made["terminal"]) == (True, "/workspace", False)
    assert "apparmorProfile" not in made


def test_under_runc_a_session_keeps_its_words_and_gets_the_profile(launch: ModuleType, tmp_path: Path) -> None:
    made = session(launch, tmp_path, kind="runc")
    assert (made["args"], made["env"], made["noNewPrivileges"]) == (PROCESS["args"], PROCESS["env"], True)
    assert made["apparmorProfile"] == "aibox-sandbox"


USERS: list[Json] = [
    None, {}, {"uid": 0, "gid": 0}, {"uid": 0, "gid": 1000}, {"uid": 1000, "gid": 0}, {"uid": 1000}, {"gid": 1000},
    {"uid": "1000", "gid": 1000}, {"uid": 1001, "gid": 1000},
]  # fmt: skip


@pytest.mark.parametrize("user", USERS)
def test_no_other_user(launch: ModuleType, tmp_path: Path, user: Json) -> None:
    assert "run as 1000:1000" in refused(launch, lambda: session(launch, tmp_path, user=user))


@pytest.mark.parametrize("name", ["bounding", "effective", "inheritable", "permitted", "ambient", "other"])
def test_no_capability(launch: ModuleType, tmp_path: Path, name: str) -> None:
    held: Json = {"bounding": [], name: ["CAP_KILL", "CAP_CHOWN", "CAP_KILL"]}
    told = refused(launch, lambda: session(launch, tmp_path, capabilities=held))
    assert "hold no capability (CAP_CHOWN, CAP_KILL asked for)" in told
    session(launch, tmp_path, capabilities=None)
    session(launch, tmp_path, capabilities={"bounding": None})


def test_no_process_file(launch: ModuleType) -> None:
    assert "without a process file" in refused(launch, lambda: launch.prepare_session(["id", "sh"], {}))


# The whole program, with a stand-in for runsc


def prepared(folder: Path, *, apparmor: str = "") -> Path:
    """A wrapper's folder whose runsc prints its words."""
    runsc = folder / "runsc"
    runsc.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    runsc.chmod(0o755)
    settings = runtimefiles.Settings(
        str(runsc), "systrap", False, apparmor, sys.executable, MACHINE,
    )  # fmt: skip
    for name, content in runtimefiles.contents(settings, str(folder)).items():
        (folder / name).write_bytes(content)
    return folder


def call(folder: Path, *words: str) -> tuple[int, str, str]:
    argv = [sys.executable, "-I", "-S", "-B", str(folder / "launch.py"), *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    return done.returncode, done.stdout, done.stderr


def test_create_becomes_runsc_with_its_flags(tmp_path: Path) -> None:
    folder = prepared(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"root": {"path": "/nonexistent"}}))
    words = ["--root", "/r x", "create", "--bundle", str(tmp_path), "id"]
    code, out, err = call(folder, "create", *words)
    assert (code, err) == (0, "")
    flags = ["--network=none", "--oci-seccomp=true", "--host-uds=none", "--overlay2=none", "--platform=systrap"]
    assert out.split("\n")[:-1] == [*flags, *words]


def test_create_is_inside_the_outer_layer(tmp_path: Path) -> None:
    folder = prepared(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"root": {"path": "/nonexistent"}}))
    (tmp_path / "runsc").write_text("#!/bin/sh\ngrep -E '^(NoNewPrivs|Seccomp):' /proc/self/status\n")
    assert call(folder, "create", "--bundle", str(tmp_path))[1].split() == ["NoNewPrivs:", "1", "Seccomp:", "2"]


BROKEN = ["", "{", "[]", '"x"', '{"annotations": 3}', '{"annotations": {"dev.gvisor.flag.debug": "1"}}', "[" * 10000]


@pytest.mark.parametrize("config", BROKEN)
def test_a_bundle_that_is_not_understood_is_refused(tmp_path: Path, config: str) -> None:
    folder = prepared(tmp_path)
    (tmp_path / "config.json").write_text(config)
    code, out, err = call(folder, "create", "--log", f"{tmp_path}/log", "--bundle", str(tmp_path), "id")
    assert (code, out) == (1, "")
    assert err.startswith("aibox-runsc create: ")
    entry = json.loads((tmp_path / "log").read_text())
    assert (entry["level"], entry["msg"] + "\n") == ("error", err)


@pytest.mark.parametrize("process", ["", "{", "[]", "3", '{"user": 3}', "{}"])
def test_a_session_that_is_not_understood_is_refused(tmp_path: Path, process: str) -> None:
    folder = prepared(tmp_path)
    (tmp_path / "p.json").write_text(process)
    code, out, err = call(folder, "exec", "--process", f"{tmp_path}/p.json", "id")
    assert (code, out) == (1, "")
    assert err.startswith("aibox-runsc exec: ")
    assert err.count("\n") == 1


def test_an_apparmor_profile_that_cannot_be_entered_refuses(tmp_path: Path) -> None:
    folder = prepared(tmp_path, apparmor="aibox-no-such-profile")
    (tmp_path / "config.json").write_text(json.dumps({"root": {"path": "/nonexistent"}}))
    code, out, err = call(folder, "create", "--bundle", str(tmp_path))
    assert (code, out) == (1, "")
    assert err.startswith("aibox-runsc create: ")


def test_missing_files_refuse(tmp_path: Path) -> None:
    folder = prepared(tmp_path)
    assert call(folder, "create", "--bundle", "/nonexistent")[0] == 1
    (tmp_path / "config.json").write_text(json.dumps({"root": {"path": "/nonexistent"}}))
    (folder / "outer.bpf").unlink()
    assert call(folder, "create", "--bundle", str(tmp_path))[:2] == (1, "")
    (folder / "settings.json").unlink()
    assert call(folder, "create", "--bundle", str(tmp_path))[:2] == (1, "")


# The programs in the box, run here by this host's Perl and kernel


def in_session(*words: str, environment: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    known = runtimefiles.numbers(MACHINE)
    launcher = assets.text("session.pl")
    launcher = launcher.replace("@PRCTL@", str(known.prctl)).replace("@SECCOMP@", str(known.seccomp))
    code = assets.read(f"session-{MACHINE}.bpf").hex()
    argv = ["/usr/bin/perl", "-e", launcher, code, str(len(environment)), *environment, *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30, env={"OUTER": "1"})


def test_a_session_is_filtered_before_its_program_runs() -> None:
    done = in_session("/bin/grep", "-E", "^(NoNewPrivs|Seccomp):", "/proc/self/status")
    assert done.stdout.split() == ["NoNewPrivs:", "1", "Seccomp:", "2"], done.stderr
    assert "Operation not permitted" in in_session("/usr/bin/unshare", "-U", "true").stderr


def test_a_session_has_exactly_its_own_environment() -> None:
    odd = ("A=b c", "B=", "C=x=y", "D=two\nlines", "PERL5OPT=-Mx")
    found = in_session("/usr/bin/env", "-0", environment=odd).stdout.split("\0")[:-1]
    assert sorted(found) == sorted(odd)


@pytest.mark.parametrize(
    ("words", "code"),
    [(("/bin/sh", "-c", "exit 7"), 7), (("no-such-program",), 127), (("/etc/passwd",), 126), (("/",), 126)],
)
def test_exit_codes_of_a_session(words: tuple[str, ...], code: int) -> None:
    done = in_session(*words, environment=("PATH=/usr/bin:/bin",))
    assert done.returncode == code
    assert bool(done.stderr) == (code > 100)


def test_words_are_not_read_by_a_shell() -> None:
    assert in_session("/bin/echo", "$(id)", ";", "*").stdout == "$(id) ; *\n"
    assert in_session("/bin/echo $(id)").returncode == 127


def test_a_filter_that_cannot_be_loaded_stops_the_session() -> None:
    launcher = assets.text("session.pl").replace("@PRCTL@", "157").replace("@SECCOMP@", "317")
    for code in ("", "00" * 8, "zz"):
        argv = ["/usr/bin/perl", "-e", launcher, code, "0", "/bin/echo", "ran"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
        assert (done.returncode, done.stdout) == (126, "")
        assert done.stderr.startswith("aibox: the seccomp filter: ")


@pytest.mark.parametrize(("first", "opened"), [(1_900_000_000, True), (os.getuid(), False)])
def test_only_the_engines_own_folders_are_opened_for_the_gofer(
    launch: ModuleType, tmp_path: Path, first: int, opened: bool
) -> None:
    """Podman 5 leaves them closed; where their owner is in the box's user namespace, the Gofer may pass anyhow."""
    identifier = "c" * 64
    places = {
        "bundle": f"lib/containers/storage/overlay-containers/{identifier}/userdata",
        "volume": "lib/containers/storage/volumes/home/_data",
        "run": f"run/containers/storage/overlay-containers/{identifier}/userdata",
        "workspace": "home/dev1/project",
    }
    paths = {name: tmp_path / place for name, place in places.items()}
    for path in paths.values():
        path.mkdir(parents=True)
    hosts = paths["run"] / "hosts"
    hosts.write_text("")
    folders = [path for path in tmp_path.rglob("*") if path.is_dir()]
    for path in (*folders, hosts):
        path.chmod(0o700 if path.is_dir() else 0o600)
    sources = [str(hosts), str(paths["volume"]), str(paths["workspace"])]
    config = {
        "root": {"path": str(paths["bundle"])},
        "mounts": [*({"type": "bind", "source": source} for source in sources), {"type": "tmpfs", "source": "tmpfs"}],
        "linux": {"uidMappings": [{"containerID": 0, "hostID": first, "size": 1}]},
    }
    launch.open_the_way(str(paths["bundle"]), config)
    open_now = {str(path.relative_to(tmp_path)) for path in folders if path.stat().st_mode & 0o001}
    wanted = set()
    for place in (places["bundle"], places["volume"], places["run"]):
        parts = place.split("/")
        wanted |= {"/".join(parts[: count + 1]) for count in range(1, len(parts))}
    assert open_now == (wanted if opened else set())
    assert hosts.stat().st_mode & 0o777 == 0o600
