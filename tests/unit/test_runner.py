"""Starting programs: time limits, kills, environment, streams and exit codes, with real small programs."""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_subprocess import FakeProcess
from samples import engine

from aibox import runner
from aibox.enginecalls import REDIRECTING, EngineCalls, redirecting
from aibox.errors import AiboxError
from aibox.runner import BRIEF, SYSTEM_PATH, Result, brief, checked, clean_environment, find_program, printable, run

ROOT = Path(__file__).resolve().parents[2]
ENV = {"PATH": SYSTEM_PATH}


def sh(script: str, timeout: float = 10, **more: str) -> Result:
    return run(["/bin/sh", "-c", script], timeout=timeout, env={**ENV, **more})


def test_what_a_program_leaves() -> None:
    done = sh("printf out; printf err >&2; exit 3")
    assert (done.code, done.out, done.err) == (3, b"out", b"err")
    assert sh("kill -TERM $$").code == -signal.SIGTERM
    assert sh("cat").out == b"", "standard input is empty, never the caller's"
    assert run(["/bin/cat"], timeout=5, env=ENV, stdin=b"\0\xff" * 200000).out == b"\0\xff" * 200000
    assert sh("printf '\\377'").text() == "\udcff"


def test_only_the_given_environment_arrives() -> None:
    assert run(["/usr/bin/env"], timeout=5, env={"A": "b\nc"}).out == b"A=b\nc\n"


def test_no_shell_reads_the_words() -> None:
    words = ["$(id)", "`id`", "a b", ";", "*", "", "'", '"', "\\"]
    assert run(["/usr/bin/printf", "%s\\n", *words], timeout=5, env=ENV).text().splitlines() == words


