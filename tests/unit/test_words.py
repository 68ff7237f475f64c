"""What people read: ages, tables and pages that fit a terminal, how long silent work takes, the first run's words."""

import os
import pty
import struct
import time
from fcntl import ioctl
from termios import TIOCSWINSZ

import pytest

from aibox import ages, meter, setupimage, ui
from aibox.commands import setup
from aibox.config import Policy, load_config
from aibox.context import Context
from aibox.facts import HostFacts
from aibox.model import Developer
from aibox.setupsteps import Setup
from aibox.state import Paths
from aibox.ui import Style

NOW = 1_795_571_928 + 3 * 86_400
PLAIN = Style(json=False, log_json=False, colour=False)
LONG = "/srv/work/a department with a long name/and a project that has an even longer name than that/sources"
ROWS = [
    ("STATE", "MADE", "WORKSPACE", "BOX"),
    ("running", "59 minutes ago", LONG, "aibox-a.user.with.a.name.of.32.bytes.-0117d4fa18ed"),
    ("exited", "3 days ago", "/home/dev1/p", "aibox-dev1-0117d4fa18ed"),
]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1795571928", 1795571928),
        ("2026-11-25T01:58:48.441228735Z", 1795571928),
        ("2026-11-25T01:58:48Z", 1795571928),
        ("2026-11-25T03:58:48+02:00", 1795571928),
        ("2026-11-24 20:28:48.5 -0530 UTC", 1795571928),
        ("2 seconds ago", None),
        ("", None),
    ],
)
def test_moments_of_every_engine(text: str, seconds: int | None) -> None:
    assert ages.moment(text) == seconds
    assert ages.iso(text) == (text if seconds is None else "2026-11-25T01:58:48Z")


@pytest.mark.parametrize(
    ("passed", "shown"),
    [
        (-5, "just now"), (59, "just now"), (60, "1 minute ago"), (7199, "1 hour ago"), (7200, "2 hours ago"),
        (86_400, "1 day ago"), (900 * 86_400, "900 days ago"),
    ],
)  # fmt: skip
def test_ages_are_of_one_unit(passed: int, shown: str) -> None:
    assert ages.ago(str(NOW - passed), NOW) == shown


def test_an_age_that_is_none_stays() -> None:
    assert ages.ago("", NOW) == ""
    assert ages.ago("some time", NOW) == "some time"


@pytest.mark.parametrize("width", [80, 100, 120])
def test_a_list_fits_and_short_names_stay_whole(width: int) -> None:
    lines = ui.fitted(ROWS, width, (2, 3))
    assert max(map(len, lines)) <= width
    assert "/home/dev1/p " in lines[2]
    assert "sources" in lines[1]
    assert "0117d4fa18ed" in lines[1]


def test_a_list_for_a_pipe_is_whole() -> None:
    assert ui.fitted(ROWS, 0, (2, 3)) == ui.table(ROWS)


def test_names_with_control_characters_stay_in_their_line() -> None:
    assert ui.fitted([("a\nb\x1b[31m", "c")], 80, (0,)) == ["a\\x0ab\\x1b[31m  c"]
    assert ui.pairs([("n", "a\nb")], 80) == ["n  a\\x0ab"]


def test_the_middle_of_a_path_is_left_out() -> None:
    assert ui.shortened("/home/dev1/project", 18) == "/home/dev1/project"
    assert ui.shortened("/home/dev1/project", 13) == "/ho...project"


def test_values_go_on_below_their_beginning() -> None:
    rows = [("box", "x"), ("host", "one two three four five"), ("workspace", "/a" * 30)]
    assert ui.pairs(rows, 0)[1] == "host       one two three four five"
    lines = ui.pairs(rows, 26)
    assert lines[:3] == ["box        x", "host       one two three", "           four five"]
    assert max(map(len, lines)) <= 26
    assert "".join(line[11:] for line in lines[3:]) == "/a" * 30


def test_only_a_terminal_has_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 24, 72, 0, 0))
    kept = os.dup(1)
    try:
        os.dup2(theirs, 1)
        monkeypatch.setattr("sys.__stdout__", os.fdopen(os.dup(1), "w"))
        seen = ui.columns()
    finally:
        os.dup2(kept, 1)
        for descriptor in (ours, theirs, kept):
            os.close(descriptor)
    assert seen == 72
    read, write = os.pipe()
    kept = os.dup(1)
    try:
        os.dup2(write, 1)
        assert ui.columns() == 0
    finally:
        os.dup2(kept, 1)
        for descriptor in (read, write, kept):
            os.close(descriptor)


def test_silent_work_says_how_long_it_takes() -> None:
    said: list[str] = []
    with meter.pulse("image", said.append, every=0.02):
        time.sleep(0.11)
    count = len(said)
    assert count >= 2
    assert said[0] == "image: 0 s so far"
    time.sleep(0.05)
    assert len(said) == count, "it goes on after the end"


def test_work_that_fails_ends_the_pulse_and_fails() -> None:
    said: list[str] = []
    with pytest.raises(OSError, match="x"), meter.pulse("image", said.append, every=60):
        raise OSError("x")
    assert said == []


@pytest.mark.parametrize(("given", "how"), [(True, "then done"), (False, "then done if you agree")])
def test_a_first_run_says_what_will_happen(capsys: pytest.CaptureFixture[str], given: bool, how: str) -> None:
    setup.introduce(9, given=given, style=PLAIN)
    told = capsys.readouterr().err.splitlines()
    assert told[0].endswith(how)
    assert "9 steps" in told[0]
    assert "minutes" in told[1]


@pytest.mark.parametrize(
    "case",
    [
        ("debian", 1001, None, "", "administrator run: apt-get install mmdebstrap; then: aibox setup"),
        ("debian", 1001, "/usr/bin/mmdebstrap", "", "aibox setup --image"),
        ("debian", 0, None, "", "aibox setup --image"),
        ("fedora", 1001, None, "", "aibox setup --image"),
        ("debian", 1001, None, "localhost/x:1", "aibox setup --image"),
    ],
)
def test_where_no_image_is_got_what_lacks_is_named(
    monkeypatch: pytest.MonkeyPatch, case: tuple[str, int, str | None, str, str]
) -> None:
    distribution, uid, program, image, said = case
    flags = {"image": image} if image else {}
    monkeypatch.setattr("aibox.runner.find_program", lambda _name: program)
    caller, paths = Developer(uid, uid, "dev1"), Paths("/nonexistent", "/nonexistent", "/nonexistent", "/nonexistent")
    context = Context({}, caller, paths, load_config([], environ={}, flags=flags), Policy())
    host = HostFacts("linux", "6.1.0", "x86_64", distribution, "12", "none", cgroup2=True)
    assert said in setupimage._way_out(Setup(context, host, "", print))
