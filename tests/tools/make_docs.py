"""Fills the tables in docs/ from the tables in the code. Usage: python tests/tools/make_docs.py [--check]

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; the rest of a page is written by hand.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("support", "attacks/outside", "compat", "bench")
sys.path[:0] = [str(ROOT), *(str(ROOT / "tests" / place) for place in PLACES)]

import columns
import findings
import runscflags
import verbcalls
import workrows
from breaks import BREAKS
from compatrows import COLUMNS, ways_round
from compatrows import table as compatibility_rows
from controlruns import CONTROL_RUNS
from hosttable import HOST
from judged import CASES
from measure import EVERYDAY, HEAD, STARTING, cells, load_pairs
from measure import everyday as everyday_rows
from table import BOTH, INSIDE

from aibox.configkeys import CACHES, KEYS, POLICY_KEYS, show
from aibox.controls import CONTROLS, Control
from aibox.doctorchecks import CHECKS
from aibox.engines.dialect import DIALECTS, DIFFERENCES
from aibox.errors import EXIT_CODES, KINDS
from aibox.imagevariants import VARIANTS
from aibox.jsonview import fields
from aibox.manual import own_options, synopsis, usage
from aibox.model import Developer, Engine, Identity, LaunchPlan, Limits, Runtime, Workspace
from aibox.options import OPTIONS, VERBS
from aibox.plan import Image, Seccomp, make, mount_table
from aibox.schemas import DATA, all_schemas
from aibox.seccomp import VERDICTS, syscalls
from aibox.ui import size

PLACE = re.compile(r"(<!-- table: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def rows(head: Iterable[str], body: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    first = list(head)
    lines = [first, ["---"] * len(first), *body]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def controls() -> str:
    """Each control, what asks for it, and where it is seen."""
    sample = sample_plan()
    body = [(control.id, control.title, asked(control, sample), seen(control)) for control in CONTROLS]
    return rows(("id", "control", "asked for by", "seen in"), body)


def asked(control: Control, plan: LaunchPlan) -> str:
    """Podman's flags, shortened to their names."""
    flags = [word for word in control.flags(plan) if word.startswith("--")]
    named = ", ".join(f"`{flag.partition('=')[0]}`" for flag in dict.fromkeys(flags))
    return named or "`--runtime` (aibox's wrapper)"


def seen(control: Control) -> str:
    """The ways in which the control is observed."""
    ways = {
        "plan": True,
        "engine inspect": control.inspect is not None,
        "OCI config.json": control.oci is not None or control.id == "S5",
        "host /proc": control.host is not None or control.running is not None,
    }
    return ", ".join(name for name, there in ways.items() if there)


def sample_plan() -> LaunchPlan:
    """A plan to read flags from."""
    owner = Developer(1001, 1001, "dev1")
    return make(
        workspace=Workspace("/home/dev1/project", Identity(1, 2), owner, "ext4", empty=False),
        engine=Engine("podman", "/usr/bin/podman", (5, 4), rootless=True),
        runtime=Runtime("runsc", "/x/aibox-runsc", "0" * 64, "/usr/bin/runsc", "systrap"),
        image=Image("localhost/aibox/base:24.04", "0" * 64, ()),
        seccomp=Seccomp("/x/seccomp.json", "0" * 64),
        apparmor="",
        limits=Limits(1 << 33, 4.0, 4096, 1 << 28, 1024, holder="engine"),
        caches=(),
        id_mapped_source="/run/aibox/workspaces",
        init="",
        stop_timeout=10,
        version="0",
    )


def mounts() -> str:
    """The mount table of a box."""
    table = mount_table("the workspace", Developer(1001, 1001, "USER"), CACHES, 256 << 20)
    body = [
        (
            f"`{mount.target}`",
            mount.kind if mount.kind == "tmpfs" else f"{mount.kind}: {mount.source}",
            ",".join(mount.options),
            size(mount.size) if mount.size else "",
        )
        for mount in table
    ]
    return rows(("path", "what", "options", "size"), body)


def config() -> str:
    """Configuration keys."""
    body = []
    for row in KEYS:
        default = show(row, row.default)
        named = (f"`{row.path}`", f"`{default}`" if default else "", row.meaning)
        body.append((*named, f"`{row.env}`", f"`{row.flag}`", ", ".join(row.locked_by)))
    return rows(("key", "default", "meaning", "variable", "flag", "bounded by policy"), body)


def policy() -> str:
    """Policy keys."""
    body = []
    for row in POLICY_KEYS:
        default = "no bound" if row.default is None else f"`{show(row, row.default)}`"
        body.append((f"`{row.path}`", default, row.meaning))
    return rows(("key", "default", "meaning"), body)


