"""What has to work in a box: one row each, as data. The runner, the tests and docs/compatibility.md read this table."""

from collections.abc import Mapping
from typing import NamedTuple

GVISOR = ("gvisor-2024", "gvisor-2026")
AIBOX = ("aibox-2024", "aibox-2026")
COLUMNS = ("runc", *GVISOR, *AIBOX)


class Known(NamedTuple):
    """A failure that is expected: in which columns, what its output says, why, and the way round."""

    columns: tuple[str, ...]
    says: str
    reason: str
    way: str


class Row(NamedTuple):
    """One thing that people do, and the command for it, run in `folder` of the workspace.

    `base`: aibox's base image has all it needs; `edited`: a folder in which the host changes a file meanwhile;
    `seeded`: it needs what rows/seed.sh fetches.
    """

    name: str
    group: str
    title: str
    command: str
    seconds: int = 120
    folder: str = "compat"
    base: bool = False
    edited: str = ""
    seeded: bool = False
    known: tuple[Known, ...] = ()


def build(name: str, group: str, title: str, *, seconds: int = 240, base: bool = False) -> Row:
    """A row for a reference project of tests/traces."""
    return Row(name, group, title, "./build.sh", seconds, folder=name, base=base)


# without ptrace the filter's EPERM is what both programs report
NO_PTRACE = "ptrace is refused (S5): it is how a process takes another one over, and gVisor's own way to run programs"
NO_PERF = "performance counters are the host kernel's; gVisor has no perf_event_open"

ROWS: tuple[Row, ...] = (
    build("javac", "Java", "javac, jar, java with four garbage collectors"),
    Row("threads", "Java", "JDK 17: threads, fork-join pool, JIT (C2)", "./threads.sh"),
    Row("virtual", "Java", "JDK 21 run-time: virtual threads, JIT (C2)", "./virtual.sh", seeded=True),
    Row("jfr", "debuggers and profilers", "Java Flight Recorder", "./jfr.sh"),
    Row("jdb", "debuggers and profilers", "jdb: a breakpoint in Java", "./jdb.sh"),
    build("maven", "Java", "Maven: compile, test, package, offline"),
    build("gradle", "Java", "Gradle with its daemon: build, test, offline"),
    build("node", "Node", "npm ci offline, TypeScript, node's test runner"),
    Row("nodework", "Node", "worker threads, file watcher, source maps, `--cpu-prof`", "./node.sh"),
    Row("bundler", "Node", "npm ci offline, esbuild, source maps", "./bundler.sh", seeded=True),
    build("python", "Python", "a C extension by setuptools, unittest"),
    Row("venv", "Python", "venv, pip with a C extension from its source archive", "./venv.sh", 240, seeded=True),
    Row("processes", "Python", "multiprocessing: fork, spawn, forkserver", "python3 processes.py", base=True, known=(
        Known(GVISOR, "never free", "Podman gives a box a folder of the host as /dev/shm, and gVisor does not keep "
              "what several processes map from there together: POSIX semaphores are never free",
              "`--tmpfs /dev/shm`, as aibox does"),)),
    Row("asyncio", "Python", "asyncio: loopback server, child processes, signals", "python3 asyncio_.py", base=True),
    Row("pdb", "debuggers and profilers", "pdb and cProfile", "./pdb.sh", base=True),
    Row("pyspy", "debuggers and profilers", "py-spy on its own child", "./pyspy.sh", seeded=True),
    build("make", "C", "gcc, ar, ld, parallel make", base=True),
    build("libc", "C", "what libc does, each effect checked", base=True),
    Row("cmake", "C", "cmake, ninja, ctest", "./cmake.sh"),
    build("go", "Go", "go build, vet, test -race with `GOTMPDIR` in the workspace"),
    Row("gotest", "Go", "go test as it is typed", "./gotest.sh", known=(
        Known(AIBOX, "permission denied", "it runs its test program in /tmp, which runs none (S9)",
              "`export GOTMPDIR=$PWD/tmp` in a folder of the workspace or home"),)),
    Row("gopprof", "debuggers and profilers", "Go's runtime/pprof and `go tool pprof`", "./gopprof.sh"),
    build("rust", "Rust", "cargo build --release and test, offline"),
    build("git", "Git", "a repository's life: merge, rebase, gc, clone, bisect", base=True),
    Row("bigclone", "Git", "20,000 files: commit, clone, work tree, submodule", "./bigclone.sh", 400, base=True),
    build("bazel", "Bazel", "Bazel, its sandbox off or falling back"),
    Row("bazelsandbox", "Bazel", "Bazel with `--spawn_strategy=linux-sandbox`", "./bazelsandbox.sh", 240, known=(
        Known(AIBOX, "linux-sandbox", "it makes namespaces, and unshare and mount are refused (S5)",
              "`--spawn_strategy=local` or `processwrapper-sandbox`; the box is the sandbox"),
        Known(("runc", "gvisor-2024"), "linux-sandbox",
              "its own check for namespaces and mounts fails in a plain container, too",
              "`--spawn_strategy=local` or `processwrapper-sandbox`"))),
    Row("gdb", "debuggers and profilers", "gdb: a breakpoint in C", "./gdb.sh", known=(
        Known(AIBOX, "not permitted", NO_PTRACE,
              "language debuggers (jdb, pdb, node --inspect); or run the same workspace under runc without aibox"),)),
    Row("strace", "debuggers and profilers", "strace", "./strace.sh", known=(
        Known(AIBOX, "not permitted", NO_PTRACE, "the program's own logs; strace on another machine"),)),
    Row("perf", "debuggers and profilers", "perf_event_open, as perf uses it", "./perf.sh", base=True, known=(
        Known(("runc", *GVISOR, *AIBOX), "perf_event_open", NO_PERF, "the profilers of the languages, above"),)),
    Row("tmux", "shell and editing", "tmux: two panes", "./tmux.sh"),
    Row("vim", "shell and editing", "vi, in batch mode and on a terminal", "./vim.sh", base=True),
    build("shell", "shell and editing", "some 60 everyday programs", base=True),
    Row("terminal", "shell and editing", "pseudo-terminals, job control, Ctrl-C", "python3 terminal.py", base=True),
    Row("watch-inside", "files", "inotify: a change made in the box", "python3 watch.py inside", base=True),
    Row("watch-host", "files", "inotify: a change made on the host", "python3 watch.py host", base=True,
        edited="watched-host", known=(
            Known((*GVISOR, *AIBOX), "no event", "gVisor's kernel does not hear of the host's changes",
                  "tell the watcher to poll: `CHOKIDAR_USEPOLLING=1`, `WATCHPACK_POLLING=true`, "
                  "`--watch-poll`"),)),
    Row("watch-poll", "files", "polling: a change made on the host", "python3 watch.py poll", base=True,
        edited="watched-poll"),
    Row("sqlite", "files", "sqlite in WAL mode, four writers and a reader", "python3 sqlite.py", base=True),
    Row("shared", "files", "shared memory: POSIX, System V, anonymous", "python3 shared.py", base=True),
    Row("large", "files", "files beyond 4 GiB: sparse, fallocate, mmap", "python3 large.py", base=True),
    Row("sockets", "files", "UNIX sockets: descriptors, credentials, abstract", "python3 sockets.py", base=True),
)  # fmt: skip


