#!/usr/bin/env python3
"""Traces the system calls of real builds with strace and writes them to summary.tsv, one row for each call.

Usage: tracing.py [--host] [PROJECT...]     with no project: all. Rows of other places and projects are kept.
The tools are those of a Debian folder that is made for it (places.py), or with --host those of this machine.
"""

import argparse
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import places  # noqa: E402

SUMMARY = HERE / "summary.tsv"
HEADING = """\
# System calls of real builds, by tracing.py. detail: the argument that the filter looks at, - where it looks at none.
# seen: PLACE/PROJECT=calls. Places: {tools}.
call\tdetail\tcalls\tseen
"""
LINE = re.compile(r"^\d+ +([a-z_0-9]+)\((.*)$")
NAMESPACES = re.compile(r"CLONE_NEW(?:NS|CGROUP|UTS|IPC|USER|PID|NET|TIME)")
VERSIONS = ("javac -version", "mvn -version", "gradle --version 2>&1 | grep ^Gradle", "node --version",
            "python3 --version", "gcc --version", "go version", "cargo --version", "git --version")  # fmt: skip
SECONDS = 900.0
Summary = dict[tuple[str, str], Counter[str]]


def detail(name: str, arguments: str) -> str:
    """The argument that the box's filter judges, as strace writes it."""
    words = [word.strip() for word in arguments.split(",")]
    match name:
        case "socket" | "socketpair":
            return words[0]
        case "personality":
            return words[0].partition(")")[0]
        case "clone" | "unshare":
            return "|".join(sorted(set(NAMESPACES.findall(arguments)))) or "-"
        case "mknod" | "mknodat":
            kind = re.search(r"S_IF[A-Z]+", arguments)
            return kind.group() if kind else "S_IFREG"
        case "ioctl":
            return words[1] if len(words) > 1 and words[1] in ("TIOCSTI", "TIOCLINUX") else "-"
    return "-"


def count(lines: Iterable[str]) -> Counter[tuple[str, str]]:
    """The calls in a log of `strace -f -o`."""
    found: Counter[tuple[str, str]] = Counter()
    for line in lines:
        match = LINE.match(line)
        if match:
            found[match.group(1), detail(*match.groups())] += 1
    return found


def trace(place: places.Place, project: str) -> Counter[tuple[str, str]]:
    """Build a project under strace. Raises SystemExit if the build fails."""
    with place.copied(project, place.seeded_home(project)) as (home, work):
        log = work / "trace.log"
        strace = ["strace", "-f", "-qq", "-s", "0", "-e", "signal=none", "-o", log.name]
        code, output = place.run([*strace, "./build.sh"], home=home, work=work, seconds=SECONDS)
        if code:
            raise SystemExit(f"{project}: exit {code}\n{output}")
        with log.open(encoding="utf-8", errors="replace") as lines:
            return count(lines)


def read(path: Path) -> Summary:
    """The summary as it stands."""
    summary: Summary = defaultdict(Counter)
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith(("#", "call\t")):
                continue
            call, what, _total, seen = line.split("\t")
            for entry in seen.split(" "):
                where, _, number = entry.partition("=")
                summary[call, what][where] = int(number)
    return summary


def places_told(path: Path) -> dict[str, str]:
    """What the heading says about the tools of each place."""
    if not path.exists():
        return {}
    text = " ".join(line[2:] for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("# "))
    return dict(re.findall(r"(\w+) \(([^)]*)\)", text.partition("Places: ")[2]))


def tools(place: places.Place) -> str:
    """The versions of the tools of a place, in one line without parentheses."""
    script = "\n".join(f"{command} 2>&1 | grep -m1 '[0-9]' | tr -d '()'" for command in VERSIONS)
    with place.copied("shell", place.seeded_home("shell")) as (home, work):
        _, output = place.run(["sh", "-c", script], home=home, work=work)
    found = [re.search(r"\d+\.[\w.]+", line) for line in output.splitlines()]
    return ", ".join(
        f"{command.split()[0]} {match.group() if match else '?'}"
        for command, match in zip(VERSIONS, found, strict=False)
    )


def write(path: Path, summary: Summary, told: dict[str, str]) -> None:
    """Write the table, sorted."""
    text = HEADING.format(tools="; ".join(f"{name} ({versions})" for name, versions in sorted(told.items())))
    for (call, what), seen in sorted(summary.items()):
        entries = " ".join(f"{where}={number}" for where, number in sorted(seen.items()) if number)
        if entries:
            text += f"{call}\t{what}\t{seen.total()}\t{entries}\n"
    path.write_text(text, encoding="utf-8")


def main() -> int:
    """Trace, merge, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", action="store_true", help="this machine's own tools")
    parser.add_argument("projects", nargs="*", default=None)
    options = parser.parse_args()
    name, place = ("host", places.host()) if options.host else (places.SUITE, places.toolbox())
    told = {**places_told(SUMMARY), name: tools(place)}
    for project in options.projects or places.projects():
        found = trace(place, project)
        summary = read(SUMMARY)
        for seen in summary.values():
            seen.pop(f"{name}/{project}", None)
        for key, number in found.items():
            summary[key][f"{name}/{project}"] = number
        write(SUMMARY, summary, told)
        print(f"{project}: {found.total()} calls of {len({call for call, _ in found})} kinds", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