def exit_codes() -> str:
    """Exit codes."""
    return rows(("code", "meaning"), [(str(code.value), code.meaning) for code in EXIT_CODES])


def error_codes() -> str:
    """Error codes."""
    body = [(f"`{name}`", str(kind.exit_code), kind.meaning) for name, kind in sorted(KINDS.items())]
    return rows(("error", "exit code", "meaning"), body)


def verbs() -> str:
    """Verbs with their options."""
    body = []
    for row in VERBS:
        options = [f"`{OPTIONS[name].long}`" for name in row.options] + (["settings"] if row.settings else [])
        body.append((f"`{row.name}`", row.summary, ", ".join(options)))
    return rows(("verb", "what it does", "options"), body)


def cli() -> str:
    """A section for each verb with all its options."""
    parts = []
    for row in VERBS:
        lines = [f"## {row.name}", "", f"`{synopsis(row)}`", "", f"{row.summary[:1].upper()}{row.summary[1:]}."]
        options = [(f"`{usage(option)}`", option.help) for option in own_options(row)]
        lines += ["", rows(("option", "meaning"), options).rstrip()]
        if row.settings:
            lines += ["", "Also every [setting](config.md) as a flag."]
        lines += ["", f"Example: `{row.example}`"]
        parts.append("\n".join(lines))
    return "\n" + "\n\n".join(parts) + "\n\n"


def json_documents() -> str:
    """What `data` holds for each verb."""
    body = []
    for row in VERBS:
        held = [f"`{', '.join(fields(schema, 'properties'))}`" for schema in DATA[row.name]]
        body.append((f"`{row.name}`", " or ".join(held), f"[schema](schemas/{row.name}.json)"))
    return rows(("verb", "`data`", ""), body)


def seccomp() -> str:
    """How many calls each verdict has, and what they get."""
    verdicts = [call.verdict for call in syscalls()]
    body = [(name, str(verdicts.count(name)), *(ANSWERS[code] for code in codes)) for name, codes in VERDICTS.items()]
    return rows(("verdict", "calls", "runc and crun", "gVisor", "sessions"), body)


def checks() -> str:
    """A section for each of doctor's checks."""
    parts = []
    for check in CHECKS:
        kind = "a security control: exit code 3" if check.control else "the host: exit code 4"
        lines = [f"## {check.id}", "", f"{check.title}: {check.why}.", "", f"- Concerns {kind}."]
        if check.needs:
            lines += [f"- Looked at only where nothing is wrong with: {', '.join(check.needs)}."]
        lines += [f"- Usual remedy: {check.cure}."]
        lines += [f"- `aibox doctor --fix` can {check.mend_text}."] if check.mend else []
        parts.append("\n".join(lines))
    return "\n" + "\n\n".join(parts) + "\n\n"


def broken() -> str:
    """The breaks that the tests make on real machines, with what doctor said of each."""
    body, met = [], findings.saved()
    for case in BREAKS:
        said = met.get(case.name, findings.Finding("", ""))
        level = f"{case.level}, {case.code}"
        body.append(
            (case.name, f"`{case.check}`", level, said.evidence, code(said.remedy), case.how, ", ".join(case.machines))
        )
    return rows(("broken", "named by", "as, exit code", "finding", "remedy", "how", "on"), body)


def judged() -> str:
    """Facts that are handed to doctor's judgements, with what they say of each."""
    cures = {check.id: check.cure for check in CHECKS}
    body = [
        (name, f"`{check}`", look.level, look.evidence, code(look.remedy or cures[check]))
        for check, name, look, level, _ in CASES
        if level != "ok"
    ]
    return rows(("fact", "named by", "as", "finding", "remedy"), body)


def code(text: str) -> str:
    """A remedy as code, in a cell of a table."""
    return f"`{text}`" if text and "`" not in text else text


def attacks_inside() -> str:
    """Attempts from inside a box."""
    body = []
    for row in INSIDE:
        notes = [f"only under {', '.join(row.runtimes)}"] if row.runtimes != BOTH else []
        notes += [f"succeeds under {', '.join(row.succeeds)}"] if row.succeeds else []
        notes += [row.note] if row.note else []
        control = CONTROL_RUNS[row.control_run].title + (f", or {', '.join(row.reached)}" if row.reached else "")
        body.append((row.title, ", ".join(row.controls), ", ".join(row.refused), control, "; ".join(notes)))
    return rows(("attempt", "stopped by", "ends with", "works in the control run", "remarks"), body)


