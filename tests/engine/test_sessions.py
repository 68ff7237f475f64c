"""Sessions in a real box: the filter is in force, output and exit codes are the child's, terminals work."""

import json
import os
import pty
import select
import shlex
import struct
import subprocess
import termios
import time
from fcntl import ioctl
from pathlib import Path

import pytest
from machines import PATIENCE, Machine

# number on x86_64 of each system call that SPEC S5 names
FORBIDDEN = {
    "ptrace": 101, "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "bpf": 321, "userfaultfd": 323,
    "unshare": 272, "setns": 308, "init_module": 175, "finit_module": 313, "kexec_load": 246, "keyctl": 250,
    "add_key": 248,
}  # fmt: skip
EPERM, ENOSYS = 1, 38


def inside(machine: Machine, box: Path, *words: str, stdin: bytes | None = None) -> str:
    """Standard output of a command in the box, which has to succeed."""
    return machine.ok("exec", "--workspace", str(box), "--", *words, stdin=stdin).out


def test_kernel_is_gvisors(machine: Machine, box: Path) -> None:
    version = inside(machine, box, "cat", "/proc/version")
    assert version.startswith(("Linux version 4.4.0 ", "Linux version 4.19.0-gvisor "))
    assert os.uname().release not in version


def test_session_is_filtered_however_it_begins(machine: Machine, box: Path) -> None:
    name = json.loads(machine.ok("status", "--workspace", str(box), "--json").out)["data"]["box"]
    for words in (("grep", "^Seccomp:", "/proc/self/status"), ("sh", "-c", "grep ^Seccomp: /proc/1/status")):
        assert inside(machine, box, *words).split() == ["Seccomp:", "2"]
        by_hand = machine.run([machine.engine, "exec", name, *words])
        assert by_hand.out.split() == ["Seccomp:", "2"], str(by_hand)


PROBE = "for (qw({numbers})) {{ my $r = syscall($_, 0, 0, 0, 0, 0); print $r < 0 ? $!+0 : 0, qq(\\n) }}"


def test_forbidden_calls_give_eperm_in_a_session(machine: Machine, box: Path) -> None:
    program = PROBE.format(numbers=" ".join(map(str, FORBIDDEN.values())))
    assert inside(machine, box, "perl", "-e", program).split() == [str(EPERM)] * len(FORBIDDEN)


def test_clone3_gives_enosys_in_a_session(machine: Machine, box: Path) -> None:
    """Its flags lie behind a pointer, so no filter can refuse namespaces there; libc falls back only on ENOSYS."""
    assert inside(machine, box, "perl", "-e", PROBE.format(numbers="435")).split() == [str(ENOSYS)]


def test_forbidden_calls_give_eperm_in_the_first_process(machine: Machine) -> None:
    """The box's own command line with another program as PID 1: it has the engine's filter and no launcher's."""
    place = machine.workspace("first")
    dry = json.loads(machine.ok("start", "--workspace", str(place), "--dry-run", "--json").out)
    create = shlex.split(dry["data"]["commands"][0])
    create[-1] = PROBE.format(numbers=" ".join(map(str, FORBIDDEN.values())))
    name = create[create.index("--name") + 1] = "first-process"
    if not machine.rootless:  # the id-mapped mount exists only while a box does
        create = [word for word in create if "destination=/workspace" not in word]
        create = [word for at, word in enumerate(create) if not (word == "--mount" and create[at + 1][:2] == "--")]
        create[create.index("--workdir") + 1] = "/"
    try:
        made = machine.run(create)
        assert made.code == 0, str(made)
        done = machine.run(["podman", "start", "--attach", name])
        assert done.out.split() == [str(EPERM)] * len(FORBIDDEN)
    finally:
        machine.run(["podman", "rm", "--force", "--time", "0", name])


def test_without_the_filter_the_same_calls_reach_the_kernel(machine: Machine) -> None:
    """The control run: gVisor without aibox's profile lets them through, so the tests above mean something."""
    numbers = f"{FORBIDDEN['unshare']} {FORBIDDEN['keyctl']}"
    program = PROBE.format(numbers=numbers)
    wrapper = f"{machine.home}/plain-runsc"
    flags = "--network=none" + (" --ignore-cgroups" if machine.rootless else "")
    machine.write(wrapper, f'#!/bin/sh\nexec {machine.runsc} {flags} "$@"\n', 0o755)
    limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
    argv = ["podman", "--runtime", wrapper, "run", "--rm", "--network", "none", *limits,
            "--security-opt", "seccomp=unconfined", "localhost/aibox/base:24.04", "perl", "-e", program]  # fmt: skip
    done = machine.run(argv)
    assert done.code == 0, str(done)
    assert str(EPERM) not in done.out.split()[:1], str(done)


def test_unshare_ptrace_and_mount_fail(machine: Machine, box: Path) -> None:
    for words in (("unshare", "-U", "true"), ("mount", "-t", "tmpfs", "none", "/mnt")):
        assert machine.aibox("exec", "--workspace", str(box), "--", *words).code != 0


@pytest.mark.parametrize("code", [0, 1, 42, 125, 126, 255])
def test_exit_code_is_the_childs(machine: Machine, box: Path, code: int) -> None:
    assert machine.aibox("exec", "--workspace", str(box), "--", "sh", "-c", f"exit {code}").code == code


def test_missing_and_unusable_programs(machine: Machine, box: Path) -> None:
    assert machine.aibox("exec", "--workspace", str(box), "--", "no-such-program").code == 127
    assert machine.aibox("exec", "--workspace", str(box), "--", "/etc/passwd").code == 126


