"""Work on volumes with an engine that answers from a script: what is asked in which order, what a failure leaves."""

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from samples import engine
from test_volumearchive import FILE, ROOT, member, sealed

from aibox import audit, boxes, cli, volumejobs, volumes
from aibox.commands import repair, volume
from aibox.config import Policy, load_config
from aibox.context import Context
from aibox.enginecalls import QUERY_SECONDS, EngineCalls
from aibox.errors import AiboxError
from aibox.jsonview import Json, dump
from aibox.model import Developer
from aibox.runner import Result
from aibox.state import Paths
from aibox.ui import Outcome, Style
from aibox.volumearchive import Reader

PLAIN = Style(json=False, log_json=False, colour=False)
HOME, NPM, EVE = "aibox-dev1-home", "aibox-dev1-npm-cache", "aibox-eve-npm-cache"
GOOD = sealed([member(ROOT), member(FILE, b"abc")])


class FakeEngine(EngineCalls):
    """An engine with volumes; `holders` are its answers, one after the other, on who has a volume."""

    def __init__(self, *names: str) -> None:
        super().__init__(engine(rootless=True), {})
        self.names = list(names)
        self.done: list[str] = []
        self.holders: list[list[dict[str, Json]]] = []
        self.labels: dict[str, Json] = {}

    def run(self, argv: Sequence[str], timeout: float = QUERY_SECONDS) -> Result:
        del timeout
        words = tuple(argv)
        if argv[1] == "ps":
            return Result(words, 0, dump(list(self.holders.pop(0)) if self.holders else []).encode(), b"")
        self.done.append(" ".join([*argv[1:3], argv[-1]]) if argv[1:3] != ["volume", "ls"] else "volume ls")
        if argv[1:3] == ["volume", "ls"]:
            rows: list[Json] = [
                {"Name": name, "Driver": "local", "Mountpoint": f"/v/{name}/_data", "Labels": self.labels}
                for name in self.names
            ]
            return Result(words, 0, dump(rows).encode(), b"")
        if argv[1:3] == ["volume", "create"]:
            self.names.append(argv[-1])
        return Result(words, 0, b"", b"")


class Worker:
    """Takes the place of volumework.py: notes the actions; `failing` ones fail."""

    def __init__(self, fake: FakeEngine) -> None:
        self.fake, self.failing, self.tokens = fake, "", set[str]()

    def __call__(
        self,
        calls: EngineCalls,
        settings: Mapping[str, Json],
        *,
        timeout: float = 0,
        stdin_from: int | None = None,
        stdout_to: int | None = None,
    ) -> Json:
        del calls, timeout
        action = str(settings["action"])
        self.fake.done.append(action)
        self.tokens.add(str(settings.get("token")))
        if action == "measure":
            folders = settings["folders"]
            assert isinstance(folders, list)
            return [{"bytes": 4096, "files": 1, "leftover": 0} for _ in folders]
        if action == self.failing:
            raise AiboxError("volume-failed", f"{action} failed")
        if action == "fill":
            assert stdin_from is not None
            assert os.pread(stdin_from, 1 << 20, 0) == GOOD
            assert os.lseek(stdin_from, 0, os.SEEK_CUR) == 0
        if action == "pack":
            assert stdout_to is not None
            os.write(stdout_to, GOOD)
        return {"members": 2, "bytes": 3, "sha256": "", "left_out": 0}


BUSY: list[dict[str, Json]] = [{"Names": ["box"], "State": "running", "Labels": {"io.aibox.workspace": "/w x"}}]
HAND: list[dict[str, Json]] = [{"Names": ["hand"], "State": "paused"}, {"Names": ["old"], "State": "exited"}]


@pytest.fixture
def gathered(tmp_path: Path) -> Context:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "setup.json").write_text("{}")
    own = Paths(f"{tmp_path}/data", f"{tmp_path}/run", f"{tmp_path}/config", f"{tmp_path}/seccomp.json")
    return Context({"HOME": str(tmp_path)}, Developer(1001, 1001, "dev1"), own, load_config([], environ={}), Policy())


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    made = FakeEngine(HOME, NPM, EVE)
    monkeypatch.setattr(Context, "calls", lambda _self: made)
    return made