def attacks_host() -> str:
    """Attempts from the host's side."""
    body = []
    for row in HOST:
        notes = [f"succeeds unless {' and '.join(row.modes)}"] if len(row.modes) == 1 else []
        notes += [row.note] if row.note else []
        refused = ", ".join(row.refused).replace("denied", "any refusal")
        body.append((row.title, ", ".join(row.controls), refused, row.control_title, "; ".join(notes)))
    return rows(("attempt", "stopped by", "ends with", "control run", "remarks"), body)


def engines() -> str:
    """The engines with their oldest versions."""
    body = [(one.title, ".".join(map(str, one.oldest)), one.because) for one in DIALECTS.values()]
    return rows(("engine", "oldest version", "because"), body)


def differences() -> str:
    """What engines and versions do in their own way."""
    return rows(("engine", "versions", "what", "what aibox does"), DIFFERENCES)


def compatibility() -> str:
    """What works where, as it was measured last."""
    return rows(("", "what", *COLUMNS), compatibility_rows(columns.saved()))


def compatibility_known() -> str:
    """What is known to fail, and the way round."""
    return rows(("what", "expected in", "seen in", "why", "way round"), ways_round(columns.saved()))


def everyday() -> str:
    """What the everyday verbs cost, as it was measured last."""
    head, _, *body = everyday_rows(load_pairs(EVERYDAY))
    return rows(head, body)


def starting() -> str:
    """What ways into a box cost, as they were measured last."""
    return rows(HEAD, [cells(each) for each in load_pairs(STARTING)])


def work() -> str:
    """Builds, disk and memory, as they were measured last."""
    return rows(workrows.HEAD, [workrows.cells(each) for each in workrows.load_figures(workrows.WORK_FIGURES)])


def engine_calls() -> str:
    """The engine's commands by verb, as they were seen last."""
    head, _, *body = verbcalls.rows(verbcalls.kept())
    return rows(head, body)


def runsc_settings() -> str:
    """What runsc's settings do to builds, as it was measured last."""
    head, _, *body = runscflags.rows(runscflags.kept())
    return rows(head, body)


ANSWERS = {0: "allowed", 1: "EPERM", 38: "ENOSYS"}


def variants() -> str:
    """The kinds of image that aibox builds."""
    packages = {one.name: [name for layer in one.layers for name in layer.packages] for one in VARIANTS}
    body = [
        (f"`{one.name}`", one.meaning, ", ".join(f"`{name}`" for name in packages[one.name]) or "the base image")
        for one in VARIANTS
    ]
    return rows(("variant", "for", "packages above the base image"), body)


TABLES: dict[str, Callable[[], str]] = {
    "attacks-host": attacks_host,
    "attacks-inside": attacks_inside,
    "compatibility": compatibility,
    "compatibility-known": compatibility_known,
    "controls": controls,
    "mounts": mounts,
    "variants": variants,
    "config": config,
    "policy": policy,
    "exit-codes": exit_codes,
    "error-codes": error_codes,
    "verbs": verbs,
    "seccomp": seccomp,
    "checks": checks,
    "cli": cli,
    "breaks": broken,
    "judged": judged,
    "json-documents": json_documents,
    "engines": engines,
    "everyday": everyday,
    "starting": starting,
    "work": work,
    "runsc-settings": runsc_settings,
    "engine-calls": engine_calls,
    "differences": differences,
}


def filled(text: str) -> str:
    """A page with its tables made anew."""
    return PLACE.sub(lambda match: f"{match[1]}{TABLES[match[2]]()}{match[3]}", text)


def schema_files() -> dict[Path, str]:
    """The JSON Schemas as files."""
    folder = ROOT / "docs" / "schemas"
    return {folder / name: json.dumps(schema, indent=1) + "\n" for name, schema in all_schemas().items()}


def main() -> int:
    """Write the pages and schemas, or with --check only say which are old."""
    old = []
    for path, content in schema_files().items():
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            old.append(path.name)
            if "--check" not in sys.argv:
                path.parent.mkdir(exist_ok=True)
                path.write_text(content, encoding="utf-8")
    for page in sorted((ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if filled(text) != text:
            old.append(page.name)
            if "--check" not in sys.argv:
                page.write_text(filled(text), encoding="utf-8")
    print(f"{'old' if '--check' in sys.argv else 'written'}: {', '.join(old) or 'none'}")
    return 1 if old and "--check" in sys.argv else 0


if __name__ == "__main__":
    raise SystemExit(main())
