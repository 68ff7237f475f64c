"""Attempts to break out of a box: each has to fail, and each has a control run that shows what the defence is for."""

import outerlayer
import pytest
from byhand import Refused
from hosttable import HOST, OUTER, Act, HostAttempt
from results import RESULTS, Result
from scene import Ending, Scene
from table import INSIDE, RUNC, RUNSC, Attempt


@pytest.mark.parametrize("row", INSIDE, ids=lambda row: row.id)
def test_attempt_from_inside(request: pytest.FixtureRequest, scene: Scene, row: Attempt) -> None:
    box, control = scene.ending("box", row.program), scene.ending(row.control_run, row.program)
    denied, known = is_denied(box, row), runtime_of(scene) in row.succeeds
    works = control.ended == "succeeded" or control.what in row.reached
    request.config.stash[RESULTS].append(Result(scene.kind, row.id, denied, known, works))
    assert works, f"the control run ({row.control_run}) does not work, so the refusal proves nothing: {control}"
    if known:
        assert box.ended == "succeeded", f"no longer a limit of {runtime_of(scene)}: {box}"
    else:
        assert denied, f"in the box: {box}"


def runtime_of(scene: Scene) -> str:
    """The name of the scene's runtime in the table."""
    version = scene.kind.rpartition("-")[2]
    return RUNC if version == RUNC else f"runsc-{version}"


def is_denied(ending: Ending, row: Attempt) -> bool:
    """Whether it ended in a way that the table foresees."""
    return ending.ended in ("refused", "killed") and ending.what in row.refused


def test_nothing_from_inside_succeeds(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """All attempts in one session of the box, without control runs, which the test of each attempt has."""
    rows = [row for row in INSIDE if RUNSC in row.runtimes]
    ended = {row: scene.ending("box", row.program) for row in rows}
    known = {row for row in rows if runtime_of(scene) in row.succeeds}
    denied = {row for row, ending in ended.items() if is_denied(ending, row)}
    with capsys.disabled():
        print(
            f"\n{scene.kind}: {len(rows)} attempts from inside, {len(denied)} denied, {len(known)} known limits, "
            f"{len(set(rows) - denied - known)} SUCCEEDED"
        )
    assert {row.id: str(ending) for row, ending in ended.items() if row not in denied | known} == {}


@pytest.mark.parametrize("row", HOST, ids=lambda row: row.id)
def test_attempt_from_the_host(request: pytest.FixtureRequest, scene: Scene, row: HostAttempt) -> None:
    control = ended(row.control, scene)
    attempt = ended(row.act, scene)
    denied = attempt.ended == "refused" and (attempt.what in row.refused or row.refused == ("denied",))
    known = ("rootless" if scene.machine.rootless else "rootful") not in row.modes
    works = control.ended == "succeeded"
    request.config.stash[RESULTS].append(Result(scene.kind, row.id, denied, known, works))
    assert works, f"the control run does not work, so the refusal proves nothing: {control}"
    if known:
        assert attempt.ended == "succeeded", f"no longer a limit: {attempt}"
    else:
        assert denied, str(attempt)


def ended(act: Act, scene: Scene) -> Ending:
    """How it ended."""
    try:
        return Ending("succeeded", act(scene))
    except Refused as error:
        return Ending("refused", str(error))


def test_attempts_from_the_outer_layer(request: pytest.FixtureRequest, scene: Scene) -> None:
    """A program in runsc's place, started by the launcher that starts runsc."""
    confined, bare = outerlayer.launched(scene), outerlayer.bare(scene)
    for name, error in OUTER.items():
        denied, works = confined[name] == Ending("refused", error), bare[name].ended == "succeeded"
        request.config.stash[RESULTS].append(Result(scene.kind, f"outer-{name}", denied, known=False, control=works))
    assert confined == {name: Ending("refused", error) for name, error in OUTER.items()}
    assert {name: ending.ended for name, ending in bare.items()} == dict.fromkeys(OUTER, "succeeded")


def test_sentry_and_gofer_carry_the_outer_filter(scene: Scene) -> None:
    """Seen on the host; the control container, under runsc without aibox's wrapper, has one filter less."""
    box = {part: outerlayer.filters_of(pid) for part, pid in outerlayer.parts(scene, scene.name).items()}
    without = outerlayer.parts(scene, f"{scene.name}-unfiltered")
    assert box == {part: outerlayer.filters_of(pid) + 1 for part, pid in without.items()}
