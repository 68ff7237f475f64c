"""Recognising a Podman that works elsewhere, and saying what makes it so."""

from pathlib import Path

import pytest

from aibox import remotepodman
from aibox.runner import Result


def answer(out: str = "", err: str = "", code: int = 0) -> Result:
    return Result(("podman", "info"), code, out.encode(), err.encode())


@pytest.mark.parametrize(
    ("result", "wanted"),
    [
        (answer('{"host": {"serviceIsRemote": true}}'), True),
        (answer('{"host": {"serviceIsRemote": false}}'), False),
        (answer("{}"), False),
        (answer("garbage"), False),
        (answer(err="Cannot connect to Podman. Please verify your connection", code=125), True),
        (answer(err="Error: unable to connect to Podman socket: dial unix", code=125), True),
        (answer(err="Error: database is locked", code=125), False),
    ],
)
def test_what_info_says(result: Result, wanted: bool) -> None:
    assert remotepodman.elsewhere(result) is wanted


def test_what_makes_it_so_and_what_mends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remotepodman, "SYSTEM", (str(tmp_path / "system.conf"),))
    own = tmp_path / "own"
    (own / "containers.conf.d").mkdir(parents=True)
    error = remotepodman.refusal("/usr/bin/podman", str(own))
    assert (error.code, error.why) == ("engine-remote", "its connections lead there")
    error = remotepodman.refusal("/usr/bin/podman-remote", str(own))
    assert error.fix == "aibox setup --engine-path /usr/bin/podman"
    for text in ("[engine]\n#remote = true\n", "[engine]\nremote = false\n", "[engine]\nnot_remote = true\n"):
        (own / "containers.conf").write_text(text)
        assert remotepodman.configuration(str(own)) == []
    (own / "containers.conf").write_text("[engine]\n  remote=true # here\n")
    (own / "containers.conf.d" / "9.conf").write_text("[engine]\nremote = true\n")
    error = remotepodman.refusal("/usr/bin/podman", str(own))
    assert error.why == f"{own}/containers.conf, {own}/containers.conf.d/9.conf says `remote = true`"
    assert error.fix.startswith("sed -i ")
    (tmp_path / "system.conf").write_text("remote = true\n")
    monkeypatch.setattr(remotepodman, "ROOTS", str(tmp_path / "roots"))
    assert remotepodman.refusal("/usr/bin/podman", str(tmp_path / "roots")).fix.startswith("sed -i "), "for root"
    assert remotepodman.refusal("/usr/bin/podman", str(own)).fix.startswith("sudo sed -i ")