@pytest.fixture
def worker(fake: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> Worker:
    made = Worker(fake)
    monkeypatch.setattr(volumes, "work", made)
    return made


@pytest.fixture
def backup(tmp_path: Path) -> str:
    (tmp_path / "b.tar").write_bytes(GOOD)
    return str(tmp_path / "b.tar")


def run(gathered: Context, *words: str, **options: object) -> Outcome:
    arguments = cli.Arguments()
    arguments.words = list(words[1:])
    for name, value in options.items():
        setattr(arguments, name, value)
    return {"volume": volume.run, "repair": repair.run}[words[0]](gathered, arguments, PLAIN)


def code_of(gathered: Context, *words: str, **options: object) -> AiboxError:
    with pytest.raises(AiboxError) as caught:
        run(gathered, *words, **options)
    return caught.value


def test_restore(gathered: Context, fake: FakeEngine, worker: Worker, backup: str) -> None:
    outcome = run(gathered, "volume", "restore", "home", backup, yes=True)
    assert outcome.lines == [f"{HOME}: 2 files and folders restored"]
    assert fake.done == ["volume ls", "fill", "exchange", "clean"]
    assert len(worker.tokens) == 2, "one token for fill and exchange"
    assert [event["event"] for event in audit.events(gathered.paths, HOME)] == ["volume-restored"]


@pytest.mark.usefixtures("worker")
def test_restore_makes_what_is_missing(gathered: Context, fake: FakeEngine, backup: str) -> None:
    fake.names.clear()
    run(gathered, "volume", "restore", "home", backup, yes=True)
    assert fake.done == ["volume ls", f"volume create {HOME}", "volume ls", "fill", "exchange", "clean"]


@pytest.mark.parametrize("failing", ["fill", "exchange"])
def test_a_failure_is_cleaned_up(gathered: Context, worker: Worker, backup: str, failing: str) -> None:
    worker.failing = failing
    done = ["fill", "clean"] if failing == "fill" else ["fill", "exchange", "clean"]
    assert code_of(gathered, "volume", "restore", "home", backup, yes=True).what == f"{failing} failed"
    assert worker.fake.done == ["volume ls", *done]
    assert audit.events(gathered.paths, HOME) == []


@pytest.mark.usefixtures("fake")
def test_former_data_that_stay_are_named(gathered: Context, worker: Worker, backup: str) -> None:
    worker.failing = "clean"
    outcome = run(gathered, "volume", "restore", "home", backup, yes=True)
    assert outcome.notices == (f"the former data of {HOME} are still on the disk: clean failed",)


@pytest.mark.usefixtures("worker")
def test_a_box_that_starts_meanwhile_keeps_its_volume(gathered: Context, fake: FakeEngine, backup: str) -> None:
    """The last look is made under the lock that starting boxes share, right before the exchange."""
    fake.holders = [[], [], BUSY]
    error = code_of(gathered, "volume", "restore", "home", backup, yes=True)
    assert (error.code, error.fix) == ("volume-in-use", "aibox stop --workspace '/w x'")
    assert fake.done == ["volume ls", "fill", "clean"]
    fake.holders = [[], BUSY]
    assert code_of(gathered, "volume", "backup", "home", output=backup).code == "volume-in-use"
    assert Path(backup).read_bytes() == GOOD
    assert os.listdir(os.path.dirname(backup)).count("b.tar") == 1


@pytest.mark.usefixtures("worker")
def test_who_holds_a_volume_is_named(gathered: Context, fake: FakeEngine) -> None:
    fake.holders = [HAND]
    error = code_of(gathered, "repair", "cache", "npm", yes=True)
    assert (error.what, error.fix) == (f"{NPM} is used by hand", "podman stop hand")
    assert fake.done == ["volume ls"]


@pytest.mark.usefixtures("worker")
def test_backup(gathered: Context, fake: FakeEngine, tmp_path: Path) -> None:
    target = tmp_path / "new.tar"
    outcome = run(gathered, "volume", "backup", "home", output=str(target))
    assert target.read_bytes() == GOOD
    assert target.stat().st_mode & 0o777 == 0o600
    assert outcome.data["file"] == str(target)
    assert fake.done == ["volume ls", "pack"]
    (tmp_path / ".new.tar.aibox-part").write_bytes(b"left by a killed one" * 1000)
    run(gathered, "volume", "backup", "home", output=str(target))
    assert target.read_bytes() == GOOD
    assert not (tmp_path / ".new.tar.aibox-part").exists()


@pytest.mark.usefixtures("fake")
def test_a_failed_backup_leaves_the_target(gathered: Context, worker: Worker, backup: str) -> None:
    worker.failing = "pack"
    assert code_of(gathered, "volume", "backup", "home", output=backup).code == "volume-failed"
    assert Path(backup).read_bytes() == GOOD
    assert [name for name in os.listdir(os.path.dirname(backup)) if "part" in name] == []


def test_a_backup_over_a_use_is_refused(gathered: Context, worker: Worker, backup: str) -> None:
    boxes.note_use(gathered.paths, [HOME])
    os.utime(boxes.use_path(gathered.paths, HOME), (1, 1))
    job = volumejobs.find(gathered, worker.fake, "home")

    def step(_text: str) -> None:
        boxes.note_use(gathered.paths, [HOME])

    with pytest.raises(AiboxError, match="used by a box meanwhile"):
        volumejobs.backup(job, backup, step)


@pytest.mark.usefixtures("worker")
def test_files_that_cannot_be_backups(gathered: Context, tmp_path: Path, backup: str) -> None:
    for path in (str(tmp_path), "/dev/null", f"{tmp_path}/missing"):
        assert code_of(gathered, "volume", "restore", "home", path, yes=True).code == "usage"
    assert code_of(gathered, "volume", "backup", "home", output=str(tmp_path)).code == "usage"
    assert code_of(gathered, "volume", "backup", "home", output=f"{tmp_path}/no/x").code == "usage"
    assert code_of(gathered, "volume", "backup", "home").code == "usage"
    error = code_of(gathered, "volume", "restore", "maven", backup, yes=True)
    assert (error.code, error.what) == ("volume-archive", "this is a backup of aibox-dev-home, not of a maven")


@pytest.mark.usefixtures("worker")
def test_nothing_happens_without_consent(gathered: Context, fake: FakeEngine, backup: str) -> None:
    cases = (("volume", "restore", "home", backup), ("volume", "prune"), ("repair", "cache"))
    for words in cases:
        fake.done.clear()
        assert code_of(gathered, *words).code == "consent-needed", words
        assert set(fake.done) <= {"volume ls", "measure"}


@pytest.mark.usefixtures("worker")
def test_dry_runs(gathered: Context, fake: FakeEngine, backup: str, tmp_path: Path) -> None:
    shown = run(gathered, "volume", "restore", "home", backup, dry_run=True).lines
    assert [word for line in shown for word in ("fill", "exchange", "clean") if f'"{word}"' in line] == [
        "fill", "exchange", "clean",
    ]  # fmt: skip
    assert shown[0].endswith(f"< {backup}")
    target = f"{tmp_path}/x y"
    assert run(gathered, "volume", "backup", "home", output=target, dry_run=True).lines[0].endswith(f"> '{target}'")
    assert not os.path.exists(target)
    assert len(run(gathered, "repair", "cache", dry_run=True).lines) == 3
    assert run(gathered, "volume", "prune", dry_run=True).lines == [
        f"/usr/bin/podman volume rm {name}" for name in (NPM, EVE)
    ]
    assert {"fill", "exchange", "fresh", "pack"} & set(fake.done) == set()


@pytest.mark.usefixtures("worker")
def test_repair_takes_the_callers_caches_only(gathered: Context, fake: FakeEngine) -> None:
    outcome = run(gathered, "repair", "cache", yes=True)
    assert outcome.data == {"caches": [{"volume": NPM, "bytes": 4096}]}
    assert fake.done == ["volume ls", "measure", "fresh", "exchange", "clean"]
    fake.names = [EVE]
    root = gathered._replace(caller=Developer(0, 0, "root"))
    assert run(root, "repair", "cache", yes=True).data == {"caches": [{"volume": EVE, "bytes": 4096}]}


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("repair",), "usage"),
        (("repair", "caches"), "usage"),
        (("repair", "cache", "home"), "usage"),
        (("repair", "cache", HOME), "usage"),
        (("repair", "cache", "maven"), "volume-missing"),
        (("volume", "backup"), "usage"),
        (("volume", "prune", "x"), "usage"),
        (("volume", "bakup", "home"), "usage"),
    ],
)
def test_wrong_words(gathered: Context, words: tuple[str, ...], code: str) -> None:
    assert code_of(gathered, *words, yes=True).code == code


