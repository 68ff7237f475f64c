"""The time limits of a probe: a slow disk is not taken for a platform that hangs."""

from collections.abc import Sequence

from test_setup import LOCAL, FakeEngine, Make, made, step

from aibox import probe, setupimage
from aibox.enginecalls import CREATE_SECONDS, QUERY_SECONDS
from aibox.model import Runtime
from aibox.runner import Result

__all__ = ["made"]  # a fixture


class Clocked(FakeEngine):
    """An engine that notes the time limit of each command."""

    def __init__(self, *images: str) -> None:
        super().__init__(*images)
        self.limits: dict[str, float] = {}

    def run(self, argv: Sequence[str], timeout: float = QUERY_SECONDS) -> Result:
        self.limits[next((word for word in argv if word in ("create", "start", "exec")), "")] = timeout
        return super().run(argv, timeout)


def test_a_slow_copy_of_an_image_is_not_taken_for_a_platform_that_hangs(made: Make) -> None:
    """The engine copies an image at the first `create`; only `start` and `exec` tell about the platform."""
    fake = Clocked(LOCAL)
    setup = made(fake)
    setupimage.get(setup)
    step("seccomp").do(setup)
    image = setupimage.local_image(setup.context, fake, setup.record)
    runtime = Runtime("runsc", "/x/aibox-runsc", "0" * 64, "/usr/bin/runsc", "systrap")
    probe.try_runtime(setup.context, fake, runtime, setup.seccomp(), image)
    assert {name: fake.limits[name] for name in ("create", "start", "exec")} == {
        "create": CREATE_SECONDS,
        "start": probe.PROBE_SECONDS,
        "exec": probe.PROBE_SECONDS,
    }
    assert CREATE_SECONDS > 5 * probe.PROBE_SECONDS
