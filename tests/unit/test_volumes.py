"""What is known of volumes without an engine: reading Podman's lists, id maps, and what files take."""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from samples import engine

from aibox import boxes, boxids, cli, diskspace, volumes, volumetree
from aibox.boxids import ALL, IdRow, fitting, here, rows_for
from aibox.commands import df, repair, volume
from aibox.config import Policy, load_config
from aibox.context import Context
from aibox.enginecalls import QUERY_SECONDS, EngineCalls
from aibox.engines import podmanvolumes
from aibox.errors import AiboxError
from aibox.model import Developer
from aibox.runner import Result
from aibox.state import Paths
from aibox.ui import Style

PLAIN = Style(json=False, log_json=False, colour=False)
HOME, CACHE, FOREIGN = "aibox-dev1-home", "aibox-dev1-npm-cache", "data"
IMAGE = "8527219f98e2714e396f3222f284deddee27d3c87380f723d0d49102d0ffefd4"


def listed(name: str, **more: object) -> dict[str, object]:
    """A row of `podman volume ls --format json`, as 4.3.1 prints it."""
    return {
        "Name": name, "Driver": "local", "Mountpoint": f"/v/{name}/_data", "CreatedAt": "2026-11-28T02:16:49.41Z",
        "Labels": {}, "Scope": "local", "Options": {}, "UID": 1, "GID": 1, "MountCount": 0, "NeedsCopyUp": True, **more,
    }  # fmt: skip


class FakeEngine(EngineCalls):
    """An engine with three volumes and one box that has the home."""

    def __init__(self, status: str = "running", kind: str = "podman") -> None:
        super().__init__(engine(rootless=True)._replace(kind=kind), {})
        self.status = status
        self.asked: list[str] = []

    def run(self, argv: Sequence[str], timeout: float = QUERY_SECONDS) -> Result:
        del timeout
        self.asked.append(" ".join(argv[1:3]))
        labels = {"io.aibox.plan": "1", "io.aibox.workspace": "/w"}
        box = {"Names": ["aibox-dev1-1"], "Id": "1", "State": self.status, "Labels": labels, "ImageID": IMAGE}
        state = {"Status": self.status, "FinishedAt": "2026-11-01T10:00:00.5Z"}
        config = {"Labels": labels}
        mounts = [{"Type": "volume", "Name": HOME}, {"Type": "bind", "Source": "/w"}]
        answers: dict[str, object] = {
            "volume ls": [listed(HOME), listed(CACHE), listed(FOREIGN), listed("aibox-dev1-pip-cache", Driver="nfs")],
            "container inspect": [{"Name": "aibox-dev1-1", "State": state, "Config": config, "Mounts": mounts}],
            "ps --all": [{**box, "Size": {"rwSize": 12, "rootFsSize": 9}} if "--size" in argv else box],
            "images --no-trunc": [
                {"Id": f"sha256:{IMAGE}", "Names": ["localhost/aibox/base:24.04"], "Size": 1000},
                {"Id": "1" * 64, "Names": None, "RepoDigests": ["localhost/aibox/base@sha256:12"], "Size": 500},
                {"Id": "2" * 64, "Names": ["docker.io/library/other:1"], "Size": 7},
            ],
        }  # fmt: skip
        if argv[1] == "unshare":
            folders = json.loads(argv[-1])["folders"]
            sizes = [{"bytes": 4096 * at, "files": at, "leftover": 8192 * (at == 2)} for at, _ in enumerate(folders, 1)]
            return Result(tuple(argv), 0, json.dumps({"result": sizes}).encode(), b"")
        return Result(tuple(argv), 0, json.dumps(answers[" ".join(argv[1:3])]).encode(), b"")


@pytest.fixture
def gathered(tmp_path: Path) -> Context:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "setup.json").write_text("{}")
    own = Paths(f"{tmp_path}/data", f"{tmp_path}/run", f"{tmp_path}/config", f"{tmp_path}/seccomp.json")
    return Context({"HOME": str(tmp_path)}, Developer(1001, 1001, "dev1"), own, load_config([], environ={}), Policy())


def arguments(*words: str) -> cli.Arguments:
    made = cli.Arguments()
    made.words = list(words)
    return made