@pytest.mark.usefixtures("worker")
def test_options_of_another_part_are_refused(gathered: Context) -> None:
    assert "does not take --output" in code_of(gathered, "volume", "list", output="x").what
    assert "does not take --homes" in code_of(gathered, "volume", "backup", "home", output="x", homes=True).what


@pytest.mark.usefixtures("worker")
def test_prune(gathered: Context, fake: FakeEngine) -> None:
    boxes.note_use(gathered.paths, [HOME, NPM])
    fake.holders = [[{"Names": ["x"], "State": "exited"}], []]
    outcome = run(gathered, "volume", "prune", yes=True)
    assert outcome.data == {"volumes_removed": [EVE], "bytes": 4096}
    fake.holders = [[], [], []]
    assert run(gathered, "volume", "prune", yes=True, homes=True).data["volumes_removed"] == [HOME, NPM, EVE]
    assert boxes.noted_volumes(gathered.paths) == []


@pytest.mark.usefixtures("worker")
def test_a_volume_with_another_users_label_is_not_ours(gathered: Context, fake: FakeEngine) -> None:
    fake.labels = {"io.aibox.owner": "dev1"}
    assert [name.name for name, _ in volumes.known(fake)] == [HOME, NPM]
    assert run(gathered, "volume", "prune", dry_run=True).lines == [f"/usr/bin/podman volume rm {NPM}"]


def test_the_check_reads_what_the_worker_gets(gathered: Context, fake: FakeEngine, tmp_path: Path) -> None:
    job = volumejobs.find(gathered, fake, "home")
    assert job.settings("x")["rows"] == [[0, 1, 1000], [1000, 0, 1], [1001, 1001, 64535]]
    (tmp_path / "f").write_bytes(GOOD[:-1])
    with open(tmp_path / "f", "rb") as file, pytest.raises(AiboxError):
        volumejobs.check(job, file)
    with pytest.raises(AiboxError):
        Reader(io.BytesIO(GOOD), len(GOOD) - 512)
