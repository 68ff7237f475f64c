"""The layers: what may import what, who may start programs, and what a fast command may load."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "aibox"

# values in, values out: these touch no environment, file, clock or process
PURE = {
    "baseimage", "checks_engine", "checks_host", "checks_limits", "checks_plan", "config", "configkeys", "controls",
    "daemonjson", "engines", "engines.adapter", "engines.common", "engines.dialect", "engines.docker", "engines.images",
    "engines.podman", "engines.podmanvolumes", "errors", "imageref", "imagevariants", "jsonview", "model", "mountinfo",
    "observe", "options", "packages", "plan", "planrecord", "sbom", "seccomp", "sessionview", "settingsfile",
    "trustpolicy", "volumenames", "winpath", "yamlreader", "yamlscalars", "__version__",
}  # fmt: skip
# what they may take from the edge: the package's own files, and the types of what was read from /proc
LOANS = {("seccomp", "assets"), ("baseimage", "assets"), ("controls", "hostview"), ("checks_host", "hostview")}
HARMLESS = {
    "__future__", "base64", "collections.abc", "difflib", "hashlib", "json", "os", "re", "types", "typing",
}  # fmt: skip
STARTS_PROGRAMS = {"subprocess", "multiprocessing", "pty", "asyncio", "concurrent.futures", "popen2"}
NETWORK = {"socket", "ssl", "http", "urllib", "ftplib", "smtplib", "socketserver", "xmlrpc", "poplib", "imaplib"}


def modules() -> dict[str, ast.Module]:
    """Every module of the package by its name below `aibox`."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        found[name] = ast.parse(path.read_text(), str(path))
    return found


MODULES = modules()


def for_types_only(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node that runs: not what only a type checker sees."""
    for child in ast.iter_child_nodes(tree):
        if not (isinstance(child, ast.stmt) and for_types_only(child)):
            yield child
            yield from nodes(child)


def imported(name: str, *, lazily: bool = True) -> set[str]:
    """What a module imports; with `lazily`, also inside its functions."""
    tree = MODULES[name]
    found: set[str] = set()
    for node in nodes(tree) if lazily else (node for node in tree.body if not for_types_only(node)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            found |= {f"{base}.{alias.name}" for alias in node.names} if base in ("aibox", "aibox.commands") else {base}
    return found


def own(names: set[str]) -> set[str]:
    return {name.removeprefix("aibox.") for name in names if name.startswith("aibox.")}


def test_the_list_of_pure_modules_is_up_to_date() -> None:
    assert PURE - {"__version__"} <= set(MODULES)


@pytest.mark.parametrize("name", sorted(PURE - {"__version__"}))
def test_pure_modules_stay_pure(name: str) -> None:
    edge = {module for module in own(imported(name)) - PURE if (name, module) not in LOANS}
    assert edge == set(), f"aibox/{name}.py is pure and imports an edge module"
    foreign = {module for module in imported(name) if not module.startswith("aibox")}
    assert foreign <= HARMLESS
    touched = {
        node.attr
        for node in nodes(MODULES[name])
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
    }
    assert touched <= {"path"}
    called = {
        node.func.id for node in nodes(MODULES[name]) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & {"open", "print", "input", "exec", "eval", "__import__"}


def test_what_pure_modules_borrow_are_types_and_constants() -> None:
    for name, lender in LOANS:
        for node in ast.walk(MODULES[name]):
            if isinstance(node, ast.ImportFrom) and node.module == f"aibox.{lender}":
                assert {alias.name for alias in node.names} <= {"HostView", "HostProcess", "SENTRY", "GOFER"}


def test_imports_go_one_way() -> None:
    """No module needs, when it is loaded, one that needs it."""
    graph = {name: own(imported(name, lazily=False)) & set(MODULES) for name in MODULES}

    def reaches(name: str, seen: set[str]) -> set[str]:
        for other in graph[name] - seen:
            seen.add(other)
            reaches(other, seen)
        return seen

    assert {name for name in graph if name in reaches(name, set())} == set()


@pytest.mark.parametrize("name", sorted(MODULES))
def test_only_the_runner_starts_programs(name: str) -> None:
    if name == "runner":
        return
    assert {module.split(".")[0] for module in imported(name)} & STARTS_PROGRAMS == set()
    started = [
        node.attr
        for node in ast.walk(MODULES[name])
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
        and node.attr.startswith(("exec", "spawn", "posix_spawn", "popen", "system"))
    ]
    assert started == []


@pytest.mark.parametrize("name", sorted(MODULES))
def test_one_module_alone_asks_the_network(name: str) -> None:
    found = {module.split(".")[0] for module in imported(name)} & NETWORK
    assert found == ({"http", "urllib"} if name == "download" else set())


@pytest.mark.parametrize("name", sorted(MODULES))
def test_nothing_but_the_standard_library(name: str) -> None:
    foreign = {module.split(".")[0] for module in imported(name)} - {"aibox", "__future__"}
    assert foreign <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_no_blanket_catch_and_no_shell(name: str) -> None:
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None
            assert ast.unparse(node.type) != "Exception"
        if isinstance(node, ast.keyword) and node.arg == "shell":
            assert ast.unparse(node.value) == "False"


def loaded(*words: str) -> set[str]:
    """The modules that a command has loaded when it ends."""
    program = (
        "import atexit, json, sys; sys.path.insert(0, sys.argv.pop(1));"
        "atexit.register(lambda: sys.stderr.write(json.dumps(sorted(sys.modules))));"
        "from aibox.cli import main; main()"
    )
    argv = [sys.executable, "-I", "-S", "-c", program, str(ROOT), *words]
    env = {"HOME": "/nonexistent", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60, env=env)
    names: list[str] = json.loads(done.stderr.splitlines()[-1])
    return set(names)


def test_version_loads_few_modules() -> None:
    found = loaded("--version")
    assert {name for name in found if name.startswith("aibox.")} == {
        "aibox.cli", "aibox.errors", "aibox.jsonview", "aibox.options", "aibox.ui",
    }  # fmt: skip
    assert not found & {"subprocess", "hashlib", "urllib", "tempfile", "ctypes", "dataclasses", "inspect", "difflib"}


def test_a_command_loads_its_own_module_alone() -> None:
    found = {name for name in loaded("exec", "--help") if name.startswith("aibox.commands")}
    assert found == set()
    assert not {name for name in loaded("config") if name.startswith("aibox.commands.")} - {"aibox.commands.config"}


def test_a_session_loads_neither_the_checks_nor_the_other_engine(tmp_path: Path) -> None:
    """What an agent calls hundreds of times: `exec` in the folder of a box, as far as the engine."""
    podman = tmp_path / "podman"
    podman.write_text("#!/bin/sh\necho podman version 4.3.1\n")
    podman.chmod(0o755)
    found = loaded("exec", "--dry-run", "--workspace", str(tmp_path), "--engine-path", str(podman), "--", "true")
    assert "aibox.boxes" in found
    heavy = {
        "aibox.controls", "aibox.execute", "aibox.engines.docker", "aibox.yamlreader", "aibox.apparmor",
        "aibox.meanwhile", "ctypes", "secrets", "shutil", "tempfile",
    }  # fmt: skip
    assert sorted(found & heavy) == []