def test_list_shows_sizes_boxes_and_last_use(gathered: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeEngine()
    monkeypatch.setattr(Context, "calls", lambda _self: fake)
    outcome = volume.run(gathered, arguments("list"), PLAIN)
    rows = outcome.data["volumes"]
    assert isinstance(rows, list)
    assert [row["name"] for row in rows if isinstance(row, dict)] == [HOME, CACHE]
    assert [line.split() for line in outcome.lines] == [
        ["VOLUME", "SIZE", "FILES", "LAST", "USE", "BOXES"],
        [HOME, "4.0", "KiB", "1", "in", "use", "aibox-dev1-1"],
        [CACHE, "8.0", "KiB", "2", "not", "known", "none"],
    ]
    assert outcome.notices == ("8.0 KiB of interrupted commands; the next one on that volume removes it",)
    assert [words.partition(" /")[0] for words in fake.asked] == [
        "volume ls",
        "ps --all",
        "container inspect",
        "unshare",
    ]


def test_last_use_is_the_latest_that_is_known(gathered: Context) -> None:
    fake = FakeEngine("exited")
    ended = volumes.kept(gathered, fake)[0]
    assert (ended.busy, ended.used) == ((), volumes.seconds("2026-11-01T10:00:00Z"))
    boxes.note_use(gathered.paths, [HOME])
    assert abs(volumes.kept(gathered, fake)[0].used - time.time()) < 60
    assert volumes.seconds("0001-01-01T00:00:00Z") == volumes.seconds("garbage") == 0.0


def test_df_counts_what_is_aiboxs(gathered: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Context, "calls", lambda _self: FakeEngine())
    (Path(gathered.paths.data) / "x").write_bytes(b"x" * 5000)
    outcome = df.run(gathered, arguments(), PLAIN)
    assert outcome.data["images"] == [
        {"name": "localhost/aibox/base:24.04", "what": "used by aibox-dev1-1", "bytes": 1000},
        {"name": "localhost/aibox/base", "what": "not used", "bytes": 500},
    ]
    assert outcome.data["volumes"] == [{"name": HOME, "what": "", "bytes": 4096}]
    assert outcome.data["caches"] == [{"name": CACHE, "what": "", "bytes": 16384}]
    totals = outcome.data["totals"]
    assert isinstance(totals, dict)
    own = totals.pop("own")
    assert isinstance(own, int)
    assert own >= 8192
    assert totals == {
        "images": 1500,
        "volumes": 4096,
        "caches": 16384,
        "boxes": 12,
        "all": 1500 + 4096 + 16384 + 12 + own,
    }


def test_another_engine_is_refused(gathered: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Context, "calls", lambda _self: FakeEngine(kind="docker"))
    for act in (volume.run, df.run):
        with pytest.raises(AiboxError) as caught:
            act(gathered, arguments(), PLAIN)
        assert caught.value.code == "engine-unsupported"


def test_before_setup_the_engine_is_not_asked(gathered: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first call would settle the storage driver."""
    fake = FakeEngine()
    monkeypatch.setattr(Context, "calls", lambda _self: fake)
    os.unlink(gathered.paths.setup_record)
    assert volume.run(gathered, arguments("list"), PLAIN).data == {"volumes": []}
    assert df.run(gathered, arguments(), PLAIN).data["images"] == []
    for act, words in ((volume.run, ("prune",)), (repair.run, ("cache",)), (repair.run, ("cache", "npm"))):
        with pytest.raises(AiboxError) as caught:
            act(gathered, arguments(*words), PLAIN)
        assert caught.value.code == "runtime-missing"
    assert fake.asked == []


def test_a_part_that_is_not_there(gathered: Context) -> None:
    with pytest.raises(AiboxError, match="no part 'lst'"):
        volume.run(gathered, arguments("lst"), PLAIN)


@pytest.mark.parametrize("output", ["{}", "x", '"a"'])
def test_garbage_of_the_engine(output: str) -> None:
    for parse in (podmanvolumes.parse_volumes, podmanvolumes.parse_images, podmanvolumes.parse_mounted):
        with pytest.raises(AiboxError) as caught:
            parse(output)
        assert caught.value.code == "engine-garbage"


@pytest.mark.parametrize(
    ("reference", "name"),
    [("a/b:1", "a/b"), ("h:5000/a", "h:5000/a"), ("h:5000/a:2", "h:5000/a"), ("a@sha256:1", "a"), ("a", "a")],
)
def test_repositories(reference: str, name: str) -> None:
    assert diskspace.repository(reference) == name


# ids


def test_box_ids_of_a_rootless_engine() -> None:
    rows = rows_for(None)
    assert [here(rows, box) for box in (0, 999, 1000, 1001, 65535)] == [1, 1000, 0, 1001, 65535]
    assert [here(rows_for(1_900_000_000), box) for box in (0, 1000)] == [1_900_000_000, 1_900_001_000]


def test_rows_are_cut_along_the_callers_own() -> None:
    own = "         0       1001          1\n         1     100000       5000\n      5001     300000       1000\n"
    assert fitting(rows_for(None), own) == (
        IdRow(0, 1, 1000), IdRow(1000, 0, 1), IdRow(1001, 1001, 4000), IdRow(5001, 5001, 1000),
    )  # fmt: skip
    assert fitting(ALL, own) == (IdRow(0, 0, 1), IdRow(1, 1, 5000), IdRow(5001, 5001, 1000))
    assert fitting(ALL, "0 0 4294967295") == ALL


def test_a_result_or_an_error_comes_out_of_the_child() -> None:
    assert boxids.result_of(b'{"result": [1]}') == [1]
    error = AiboxError("volume-failed", "what", why="why", fix="fix")
    with pytest.raises(AiboxError) as caught:
        boxids.result_of(json.dumps(boxids.failure(error)).encode())
    assert (caught.value.what, caught.value.why, caught.value.fix) == ("what", "why", "fix")
    with pytest.raises(AiboxError, match="ended from outside"):
        boxids.result_of(b"")


# files


def test_measure_counts_a_file_with_two_names_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "one").write_bytes(b"x" * 10_000)
    os.link(tmp_path / "a" / "one", tmp_path / "two")
    (tmp_path / "link").symlink_to("/")
    monkeypatch.chdir(tmp_path)
    blocks = {path: path.lstat().st_blocks for path in (tmp_path, *tmp_path.rglob("*")) if path.name != "two"}
    assert volumetree.measure() == {"bytes": sum(blocks.values()) * 512, "files": 4}
    order = [seen.path for seen in volumetree.walk()]
    assert order == [b"", b"a", b"a/b", b"a/one", b"link", b"two"]