class Outcome(NamedTuple):
    """How a row ended: exit code, its last words, seconds, and the host's load then."""

    code: int
    said: str
    seconds: float
    load: float


def known(row: Row, column: str) -> Known | None:
    """The failure that is expected of a row in a column."""
    return next((entry for entry in row.known if column in entry.columns), None)


def judge(row: Row, column: str, outcome: Outcome) -> str:
    """What is wrong about an outcome, or nothing: failures are as the table says, and so are successes."""
    expected = known(row, column)
    if expected is None:
        return "" if outcome.code == 0 else f"{row.name}: exit {outcome.code}: {outcome.said}"
    if outcome.code == 0:
        return f"{row.name}: passes, but the table says that it fails: {expected.reason}"
    if expected.says not in outcome.said:
        return f"{row.name}: fails, but does not say '{expected.says}': {outcome.said}"
    return ""


# above this load on the two processors that the figures are from, times say more about the neighbours
QUIET = 3.0


def cell(row: Row, column: str, outcome: Outcome | None) -> str:
    """One cell of the page."""
    if outcome is None:
        return "not run"
    if outcome.code == 0:
        return f"pass, {outcome.seconds:.1f} s" if outcome.load < QUIET else "pass"
    return "known" if known(row, column) and not judge(row, column, outcome) else "fails"


def table(saved: Mapping[str, Mapping[str, Outcome]]) -> list[tuple[str, ...]]:
    """The rows of the page: title, group, one cell for each column."""
    return [
        (row.group, row.title, *(cell(row, column, saved.get(column, {}).get(row.name)) for column in COLUMNS))
        for row in sorted(ROWS, key=lambda row: [each.group for each in ROWS].index(row.group))
    ]


def ways_round(saved: Mapping[str, Mapping[str, Outcome]]) -> list[tuple[str, ...]]:
    """What is known to fail: where, where that was seen by the last measurement, why, and the way round."""
    lines: list[tuple[str, ...]] = []
    for row in ROWS:
        for entry in row.known:
            cells = {name: cell(row, name, saved.get(name, {}).get(row.name)) for name in entry.columns}
            seen = ", ".join(name for name, text in cells.items() if text == "known") or "not yet"
            lines.append((row.title, ", ".join(entry.columns), seen, entry.reason, entry.way))
    return lines
