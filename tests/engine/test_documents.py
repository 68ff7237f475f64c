"""Documents of `--json` on real boxes fit their published schemas: every verb, dry run and failure."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from machines import ROOT, Machine

from aibox.doctorchecks import IDS
from aibox.errors import KINDS
from aibox.options import VERBS

MACHINES = pytest.mark.parametrize("machine", ["rootful-2024", "rootless-2024"], indirect=True)
# in an order that works; W is the workspace
WORDS = [
    ("setup --dry-run", 0), ("setup --yes", 0), ("start --dry-run -w W", 0), ("start -w W", 0), ("start -w W", 0),
    ("status -w W", 0), ("list", 0), ("exec -w W -- sh -c 'echo out; echo err >&2; exit 3'", 3),
    ("exec -w W -- printf \\377", 0), ("exec -w W --dry-run -- true", 0), ("shell -w W --dry-run", 0),
    ("run -w W -- true", 0), ("run -w W --dry-run -- true", 0), ("verify -w W", 0), ("logs -w W", 0),
    ("restart -w W --dry-run", 0), ("restart -w W", 0), ("doctor --check box --check session-filter", 0),
    ("stop -w W --dry-run", 0), ("stop -w W", 0), ("stop -w W", 0), ("status -w W", 0), ("verify -w W", 5),
    ("exec -w W -- true", 125), ("destroy -w W --dry-run", 0), ("destroy -w W", 0), ("status -w W", 5),
    ("start -w /nonexistent", 2), ("version", 0), ("config", 0), ("volume list", 0), ("df", 0),
    ("volume backup home -o W/b", 0), ("volume restore home W/b -y", 0), ("volume restore home W/b --dry-run", 0),
    ("repair cache go -y", 0), ("repair cache go --dry-run", 0), ("volume prune -y", 0), ("volume restore npm W/b", 2),
    ("repair leftovers --dry-run", 0), ("repair leftovers -y", 0),
    ("update --check", 0), ("update --rollback --yes", 4), ("bundle create -o W/x -y", 0), ("bundle inspect W/x", 0),
    ("image list", 0), ("image inspect", 0), ("image inspect --sbom", 0), ("image build --dry-run", 0),
    ("image build --variant full --dry-run", 0), ("update --program --check", 2),
    ("image trust --key W/none --dry-run", 2),
    ("help status", 0), ("completion bash", 0),
]  # fmt: skip


@MACHINES
def test_documents_fit_their_schemas(machine: Machine) -> None:
    import shlex

    place = machine.workspace("documents")
    seen = set()
    for line, code in WORDS:
        words = [f"{place}{word[1:]}" if word[:1] == "W" else word for word in shlex.split(line)]
        at = words.index("--") if "--" in words else len(words)
        done = machine.aibox(*words[:at], "--json", *words[at:], timeout=300)
        assert done.code == code, str(done)
        schema = json.loads((ROOT / "docs/schemas" / f"{words[0]}.json").read_text())
        problems = list(Draft202012Validator(schema).iter_errors(json.loads(done.out)))
        assert problems == [], f"{line}: {[problem.message for problem in problems]}\n{done}"
        seen.add(words[0])
    assert seen == {row.name for row in VERBS}, "every verb is tried"


def test_rootful_the_pages_are_inside_the_artifact(zipapp: Path, tmp_path: Path) -> None:
    """Every page, error code, check and verb: read out of the built file, far from the source tree."""
    import subprocess

    pages = [path.stem for path in (ROOT / "docs").glob("*.md")]
    for topic in [*pages, *KINDS, *IDS, *(row.name for row in VERBS), "man"]:
        env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
        done = subprocess.run(
            [zipapp, "help", topic], capture_output=True, text=True, check=True, env=env, cwd="/", timeout=60
        )
        assert len(done.stdout.splitlines()) > 2, topic
        assert "<!--" not in done.stdout, topic
