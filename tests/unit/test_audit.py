"""The audit log: whole lines whoever writes at once, nothing without a record, every refusal in it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from samples import plan_of

from aibox import audit, boxes, cli, context, facts
from aibox.config import Policy, load_config
from aibox.context import Context
from aibox.errors import CONTROL, AiboxError
from aibox.state import Paths
from aibox.ui import Outcome

ROOT = Path(__file__).resolve().parents[2]
PLAN = plan_of("podman-4.3.1-rootless")


def mine(folder: Path) -> Paths:
    return Paths(f"{folder}/data", f"{folder}/run", f"{folder}/config", f"{folder}/data/seccomp.json")


def test_audit_lines(tmp_path: Path) -> None:
    own = mine(tmp_path)
    audit.record(own, "launched", "box-a", plan="x", checks=3)
    audit.record(own, "launched", "box-b")
    audit.record(own, "refused", "box-a", why="line\nbreak\u2028")
    file = Path(audit.path(own))
    lines = file.read_text().split("\n")
    assert len(lines) == 4
    assert file.stat().st_mode & 0o7777 == 0o600
    with file.open("a") as log:
        log.write('{"torn\n[]\n\n')
    found = audit.events(own, "box-a")
    assert [(event["event"], event.get("why"), event.get("checks")) for event in found] == [
        ("launched", None, 3), ("refused", "line\nbreak\u2028", None),
    ]  # fmt: skip
    assert str(found[0]["time"]).endswith("Z")


def test_audit_rotates_and_keeps_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = mine(tmp_path)
    monkeypatch.setattr(audit, "LARGEST", 400)
    for number in range(40):
        audit.record(own, "launched", "box", number=number)
    names = sorted(os.listdir(own.data))
    assert names == ["audit.jsonl", *(f"audit.jsonl.{number}" for number in range(1, audit.KEPT + 1)), "audit.lock"]
    numbers = [event["number"] for event in audit.events(own, "box")]
    assert numbers == sorted(numbers, key=lambda number: number if isinstance(number, int) else -1)
    assert numbers[-1] == 39
    assert len(numbers) > 15


def test_a_log_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    own = mine(tmp_path)
    os.makedirs(own.data)
    Path(audit.path(own)).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AiboxError) as caught:
        audit.record(own, "launched", "box")
    assert caught.value.code == "state-unwritable"
    assert not (tmp_path / "elsewhere").exists()


def writer(data: Path, program: str) -> "subprocess.Popen[str]":
    head = "import sys; from aibox import audit; from aibox.state import Paths; own = Paths(sys.argv[1], '', '', '')\n"
    return subprocess.Popen(
        [sys.executable, "-c", head + program, str(data)], cwd=ROOT, text=True, stdout=subprocess.PIPE
    )


def test_writers_at_once_lose_and_tear_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every other line or so is one after which the file has to be rotated."""
    monkeypatch.setattr(audit, "KEPT", 400)
    program = (
        "audit.LARGEST, audit.KEPT = 4000, 400\n"
        "for n in range(50): audit.record(own, 'e', 'b', writer=sys.argv[1], number=n, fill='x' * 3000)"
    )
    children = [writer(tmp_path / "data", program) for _ in range(4)]
    for child in children:
        child.communicate()
    assert [child.returncode for child in children] == [0] * 4
    files = list((tmp_path / "data").glob("audit.jsonl*"))
    assert len(files) > 50
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert sorted(line["number"] for line in lines) == sorted(list(range(50)) * 4)
    assert len(audit.events(mine(tmp_path), "b")) == 200


def test_a_line_that_does_not_fit_is_taken_back(tmp_path: Path) -> None:
    """The kernel takes a part of the line, as on a full disk, and no more."""
    program = (
        "import resource; from aibox.errors import AiboxError\n"
        "audit.record(own, 'one', 'b')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, resource.RLIM_INFINITY))\n"
        "try: audit.record(own, 'two', 'b', fill='x' * 1000)\n"
        "except AiboxError as error: print(error.code)\n"
        "audit.record(own, 'three', 'b')\n"
    )
    child = writer(tmp_path / "data", program)
    assert child.communicate()[0] == "state-unwritable\n"
    assert child.returncode == 0
    lines = Path(audit.path(mine(tmp_path))).read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["one", "three"]


def test_a_line_after_one_that_was_cut_off(tmp_path: Path) -> None:
    own = mine(tmp_path)
    audit.record(own, "one", "b")
    with open(audit.path(own), "a", encoding="utf-8") as file:
        file.write('{"time": "20')
    audit.record(own, "two", "b")
    assert [event["event"] for event in audit.events(own, "b")] == ["one", "two"]


# Refusals


@pytest.fixture
def gathered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A developer with one box, for whom the command line works."""
    made = Context({"HOME": str(tmp_path)}, PLAN.owner, mine(tmp_path), load_config([], environ={}), Policy())
    boxes.remember(made.paths, PLAN)
    monkeypatch.setattr(facts, "host", lambda: None)
    monkeypatch.setattr(context, "gather", lambda _environ, _flags: made)
    monkeypatch.setattr(context, "gather_leniently", lambda _environ, _flags: made)
    return made


def fail_with(monkeypatch: pytest.MonkeyPatch, error: AiboxError) -> None:
    def run(_gathered: Context, _arguments: cli.Arguments, _style: object) -> Outcome:
        raise error

    monkeypatch.setattr(cli, "_load", lambda _row: run)


@pytest.mark.parametrize("code", ["control-failed", "bundle-tampered", "fallback-refused", "workspace-forbidden"])
@pytest.mark.parametrize(("verb", "box"), [("verify", PLAN.name), ("setup", "")])
def test_every_refusal_is_recorded_once(
    gathered: Context, monkeypatch: pytest.MonkeyPatch, code: str, verb: str, box: str
) -> None:
    error = AiboxError(code, "what", why="why")
    fail_with(monkeypatch, error)
    words = [verb] if verb == "setup" else [verb, "--workspace", PLAN.workspace.path]
    assert cli.main(words) == error.exit_code
    (event,) = audit.events(gathered.paths, box)
    assert {**event, "time": ""} == {
        "time": "", "event": "refused", "box": box, "code": code, "message": "what", "why": "why", "verb": verb,
    }  # fmt: skip
    cli.main(words)
    assert len(audit.events(gathered.paths, box)) == 1, "it bears the mark of what is recorded"


def test_other_failures_are_not_refusals(gathered: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, AiboxError("engine-failed", "what"))
    assert cli.main(["setup"]) == 1
    assert not os.path.exists(audit.path(gathered.paths))


def test_a_policy_that_is_not_trusted_is_recorded(gathered: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def gather(_environ: object, _flags: object) -> Context:
        raise AiboxError("policy-untrusted", "what")

    monkeypatch.setattr(context, "gather", gather)
    assert cli.main(["version", "--json"]) == CONTROL
    assert [event["code"] for event in audit.events(gathered.paths, "")] == ["policy-untrusted"]


def test_a_log_that_cannot_be_written_hides_no_refusal(
    gathered: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    os.symlink("/dev/full", audit.path(gathered.paths))
    fail_with(monkeypatch, AiboxError("control-failed", "the first error"))
    assert cli.main(["verify"]) == CONTROL
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("note: this refusal is not in the audit log: the audit log ")
    assert told[1] == "aibox: the first error [control-failed]"
