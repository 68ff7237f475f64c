"""Each command that aibox gives a real engine made to fail: a clear error, no box that nobody names, then it works."""

import json
from pathlib import Path

import pytest
from conmons import unknown
from faulty import FAULTS
from machines import Machine
from standin import StandIn

# what `start` of a new box asks of the engine, and what it has it do
ASKED = ("image inspect", "container inspect")
MADE = {
    "rootful-2024": ("create", "init", "start"),
    "rootless-2024": ("create", "init", "unshare", "start"),
    "docker-2024": ("create", "start"),
}


class Faulty(StandIn):
    """The stand-in, and aibox with it."""

    def aibox(self, place: Path, *words: str, timeout: float = 90) -> tuple[int, str, str]:
        """Run aibox with it: exit code, the error's code, and all that was said."""
        way = ("--workspace", str(place), "--engine-path", str(self.program))
        done = self.machine.aibox(words[0], *way, "--json", *words[1:], timeout=timeout)
        error = json.loads(done.out).get("error")
        return done.code, error["code"] if error else "", str(done)


@pytest.fixture
def faulty(machine: Machine) -> Faulty:
    """The stand-in, without a fault yet."""
    return Faulty(machine)


def boxes(machine: Machine, place: Path) -> list[str]:
    """Names of the boxes that the engine has for a workspace."""
    form = "{{.Names}}"
    argv = [machine.engine, "ps", "--all", "--format", form, "--filter", f"label=io.aibox.workspace={place}"]
    return machine.run(argv, timeout=180).out.split()


def require_named(machine: Machine, place: Path) -> None:
    """Whatever there is, `list` has it."""
    listed = json.loads(machine.ok("list", "--json").out)["data"]["boxes"]
    assert boxes(machine, place) == [row["name"] for row in listed if row["workspace"] == str(place)]


def require_works(machine: Machine, place: Path) -> None:
    """The next commands without a fault do all that they should, and leave nothing."""
    machine.ok("start", "--workspace", str(place), timeout=300)
    assert machine.ok("exec", "--workspace", str(place), "--", "echo", "in").out == "in\n"
    assert len(boxes(machine, place)) == 1
    machine.ok("destroy", "--workspace", str(place))
    assert boxes(machine, place) == []
    if machine.engine == "podman":
        assert unknown(machine) == []
    mounts = machine.run(["cat", "/proc/self/mountinfo"], root=True).out
    assert str(place) not in mounts


def refused(faulty: Faulty, place: Path, *words: str) -> None:
    """The command ends with a named error, and whatever box is left is one that `list` has."""
    code, name, said = faulty.aibox(place, *words)
    assert (code, name) in ((1, "engine-failed"), (1, "engine-garbage")), said
    assert faulty.met() > 0, said
    require_named(faulty.machine, place)


MACHINES = pytest.mark.parametrize("machine", MADE, indirect=True)


def ways(command: str, request: pytest.FixtureRequest) -> list[tuple[str, str]]:
    """Faults of a command, and whether they come before its work or after it; what hangs takes its whole time limit."""
    full = bool(request.config.getoption("--full"))
    if command in ASKED:
        return [(fault, "before") for fault in (FAULTS if full else ("fails", "garbage")) if fault != "hangs"]
    both = [(fault, when) for fault in ("fails", "killed") for when in ("before", "after")]
    return [("no-space", "before"), *both] if full else [("fails", "before"), ("killed", "after")]


@MACHINES
def test_a_start_that_fails(machine: Machine, faulty: Faulty, request: pytest.FixtureRequest) -> None:
    for command in (*ASKED, *MADE[machine.name]):
        for fault, when in ways(command, request):
            place = machine.workspace()
            faulty.set(command, fault, when)
            refused(faulty, place, "start")
            require_works(machine, place)


@MACHINES
@pytest.mark.parametrize(("verb", "command"), [("stop", "stop"), ("destroy", "rm")])
def test_an_end_that_fails(
    machine: Machine, faulty: Faulty, request: pytest.FixtureRequest, verb: str, command: str
) -> None:
    place = machine.workspace()
    for fault, when in ways(command, request):
        machine.ok("start", "--workspace", str(place), timeout=300)
        faulty.set(command, fault, when)
        if (verb, when) == ("destroy", "after"):
            # what was wanted is so, whatever the engine says
            assert faulty.aibox(place, verb)[0] == 0
        else:
            refused(faulty, place, verb)
    require_works(machine, place)


@MACHINES
def test_a_session_whose_engine_ends(machine: Machine, faulty: Faulty) -> None:
    """The code is the engine's, as a shell has it; the box is none the worse."""
    place = machine.workspace()
    machine.ok("start", "--workspace", str(place))
    for fault, code in (("fails", 1), ("killed", 128 + 9)):
        faulty.set("exec", fault, "before")
        way = ("--workspace", str(place), "--engine-path", str(faulty.program))
        assert machine.aibox("exec", *way, "--", "true").code == code
        assert faulty.aibox(place, "exec", "--", "true")[0] == code
    require_works(machine, place)


# the whole time limit of a query goes by
@pytest.mark.parametrize("machine", ["rootful-2024", "docker-2024"], indirect=True)
def test_an_engine_that_hangs(machine: Machine, faulty: Faulty) -> None:
    """It is ended with all that it started, and what it was is said."""
    place = machine.workspace()
    faulty.set("container inspect", "hangs", "before")
    code, name, said = faulty.aibox(place, "start", timeout=120)
    assert (code, name) == (1, "command-timeout"), said
    assert "did not end within 30 seconds and was stopped" in said
    require_works(machine, place)