def test_output_is_the_childs_bytes(machine: Machine, box: Path) -> None:
    done = machine.ok("exec", "--workspace", str(box), "--", "cat", stdin=b"x\n")
    # Podman 5 warns about a user without a systemd session, as the users of these machines are
    warned = ("user session", "enable lingering", "cgroupfs")
    said = [line for line in done.err.splitlines() if not any(words in line for words in warned)]
    assert (done.raw, said) == (b"x\n", [])
    everything = bytes(range(256)) * 4096
    assert machine.ok("exec", "--workspace", str(box), "--", "cat", stdin=everything).raw == everything


def test_variables_arrive_and_cannot_reach_the_launcher(machine: Machine, box: Path) -> None:
    spoiler = "BEGIN { print STDOUT qq(hijacked\\n) }"
    (box / "Spoil.pm").write_text(f"package Spoil; {spoiler} 1;\n")
    done = machine.ok(
        "exec", "--workspace", str(box), "-e", "PERL5OPT=-MSpoil", "-e", "PERL5LIB=/workspace", "-e", "A=b c=d\n'\"",
        "--", "sh", "-c", 'echo "[$PERL5OPT] [$A]"',
    )  # fmt: skip
    assert done.out == "[-MSpoil] [b c=d\n'\"]\n"


def test_no_variable_of_the_host_arrives(machine: Machine, box: Path) -> None:
    done = machine.aibox(
        "exec", "--workspace", str(box), "--", "env", environment={"SECRET": "s3", "http_proxy": "http://p"}
    )
    assert "s3" not in done.out
    assert "http_proxy" not in done.out
    assert f"USER={machine.user}" not in done.out


def test_by_hand_no_other_user_and_no_capability(machine: Machine, box: Path) -> None:
    name = json.loads(machine.ok("status", "--workspace", str(box), "--json").out)["data"]["box"]
    for options, reason in ((["--user", "0"], "run as 1000:1000"), (["--privileged"], "no capability")):
        done = machine.run([machine.engine, "exec", *options, name, "id"])
        assert done.code != 0
        assert reason in done.out + done.err, str(done)


def test_json_of_exec(machine: Machine, box: Path) -> None:
    done = machine.aibox("exec", "--json", "--workspace", str(box), "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    data = json.loads(done.out)["data"]
    assert (done.code, data["exit_code"], data["stdout"], data["stderr"]) == (3, 3, "out\n", "err\n")


class Terminal:
    """A program of the machine on a pseudo-terminal."""

    def __init__(self, machine: Machine, argv: list[str], rows: int = 40, columns: int = 132) -> None:
        self.leader, follower = pty.openpty()
        ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.child = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *machine.inside(argv)], stdin=follower, stdout=follower, stderr=follower
        )
        os.close(follower)
        self.seen = ""

    def type(self, text: str) -> None:
        """Send keys."""
        os.write(self.leader, text.encode())

    def wait_for(self, text: str, seconds: float = 20) -> None:
        """Read until `text` came."""
        deadline = time.monotonic() + seconds * PATIENCE
        while text not in self.seen:
            assert time.monotonic() < deadline, f"no {text!r} in {self.seen!r}"
            if select.select([self.leader], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.leader, 4096).decode("utf-8", "replace")
                except OSError:
                    break
        assert text in self.seen, self.seen
        self.seen = self.seen.partition(text)[2]

    def end(self, seconds: float = 20) -> int:
        """The exit code."""
        code = self.child.wait(timeout=seconds * PATIENCE)
        os.close(self.leader)
        return code


def test_shell_has_size_job_control_and_exit_code(machine: Machine, box: Path) -> None:
    terminal = Terminal(machine, [str(machine.zipapp), "shell", "--workspace", str(box)])
    terminal.wait_for("$ ")
    terminal.type("echo size $(stty size)\n")
    terminal.wait_for("size 40 132")
    terminal.type("sleep 300\n")
    time.sleep(PATIENCE)
    terminal.type("\x1a")
    terminal.wait_for("Stopped")
    terminal.type("jobs; bg; kill %1; echo d''one\n")
    terminal.wait_for("done")
    terminal.type("sleep 300\n")
    time.sleep(PATIENCE)
    terminal.type("\x03")
    terminal.type("echo code $?\n")
    terminal.wait_for("code 130")
    terminal.type("exit 7\n")
    assert terminal.end() == 7


def test_pipe_gets_no_terminal(machine: Machine, box: Path) -> None:
    assert machine.aibox("exec", "--workspace", str(box), "--", "test", "-t", "0").code == 1
    terminal = Terminal(machine, [str(machine.zipapp), "exec", "--workspace", str(box), "--", "test", "-t", "0"])
    assert terminal.end() == 0


@pytest.mark.parametrize(("name", "number"), [("INT", 2), ("TERM", 15)])
def test_signals_reach_the_child(machine: Machine, box: Path, name: str, number: int) -> None:
    script = f"trap 'echo got {name}; exit 9' {name}; echo ready; while :; do sleep 0.1; done"
    child = subprocess.Popen(
        machine.inside([str(machine.zipapp), "exec", "--workspace", str(box), "--", "sh", "-c", script]),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    os.kill(child.pid, number)
    out, _ = child.communicate(timeout=30 * PATIENCE)
    assert (out, child.returncode) == (f"got {name}\n".encode(), 9)
