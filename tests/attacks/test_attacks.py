"""Attempts to break out of a box: each has to fail, and each has a control run that shows what the defence is for."""

import pytest
from results import RESULTS, Result
from scene import Scene
from table import INSIDE, RUNC, RUNSC, Attempt


@pytest.mark.parametrize("row", INSIDE, ids=lambda row: row.id)
def test_attempt_from_inside(request: pytest.FixtureRequest, scene: Scene, row: Attempt) -> None:
    family = RUNC if scene.kind.endswith(RUNC) else RUNSC
    if family not in row.runtimes:
        return
    runtime = RUNC if family == RUNC else f"runsc-{scene.kind.rpartition('-')[2]}"
    box, control = scene.endings["box", row.program], scene.endings[row.control_run, row.program]
    denied = box.ended in ("refused", "killed") and box.what in row.refused
    known = runtime in row.succeeds
    works = control.ended == "succeeded" or control.what in row.reached
    request.config.stash[RESULTS].append(Result(scene.kind, row.id, denied, known, works))
    assert works, f"the control run ({row.control_run}) does not work, so the refusal proves nothing: {control}"
    if known:
        assert box.ended == "succeeded", f"no longer a limit of {runtime}: {box}"
    else:
        assert denied, f"in the box: {box}"
