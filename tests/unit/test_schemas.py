"""The JSON Schemas: those of the files accept what aibox reads and no other; those of the documents fit real output."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from make_docs import schema_files

from aibox import checks_limits, jsonview, schemas
from aibox.config import ConfigFile, load_config, load_policy
from aibox.configkeys import KEYS, POLICY_KEYS, Row
from aibox.controls import CONTROLS
from aibox.errors import KINDS, AiboxError
from aibox.options import VERBS
from aibox.yamlreader import Plain

ROOT = Path(__file__).resolve().parents[2]

# for each kind of key: values that are right, and values that are wrong
GOOD: dict[str, list[Plain]] = {
    "size": ["512M", "8G", 1 << 30], "integer": [64, 90], "decimal": [0.5, 2], "boolean": [True, False],
    "path": ["", "/usr/bin/x"], "image": ["harbor.internal/a/b:1"],
    "url": ["", "https://deb.debian.org/debian", "file:///srv/debian"], "names": [[], ["npm", "maven"]],
    "patterns": [["harbor.internal/**"]], "registries": [["harbor.internal"]], "folders": [["/srv"]],
}  # fmt: skip
BAD: dict[str, list[Plain]] = {
    "size": ["8X", "", True, [1]], "integer": ["64", 1.5, -1, True], "decimal": ["1", -0.5, True],
    "boolean": ["true", 1], "path": ["relative", 1], "image": ["", 1],
    "url": ["ftp://x", "x", 1], "names": [["nmp"], "npm", ["npm", "npm"]],
    "patterns": ["x", [1]], "registries": ["x", [1]], "folders": ["/srv", [1]],
}  # fmt: skip


def document(row: Row, value: object) -> object:
    group, _, name = row.path.rpartition(".")
    return {group: {name: value}} if group else {name: value}


def values(row: Row, table: dict[str, list[Plain]]) -> list[Plain]:
    if row.kind == "choice":
        return list(row.choices) if table is GOOD else ["nonsense", 1]
    return table[row.kind]


@pytest.mark.parametrize("policy", [False, True])
def test_files_are_judged_as_aibox_judges_them(policy: bool) -> None:
    rows, schema = (POLICY_KEYS, schemas.policy_schema()) if policy else (KEYS, schemas.config_schema())
    check = Draft202012Validator(schema)
    check.check_schema(schema)
    for row in rows:
        for table in (GOOD, BAD):
            for value in values(row, table):
                written = document(row, value)
                content = json.dumps(written).encode()  # JSON is YAML
                try:
                    _ = load_policy(content) if policy else load_config([ConfigFile("user", "/x", content)], environ={})
                    taken = True
                except AiboxError:
                    taken = False
                assert taken == (table is GOOD), f"aibox judges {written} otherwise"
                assert check.is_valid(written) == taken, f"the schema judges {written} otherwise"


@pytest.mark.parametrize("schema", [schemas.config_schema(), schemas.policy_schema()], ids=["config", "policy"])
def test_unknown_keys_are_refused(schema: schemas.Schema) -> None:
    assert not Draft202012Validator(schema).is_valid({"imge": "x"})


def test_defaults_are_valid() -> None:
    check = Draft202012Validator(schemas.config_schema())
    for row in KEYS:
        default = list(row.default) if isinstance(row.default, tuple) else row.default
        assert check.is_valid(document(row, default)), row.path


def test_published_schemas_are_those_of_the_code() -> None:
    for path, content in schema_files().items():
        assert path.read_text("utf-8") == content, "run: python tests/tools/make_docs.py"
    assert {path.name for path in (ROOT / "docs/schemas").iterdir()} == {path.name for path in schema_files()}


def test_every_verb_has_a_schema() -> None:
    assert set(schemas.DATA) == {row.name for row in VERBS}
    for row in VERBS:
        Draft202012Validator.check_schema(schemas.document_schema(row.name))


def test_schemas_refuse_other_documents() -> None:
    check = Draft202012Validator(schemas.document_schema("stop"))
    good: dict[str, object] = {"schema_version": 1, "aibox": "0", "ok": True, "verb": "stop", "notices": [],
            "data": {"boxes": [{"name": "x", "stopped": True}]}}  # fmt: skip
    assert check.is_valid(good)
    changes: list[dict[str, object]] = [
        {"schema_version": 2}, {"verb": "start"}, {"data": {}}, {"more": 1}, {"error": {}},
    ]  # fmt: skip
    for change in changes:
        assert not check.is_valid({**good, **change}), change


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("config",), 0),
        (("config", "schema"), 0),
        (("config", "policy-schema"), 0),
        (("config", "validate"), 0),
        (("completion", "zsh"), 0),
        (("help", "wrapper"), 0),
        (("version",), 0),
        (("completion", "csh"), 2),
        (("help", "nonsense"), 2),
        (("doctor", "--check", "nonsense"), 2),
        (("config", "--memory", "x"), 2),
        (("stop", "--nonsense"), 2),
        (("exec", "--engine-path", "/nonexistent", "--", "true"), 125),
        (("doctor", "--check", "engine", "--engine-path", "/nonexistent"), 4),
    ],
)
def test_real_documents_fit(words: tuple[str, ...], code: int, tmp_path: Path) -> None:
    verb, rest = words[0], list(words[1:])
    start = "import os, sys; os.getuid = lambda: 4242; from aibox.cli import main; sys.exit(main())"
    env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-c", start, verb, "--json", *rest]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=env, timeout=120)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    problems = list(Draft202012Validator(schemas.document_schema(verb)).iter_errors(json.loads(done.stdout)))
    assert problems == [], os.linesep.join(str(problem) for problem in problems)


def test_every_error_code_is_in_the_schema() -> None:
    published = jsonview.parse((ROOT / "docs/schemas/stop.json").read_text())
    codes = jsonview.texts(published, "oneOf", 1, "properties", "error", "properties", "code", "enum")
    assert set(codes) == set(KINDS)


def test_every_row_of_verify_is_in_the_schema() -> None:
    """Requirements on limits stand there beside the controls."""
    check = Draft202012Validator(schemas.FINDING)
    row = {"title": "t", "expected": "a", "observed": "a", "how": "plan", "ok": True}
    for name in [*(control.id for control in CONTROLS), checks_limits.ID]:
        assert check.is_valid({**row, "control": name}), name
