#!/usr/bin/env python3
"""Breaks one module line by line and names the breaks that no test notices.

Usage: mutate.py aibox/checks_plan.py tests/unit/test_mutants_plan.py [TEST...]   (works on a copy of the tree)
Exit code 1 if a mutant survives. A survivor is a missing test, or a line whose change changes nothing.
"""

import ast
import copy
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis  # noqa: F401 - loaded before the forks
import pytest
import yaml  # noqa: F401

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120
# how many of the first arguments of these are texts for people
SHOWN = {"equal": 1, "same_set": 1, "holds": 2, "AiboxError": 3, "_forbidden": 3, "_tampered": 2, "_invalid": 4}
NOT_COPIED = ("__pycache__", ".git", "build", "dist", ".mypy_cache", ".ruff_cache", ".hypothesis")
OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip


def breaks(node: ast.AST) -> Iterator[ast.AST]:
    """Other nodes in the place of one."""
    yield from broken_logic(node)
    if isinstance(node, ast.Constant):
        yield from broken_constants(node.value)
    elif isinstance(node, (ast.Tuple, ast.List)) and isinstance(node.ctx, ast.Load) and node.elts:
        for at in range(len(node.elts)):
            yield type(node)(without(node.elts, at), node.ctx)
    elif isinstance(node, (ast.Raise, ast.AugAssign)) or is_call(node):
        yield ast.Pass()


def is_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)


def broken_logic(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Compare):
        for at, operator in enumerate(node.ops):
            other = copy.deepcopy(node)
            other.ops[at] = OPPOSITE[type(operator)]()
            yield other
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        for at in range(len(node.values)):
            kept = without(node.values, at)
            yield kept[0] if len(kept) == 1 else ast.BoolOp(node.op, kept)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.IfExp):
        yield node.body
        yield node.orelse


def without(values: list[ast.expr], at: int) -> list[ast.expr]:
    return [*values[:at], *values[at + 1 :]]


def broken_constants(value: object) -> Iterator[ast.AST]:
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int):
        yield ast.Constant(value + 1)
    elif isinstance(value, str) and value and " " not in value:
        yield ast.Constant(value + "x")


def mutants(source: str) -> Iterator[tuple[int, str, str]]:
    """Line, what was changed to what, and the whole module with that change."""
    tree = ast.parse(source)
    skipped = {id(part) for node in ast.walk(tree) for part in unread(node)}
    for node in ast.walk(tree):
        for name, value in ast.iter_fields(node):
            children = value if isinstance(value, list) else [value]
            for at, child in enumerate(children):
                if not isinstance(child, ast.AST) or id(child) in skipped:
                    continue
                for other in breaks(child):
                    place_in(node, name, at, other)
                    ast.fix_missing_locations(tree)
                    changed = f"{ast.unparse(child)[:70]}  ->  {ast.unparse(other)[:70]}"
                    yield getattr(child, "lineno", 0), changed, ast.unparse(tree)
                    place_in(node, name, at, child)


def unread(node: ast.AST) -> Iterator[ast.AST]:
    """Parts whose change no test should notice: texts for people, docstrings, annotations."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SHOWN:
        for argument in node.args[: SHOWN[node.func.id]]:
            yield from ast.walk(argument)
    if isinstance(node, ast.JoinedStr):
        yield from ast.walk(node)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        yield node.value
    for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None)):
        if annotation:
            yield from ast.walk(annotation)


def place_in(node: ast.AST, name: str, at: int, child: ast.AST) -> None:
    value = getattr(node, name)
    if isinstance(value, list):
        value[at] = child
    else:
        setattr(node, name, child)


def noticed(tree: Path, tests: list[str]) -> bool:
    """Whether the tests fail, in a fork of this process: what they all import is loaded once."""
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        os.chdir(tree)
        silence = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(silence, stream)
        os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]))
    return os.waitpid(child, 0)[1] != 0


def main(module: str, tests: list[str]) -> int:
    """Break, run, restore; print the survivors."""
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*NOT_COPIED))
        source = (ROOT / module).read_text()
        sys.dont_write_bytecode = True
        if noticed(tree, tests):
            sys.exit("the tests fail without any change")
        total = survived = 0
        for line, changed, text in mutants(source):
            (tree / module).write_text(text)
            total += 1
            if not noticed(tree, tests):
                survived += 1
                print(f"{module}:{line}: {changed}", flush=True)
        print(f"{module}: {total - survived} of {total} mutants noticed")
    return 1 if survived else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], sys.argv[2:]))
