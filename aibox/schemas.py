"""JSON Schemas (draft 2020-12) of the configuration, the policy, and of every `--json` document.

Those of the files are made from the tables of keys; editors complete and check from them. Pure.
"""

from typing import TypeAlias

from aibox.configkeys import KEYS, POLICY_KEYS, Row, expected, is_list, schemes
from aibox.doctorjudge import NOTE, OK, WRONG
from aibox.errors import KINDS
from aibox.jsonview import Json
from aibox.options import VERBS

Schema: TypeAlias = dict[str, Json]
DRAFT = "https://json-schema.org/draft/2020-12/schema"
SIZE = r"^[0-9]{1,20}[KMGTkmgt]?$"
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}


def file_schema(rows: tuple[Row, ...], title: str) -> Schema:
    """The schema of a YAML file whose keys are `rows`; dotted keys are nested mappings."""
    properties: dict[str, Json] = {}
    for row in rows:
        group, _, name = row.path.rpartition(".")
        if not group:
            properties[name] = key_schema(row)
            continue
        outer = properties.setdefault(group, _object({}))
        inner = outer["properties"] if isinstance(outer, dict) else None
        if isinstance(inner, dict):
            inner[name] = key_schema(row)
    return {"$schema": DRAFT, "title": title, **_object(properties)}


def key_schema(row: Row) -> Schema:
    """The schema of one key."""
    about: Schema = {"description": f"{row.meaning}; {expected(row)}"}
    if row.default is not None:
        about["default"] = list(row.default) if isinstance(row.default, tuple) else row.default
    if is_list(row):
        item: Schema = {"enum": list(row.choices)} if row.choices else TEXT
        return {**about, "type": "array", "items": item, "uniqueItems": True}
    ways = _ways(row)
    if row.unlimited:
        ways.append({"const": 0})
    return {**about, **ways[0]} if len(ways) == 1 else {**about, "anyOf": list(ways)}


def _ways(row: Row) -> list[Schema]:
    """How a value may be written."""
    bounds: Schema = {"minimum": row.minimum, "maximum": row.maximum}
    by_kind: dict[str, list[Schema]] = {
        "integer": [{"type": "integer", **bounds}],
        "decimal": [{"type": "number", **bounds}],
        "size": [{"type": "integer", **bounds}, {"type": "string", "pattern": SIZE}],
        "boolean": [{"type": "boolean"}],
        "choice": [{"enum": list(row.choices)}],
        "path": [{"type": "string", "pattern": "^(/.*)?$"}],
        "image": [{"type": "string", "minLength": 1}],
        "url": [{"type": "string", "pattern": f"^(({'|'.join(schemes(row))})://.+)?$"}],
    }
    return by_kind[row.kind]


def config_schema() -> Schema:
    """The schema of config.yaml."""
    return file_schema(KEYS, "aibox config.yaml")


def policy_schema() -> Schema:
    """The schema of policy.yaml."""
    return file_schema(POLICY_KEYS, "aibox policy.yaml")


def _object(properties: dict[str, Json]) -> Schema:
    """An object of no other properties than these, each of which may be missing."""
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _record(*, optional: tuple[str, ...] = (), **properties: Json) -> Schema:
    """An object that has all of these properties, but for the optional ones, and no other."""
    return _required(properties, optional)


def _required(properties: dict[str, Json], optional: tuple[str, ...]) -> Schema:
    needed: list[Json] = [name for name in properties if name not in optional]
    return {**_object(properties), "required": needed}


def _list(items: Json) -> Schema:
    return {"type": "array", "items": items}