def test_output_to_a_file(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as file:
        done = run(["/bin/echo", "x"], timeout=5, env=ENV, stdout_to=file.fileno())
    assert (done.out, (tmp_path / "out").read_bytes()) == (b"", b"x\n")


def test_folder(tmp_path: Path) -> None:
    assert run(["/bin/pwd"], timeout=5, env=ENV, cwd=str(tmp_path)).text() == f"{tmp_path}\n"
    with pytest.raises(AiboxError) as caught:
        run(["/bin/pwd"], timeout=5, env=ENV, cwd=f"{tmp_path}/gone")
    assert (caught.value.code, caught.value.what) == ("command-missing", f"{tmp_path}/gone is not there")


def test_missing_and_unusable_programs(tmp_path: Path) -> None:
    with pytest.raises(AiboxError) as caught:
        run(["/nonexistent/x"], timeout=5, env=ENV)
    assert (caught.value.code, caught.value.exit_code) == ("command-missing", 4)
    (tmp_path / "file").write_text("no program\n")
    with pytest.raises(AiboxError) as caught:
        run([f"{tmp_path}/file"], timeout=5, env=ENV)
    assert caught.value.code == "command-failed"


def test_the_time_limit_ends_the_whole_group(tmp_path: Path) -> None:
    """A grandchild that ignores TERM and holds the pipes goes as well."""
    pids = tmp_path / "pids"
    script = f"trap '' TERM; sh -c 'echo $$ >> {pids}; exec sleep 60' & echo $$ >> {pids}; wait; sleep 60"
    began = time.monotonic()
    with pytest.raises(AiboxError) as caught:
        sh(script, timeout=0.5)
    assert time.monotonic() - began < 5
    assert caught.value.code == "command-timeout"
    assert caught.value.what == "sh did not end within 0.5 seconds and was stopped"
    assert caught.value.why.startswith("the command was: /bin/sh -c ")
    for pid in pids.read_text().split():
        deadline = time.monotonic() + 5
        while running(int(pid)):
            assert time.monotonic() < deadline, f"{pid} still runs"
            time.sleep(0.02)


def running(pid: int) -> bool:
    """Whether the process lives; a zombie that waits for its parent is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_grandchild_in_another_session_does_not_hold_up() -> None:
    began = time.monotonic()
    with pytest.raises(AiboxError):
        sh("setsid sleep 8 & sleep 60", timeout=0.3)
    assert time.monotonic() - began < runner._DRAIN_SECONDS + 3


def test_ctrl_c_ends_the_child(tmp_path: Path) -> None:
    program = (
        "import sys; from aibox import runner\n"
        "script = 'read word; echo $$ > ' + sys.argv[1] + '; exec sleep 60'\n"  # by then run() waits for the child
        "runner.run(['/bin/sh', '-c', script], timeout=60, env={}, stdin=b'go\\n')"
    )
    child = subprocess.Popen([sys.executable, "-c", program, f"{tmp_path}/pid"], cwd=ROOT, stderr=subprocess.DEVNULL)
    wait_for(tmp_path / "pid")
    child.send_signal(signal.SIGINT)
    child.wait(timeout=10)
    deadline = time.monotonic() + 10
    while running(int((tmp_path / "pid").read_text())):
        assert time.monotonic() < deadline, "the child lives on"
        time.sleep(0.01)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < deadline
        time.sleep(0.01)


# Environment and search


def test_clean_environment() -> None:
    spoiled = dict.fromkeys((*REDIRECTING, "LD_PRELOAD", "PYTHONPATH", "http_proxy", "IFS", "PATH", "LC_ALL"), "x")
    kept = {"HOME": "/h", "USER": "u", "XDG_RUNTIME_DIR": "/r", "TERM": "xterm"}
    made = clean_environment({**spoiled, **kept}, {"DEBIAN_FRONTEND": "noninteractive"})
    assert made == {
        **kept, "PATH": SYSTEM_PATH, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive",
    }  # fmt: skip
    assert not set(clean_environment({})) & set(REDIRECTING)


def test_redirecting_variables_are_named() -> None:
    assert redirecting({"DOCKER_HOST": "tcp://x", "CONTAINER_HOST": "", "HOME": "/"}) == ["DOCKER_HOST"]


def test_programs_are_found_in_system_folders_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    (tmp_path / "tool").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_program("tool") is None
    assert find_program("tool", f"/nonexistent:{tmp_path}") == f"{tmp_path}/tool"
    (tmp_path / "tool").chmod(0o644)
    assert os.geteuid() == 0 or find_program("tool", str(tmp_path)) is None
    (tmp_path / "folder").mkdir()
    assert find_program("folder", str(tmp_path)) is None
    assert find_program("sh") in ("/usr/bin/sh", "/bin/sh")


# Messages


@pytest.mark.parametrize(
    ("err", "wanted"),
    [
        (b"", "exit code 3, no message"),
        (b"\n \n", "exit code 3, no message"),
        (b"first\nlast\n", "last"),
        (b"Error: the cause\nmore\n", "the cause"),
        (b"Error: one\nError: two\nhint", "two"),
        (b"\xff bad\n", "\ufffd bad"),
    ],
)
def test_complaints(err: bytes, wanted: str) -> None:
    assert Result(("x",), 3, b"", err).complaint() == wanted


def test_checked() -> None:
    good = Result(("x",), 0, b"", b"Error: warned only")
    assert checked(good) is good
    with pytest.raises(AiboxError) as caught:
        checked(Result(("/usr/bin/podman", "rm", "a b"), 125, b"", b"Error: no\n"), "engine-failed", fix="try again")
    told = caught.value
    assert (told.code, told.what, told.why, told.fix) == (
        "engine-failed", "podman failed: no", "exit code 125 of: /usr/bin/podman rm 'a b'", "try again",
    )  # fmt: skip


def test_brief_is_one_line_of_limited_length() -> None:
    assert brief(["a", "b c"]) == "a 'b c'"
    assert brief(["perl", "-e", "one\ntwo"]) == "perl -e 'one"
    long = brief(["podman", *["--flag=value"] * 40])
    assert len(long) <= BRIEF + 4
    assert long.endswith("--flag=value ...")
    assert shlex.split(printable(["a b", "'", "\n"])) == ["a b", "'", "\n"]


# Sessions


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 42", 42), ("kill -9 $$", 137), ("kill -2 $$", 130)])
def test_attend_returns_the_childs_code(script: str, code: int) -> None:
    assert runner.attend(["/bin/sh", "-c", script], env=ENV, tty=False, on_signal=lambda _number: None) == code


def test_what_python_ignores_the_child_hears() -> None:
    """A session's program has to end when nobody reads its output any more."""
    assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN
    mask = 1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1)
    script = f"ignored=$(sed -n s/SigIgn:.//p /proc/self/status); exit $((0x$ignored & {mask}))"
    assert runner.attend(["/bin/sh", "-c", script], env=ENV, tty=False, on_signal=lambda _number: None) == 0


def test_attend_of_a_missing_program() -> None:
    with pytest.raises(AiboxError) as caught:
        runner.attend(["/nonexistent"], env=ENV, tty=False, on_signal=lambda _number: None)
    assert caught.value.code == "command-failed"


