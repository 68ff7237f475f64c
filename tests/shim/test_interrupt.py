"""Ctrl-C on a terminal: it reaches the Linux command, nothing is left, and the prompt is back.

tests/windows/test_interrupt.py has the same with a real box.
"""

import time
from collections.abc import Iterator

import pytest
from prompts import Prompt, alive, gone, relay
from shimhost import PWSH, Host

# what a command in the box does when it is told to end: it says so, and goes
WORKER = r"""#!/bin/sh
note() { echo "$1" >>"$HOME/seen"; kill "$job"; exit "$2"; }
trap 'note INT 130' INT
trap 'note HUP 129' HUP
sleep 300 &
job=$!
echo $$ $job >"$HOME/running"
echo "working"
wait
"""


@pytest.fixture
def prompt(host: Host) -> Iterator[Prompt]:
    """A prompt beside a distribution in which a command works."""
    host.program(WORKER)
    relay(host)
    made = Prompt(host)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("-File {shim} exec -- work", "INT"),  # aibox.cmd
        ("-Command '& {shim} exec -- work'", "INT"),  # a line at PowerShell's prompt
        ("-Command '1 | & {shim} exec -- work'", ""),  # in a pipeline, where the shim itself relays
        ("-Command '$x = & {shim} exec -- work'", ""),  # captured: PowerShell ends programs whose output it reads
    ],
    ids=["cmd", "line", "pipeline", "captured"],
)
def test_ctrl_c(host: Host, prompt: Prompt, how: str, told: str) -> None:
    prompt.type(f"'{PWSH}' -NoProfile {how.format(shim=host.script)}\n")
    running = host.folder / "home" / "running"
    end = time.monotonic() + 90
    while not running.exists() or not running.read_text().endswith("\n"):
        assert time.monotonic() < end, prompt.shown
        time.sleep(0.1)
    pids = running.read_text().split()
    assert all(alive(pid) for pid in pids)
    prompt.type("\x03")
    prompt.until("prompt> ", 30)
    assert gone(pids), "nothing is left running"
    seen = (host.folder / "home" / "seen").read_text().split()
    assert seen[0] in ((told,) if told else ("INT", "HUP"))
    prompt.type("echo still he''re\n")
    prompt.until("still here")


def test_a_command_that_goes_on_after_ctrl_c_is_waited_for(host: Host, prompt: Prompt) -> None:
    """As with any program: an editor or a shell keeps its terminal, and its exit code comes through."""
    host.program(
        "#!/bin/sh\ntrap 'echo interrupted' INT\necho working\nfor i in 1 2 3 4; do sleep 1; done\necho at the end\n"
    )
    prompt.type(f"'{PWSH}' -NoProfile -File {host.script} exec -- work\n")
    prompt.until("working")
    prompt.type("\x03")
    prompt.until("interrupted", 30)
    assert "prompt> " not in prompt.until("at the end", 60)
    prompt.until("prompt> ", 30)