COMMANDS: Schema = _record(commands=_list(TEXT))
FINDING: Schema = _record(
    control={"type": "string", "pattern": "^[RS][0-9]+$"}, title=TEXT, expected=TEXT, observed=TEXT, how=TEXT, ok=FLAG
)
CHECK: Schema = _record(
    id=TEXT,
    title=TEXT,
    level={"enum": [OK, NOTE, WRONG, "unchecked"]},
    severity={"enum": ["host", "control"]},
    evidence=TEXT,
    remedy=TEXT,
    docs=TEXT,
    seconds=NUMBER,
)
STREAMS = ("stdout", "stdout_base64", "stderr", "stderr_base64")  # base64 where the bytes are not UTF-8
CAPTURED: Schema = _required(
    {"box": TEXT, "command": _list(TEXT), "exit_code": {"type": "integer"}, **dict.fromkeys(STREAMS, TEXT)}, STREAMS
)
STARTED: Schema = _record(
    box=TEXT, workspace=TEXT, action={"enum": ["created", "started", "running"]}, checks_passed=COUNT, outdated=FLAG,
    runtime=TEXT, platform=TEXT, limits_enforced=FLAG,
)  # fmt: skip
EVENT: Schema = {"type": "object", "required": ["time", "event"], "properties": {"time": TEXT, "event": TEXT}}
SETTING: Schema = _record(value=TEXT, origin=TEXT)
STEP: Schema = _record(
    id=TEXT, action={"enum": ["none", "done", "left"]}, seconds=NUMBER, missing=TEXT, optional=("seconds", "missing")
)
STEP_DRY: Schema = _record(id=TEXT, missing=TEXT, commands=_list(TEXT))
LIMITS: Schema = _record(memory=COUNT, cpus=NUMBER, pids=COUNT, enforced=FLAG, held_by=TEXT)
VOLUME: Schema = _record(
    name=TEXT, purpose=TEXT, user=TEXT, cache=FLAG, bytes=COUNT, files=COUNT, leftover_bytes=COUNT, created=TEXT,
    last_used={"anyOf": [TEXT, {"type": "null"}]}, boxes=_list(_record(name=TEXT, state=TEXT, workspace=TEXT)),
)  # fmt: skip
IMAGE: Schema = {
    "references": _list(TEXT), "id": TEXT, "digest": TEXT, "size": COUNT, "in_use": FLAG, "boxes": _list(TEXT),
    "signature": {"enum": ["checked", "not checked", "built here"]},
}  # fmt: skip
POLICY_SAYS: Schema = _record(path=TEXT, scope=TEXT, demands=_list(TEXT))
LOOKED_INTO: Schema = {
    "created": TEXT, "architecture": TEXT, "layers": COUNT, "signed_by": TEXT, "policy": POLICY_SAYS,
}  # fmt: skip
SPACE: Schema = _record(name=TEXT, what=TEXT, bytes=COUNT)
# what `data` holds for each verb; a list: one of these (a dry run has commands instead)
DATA: dict[str, list[Schema]] = {
    "setup": [
        _record(steps=_list(STEP), confinement=TEXT, apparmor=TEXT),
        _record(steps=_list(STEP)),
        _record(steps=_list(STEP_DRY)),
    ],
    "update": [
        _record(
            parts=_list(
                _record(id=TEXT, installed=TEXT, available=TEXT, state=TEXT, action=TEXT, optional=("action",))
            ),
            boxes=_list(_record(name=TEXT, workspace=TEXT, running=FLAG, why=TEXT)),
        ),
        COMMANDS,
    ],
    "doctor": [
        _record(
            checks=_list(CHECK), counts=_record(ok=COUNT, note=COUNT, wrong=COUNT, unchecked=COUNT), mended=_list(TEXT)
        )
    ],
    "start": [STARTED, COMMANDS],
    "restart": [STARTED, COMMANDS],
    "shell": [CAPTURED, COMMANDS],
    "exec": [CAPTURED, COMMANDS],
    "run": [CAPTURED, COMMANDS],
    "config": [
        _record(settings={"type": "object", "additionalProperties": SETTING}),
        _record(schema={"type": "object"}),
        _record(valid={"const": True}, files=_list(TEXT)),
    ],
    "stop": [_record(boxes=_list(_record(name=TEXT, stopped=FLAG))), COMMANDS],
    "status": [
        _record(
            box=TEXT, state=TEXT, workspace=TEXT, created=TEXT, version=TEXT, image_id=TEXT, engine=TEXT,
            confinement=TEXT, outdated=FLAG, image=TEXT, runtime=TEXT, platform=TEXT, host_checks=COUNT,
            host_checks_failed=_list(TEXT), limits=LIMITS,
            digest=TEXT, signature=TEXT,
            optional=(
                "digest", "signature", "outdated", "image", "runtime", "platform", "host_checks", "host_checks_failed",
                "limits",
            ),
        )
    ],
    "verify": [
        _record(
            box=TEXT, passed=FLAG, checks=COUNT, failed=COUNT, confinement=TEXT, apparmor=TEXT, findings=_list(FINDING)
        )
    ],
    "list": [_record(boxes=_list(_record(name=TEXT, state=TEXT, workspace=TEXT, created=TEXT)))],
    "logs": [
        _record(
            box=TEXT,
            events=_list(EVENT),
            output=_list(TEXT),
        )
    ],
    "destroy": [_record(boxes=_list(TEXT), volumes_removed=_list(TEXT)), COMMANDS],
    "volume": [
        _record(volumes=_list(VOLUME)),
        _record(volume=TEXT, file=TEXT, bytes=COUNT, members=COUNT, sha256=TEXT, left_out=COUNT),
        _record(volume=TEXT, members=COUNT, bytes=COUNT, created=TEXT),
        _record(volumes_removed=_list(TEXT), bytes=COUNT),
        COMMANDS,
    ],
    "repair": [
        _record(caches=_list(_record(volume=TEXT, bytes=COUNT))), _record(removed=_list(TEXT), bytes=COUNT), COMMANDS
    ],
    "df": [
        _record(
            images=_list(SPACE), volumes=_list(SPACE), caches=_list(SPACE), boxes=_list(SPACE), own=_list(SPACE),
            totals=_record(images=COUNT, volumes=COUNT, caches=COUNT, boxes=COUNT, own=COUNT, all=COUNT),
        )
    ],
    "completion": [_required({"shell": TEXT, "script": TEXT}, ())],
    "help": [_record(topic=TEXT, text=TEXT)],
    "image": [
        _record(images=_list(_required(IMAGE, ()))),
        _required({**IMAGE, **LOOKED_INTO}, ()),
        _record(image=TEXT, id=TEXT, replaced=TEXT, sbom=TEXT),
        _record(image=TEXT, sbom={"type": "object"}),
        _record(
            scope=TEXT, policy=TEXT, key=TEXT, changed=FLAG,
            files=_list(_record(path=TEXT, action={"enum": ["added", "changed", "removed"]}, diff=_list(TEXT))),
        ),
        COMMANDS,
    ],
    "bundle": [
        _record(
            bundle=TEXT, size=COUNT, signed=FLAG, signature=TEXT, made_by=TEXT, created=TEXT, machine=TEXT, image=TEXT,
            image_id=TEXT, files=_list(_record(name=TEXT, size=COUNT, sha256=TEXT)), optional=("signed", "signature"),
        ),
        COMMANDS,
    ],
    "version": [_record(aibox=TEXT, python=TEXT, engine=TEXT, runsc=TEXT)],
}  # fmt: skip


def document_schema(verb: str) -> Schema:
    """The schema of a verb's `--json` document, for success and failure."""
    head: dict[str, Json] = {"schema_version": {"const": 1}, "aibox": TEXT, "verb": {"const": verb}}
    good = _required({**head, "ok": FLAG, "data": {"anyOf": [*DATA[verb]]}, "notices": _list(TEXT)}, ())
    error = _record(code={"enum": [*sorted(KINDS)]}, message=TEXT, why=TEXT, fix=TEXT, exit_code=COUNT)
    bad = _required({**head, "ok": {"const": False}, "error": error}, ())
    return {"$schema": DRAFT, "title": f"aibox {verb} --json", "oneOf": [good, bad]}


def all_schemas() -> dict[str, Schema]:
    """Every schema by the name of its file."""
    documents = {f"{row.name}.json": document_schema(row.name) for row in VERBS}
    return {**documents, "config.yaml.json": config_schema(), "policy.yaml.json": policy_schema()}
