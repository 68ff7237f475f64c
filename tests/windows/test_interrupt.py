"""Ctrl-C at a terminal, through PowerShell and the shim, to a command in a real box under gVisor."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import build, make, require_host
from machines import Machine
from prompts import Prompt, relay
from shimhost import PWSH, Host

# in the box: says that it works, and what it was told
WORK = """trap 'echo got INT >>/workspace/seen; exit 130' INT
trap 'echo got HUP >>/workspace/seen; exit 129' HUP
echo started >/workspace/started
while :; do sleep 0.2; done
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A rootless machine, set up."""
    require_host()
    for zipapp in build():
        for made in make("rootless-2024", zipapp):
            made.set_up()
            yield made


@pytest.fixture(scope="module")
def box(machine: Machine) -> Iterator[Path]:
    """A workspace with a running box."""
    place = machine.workspace()
    machine.ok("start", "--workspace", str(place))
    yield place
    machine.aibox("destroy", "--workspace", str(place))


@pytest.fixture
def prompt(machine: Machine, tmp_path: Path) -> Iterator[tuple[Prompt, Host]]:
    """A prompt, beside a distribution that is the machine."""
    host = Host(tmp_path / "windows").make()
    link = Path(machine.home) / ".local/bin"
    link.mkdir(parents=True, exist_ok=True)
    if not (link / "aibox").exists():
        (link / "aibox").symlink_to(machine.zipapp)
    relay(host, machine.inside([]), machine.home)
    made = Prompt(host)
    yield made, host
    made.close()


@pytest.mark.parametrize(
    "how",
    ["-File {shim} exec -w {box} -- {work}", "-Command '& {shim} exec -w {box} -- $work'"],
    ids=["cmd", "line"],
)
def test_ctrl_c_reaches_the_command_in_the_box(
    machine: Machine, box: Path, prompt: tuple[Prompt, Host], how: str
) -> None:
    shell, host = prompt
    (box / "work.sh").write_text(WORK)
    (box / "seen").unlink(missing_ok=True)
    (box / "started").unlink(missing_ok=True)
    work = "sh /workspace/work.sh"
    line = how.format(shim=host.script, box=box, work=work).replace("$work", work)
    shell.type(f"'{PWSH}' -NoProfile {line}\n")
    end = time.monotonic() + 120
    while not (box / "started").exists():
        assert time.monotonic() < end, shell.shown
        time.sleep(0.2)
    running = machine.aibox("exec", "--workspace", str(box), "--", "pgrep", "-f", "work[.]sh")
    assert running.out.split(), "it runs in the box"
    shell.type("\x03")
    shell.until("prompt> ", 60)
    assert (box / "seen").read_text() == "got INT\n"
    again = machine.aibox("exec", "--workspace", str(box), "--", "pgrep", "-f", "work[.]sh")
    assert (again.code, again.out) == (1, ""), str(again)
    outside = machine.run(["pgrep", "-f", "exec.*work[.]sh"], root=True)
    assert outside.out == "", str(outside)
    shell.type("echo still he''re\n")
    shell.until("still here")