@pytest.fixture
def unharmed() -> Iterator[None]:
    """Signals to this process do nothing before and after the call that is tested."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_attend_hands_signals_on_and_restores_handlers(tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    received: list[int] = []
    ready = tmp_path / "ready"

    def send() -> None:
        wait_for(ready)
        os.kill(os.getpid(), number)

    threading.Thread(target=send, daemon=True).start()

    def forward(got: int) -> None:
        received.append(got)
        os.kill(int(ready.read_text()), signal.SIGKILL)

    script = f"echo $$ > {ready}; exec sleep 30"
    code = runner.attend(["/bin/sh", "-c", script], env=ENV, tty=False, on_signal=forward)
    assert (code, received) == (137, [number])
    assert signal.getsignal(number) == before


@pytest.mark.usefixtures("unharmed")
def test_a_signal_while_the_child_is_being_started_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    real, received = os.posix_spawn, list[int]()

    def slow(*arguments: object, **more: object) -> object:
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "posix_spawn", slow)
    assert runner.attend(["/bin/sh", "-c", "exit 4"], env=ENV, tty=False, on_signal=received.append) == 4
    assert received == [signal.SIGTERM]


def test_an_ignored_signal_stays_ignored() -> None:
    """nohup: what the caller ignores reaches neither aibox nor the child."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        script = f"kill -HUP {os.getpid()}; exit 5"
        received: list[int] = []
        assert runner.attend(["/bin/sh", "-c", script], env=ENV, tty=False, on_signal=received.append) == 5
        assert received == []
    finally:
        signal.signal(signal.SIGHUP, before)


# Engine calls, on an engine that says what it is told to say


def calls() -> EngineCalls:
    return EngineCalls(engine(rootless=False), {"PATH": SYSTEM_PATH})


PODMAN = "/usr/bin/podman"


def test_a_missing_box_is_none_and_other_failures_are_told(fp: FakeProcess) -> None:
    fp.register([PODMAN, "container", "inspect", "b"], returncode=125, stderr=b"Error: no such container b")
    assert calls().inspect("b") is None
    fp.register([PODMAN, "container", "inspect", "b"], returncode=125, stderr=b"Error: database is locked")
    with pytest.raises(AiboxError) as caught:
        calls().inspect("b")
    assert (caught.value.code, caught.value.what) == ("engine-failed", "podman inspect failed: database is locked")


def test_removing_is_tried_twice(fp: FakeProcess) -> None:
    remove = [PODMAN, "rm", "--force", "--time", "0", "--ignore", "b"]
    fp.register(remove, returncode=125, stderr=b"Error: device busy")
    fp.register(remove)
    calls().remove("b")
    assert fp.call_count(remove) == 2
    fp.register(remove, returncode=125, stderr=b"Error: device busy", occurrences=2)
    fp.register([PODMAN, "container", "inspect", "b"], returncode=125, stderr=b"no such container")
    calls().remove("b")
    fp.register(remove, returncode=125, stderr=b"Error: device busy", occurrences=2)
    fp.register([PODMAN, "container", "inspect", "b"], stdout=b'[{"Name": "b", "Id": "1"}]')
    with pytest.raises(AiboxError) as caught:
        calls().remove("b")
    assert (caught.value.code, caught.value.fix) == ("engine-failed", "podman rm --force b")


@pytest.mark.parametrize("output", [b"", b"{", b"[]", b"{}", b"[{}]", b'[{"Name": "x"}]', b"[[]]", b"\xff"])
def test_garbage_of_the_engine_is_told(fp: FakeProcess, output: bytes) -> None:
    fp.register([PODMAN, "container", "inspect", "b"], stdout=output)
    with pytest.raises(AiboxError) as caught:
        calls().inspect("b")
    assert caught.value.code == "engine-garbage"


def test_the_oci_configuration_is_read_or_told(fp: FakeProcess, tmp_path: Path) -> None:
    record = b'[{"Name": "b", "Id": "1", "OCIConfigPath": "/nonexistent"}]'
    fp.register([PODMAN, "container", "inspect", "b"], stdout=record)
    box = calls().inspect("b")
    assert box
    with pytest.raises(AiboxError) as caught:
        calls().oci_config(box)
    assert (caught.value.code, "is not there" in caught.value.what) == ("engine-garbage", True)
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(AiboxError, match="is not JSON"):
        calls().oci_config(box._replace(oci_config=f"{tmp_path}/c.json"))
    (tmp_path / "c.json").write_text('{"a": 1}')
    assert calls().oci_config(box._replace(oci_config=f"{tmp_path}/c.json")) == {"a": 1}
