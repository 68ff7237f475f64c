"""`aibox config`."""

import json
from typing import TYPE_CHECKING

from aibox import ui
from aibox.cli import Arguments
from aibox.config import POLICY_FILE, config_rows
from aibox.configfiles import read_config_files
from aibox.context import Context
from aibox.errors import AiboxError
from aibox.ui import Outcome, Style

if TYPE_CHECKING:
    from aibox.jsonview import Json


def run(gathered: Context, arguments: Arguments, style: Style) -> Outcome:
    """Every setting with where its value comes from; or the files checked, or the JSON Schema that editors use."""
    del style
    part = " ".join(arguments.words) or "show"
    if part in ("schema", "policy-schema"):
        from aibox import schemas

        schema = schemas.config_schema() if part == "schema" else schemas.policy_schema()
        return Outcome({"schema": schema}, json.dumps(schema, indent=2).splitlines())
    if part == "validate":
        # whoever gets here has valid ones, or an error said what is wrong
        files: list[Json] = [file.path for file in read_config_files(gathered.environ)]
        shown = ", ".join(str(path) for path in files) or "no configuration file"
        return Outcome({"valid": True, "files": files}, [f"right: {shown}, and the policy in {POLICY_FILE}, if any"])
    if part != "show":
        raise AiboxError(
            "usage", f"aibox config has no part {part!r}", fix="aibox config show, validate, schema or policy-schema"
        )
    rows = config_rows(gathered.config)
    data: dict[str, Json] = {key: {"value": value, "origin": origin} for key, value, origin in rows}
    return Outcome({"settings": data}, ui.table([("KEY", "VALUE", "FROM"), *rows]))
