"""The house rules as failing tests: sizes, names, docstrings, purity's share, and what no file may do.

Layers and forbidden imports stand in `pyproject.toml` as import-linter contracts, run by `make imports`.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("bus", "controlplane", "console")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
EVERYTHING = FILES + sorted((ROOT / "tests").rglob("*.py"))
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
MEDIAN_LINES_MAX = 200
NOTHING_SAID = re.compile(r"(Manager|Engine|Helper|Util|Utils|Handler|Processor)$")
IMPURE_NAMES = """
    time datetime random secrets uuid os pathlib io socket asyncio threading logging zmq duckdb lmdb textual typer rich
    numpy pyarrow psutil subprocess
"""
IMPURE = frozenset(IMPURE_NAMES.split())


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("path", EVERYTHING, ids=name_of)
def test_no_file_is_too_long_and_no_function_either(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= FILE_LINES_MAX, f"{name_of(path)} has {lines} lines; move a wall"
    for function in functions(parse(path)):
        size = (function.end_lineno or function.lineno) - function.lineno + 1
        assert size <= FUNCTION_LINES_MAX, f"{name_of(path)}:{function.lineno} {function.name} has {size} lines"


def test_the_median_file_is_small() -> None:
    sizes = [path.read_text(encoding="utf-8").count("\n") for path in FILES if path.name != "__init__.py"]
    assert median(sizes) <= MEDIAN_LINES_MAX


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_names_say_something(path: Path) -> None:
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.ClassDef):
            assert not NOTHING_SAID.search(node.name), f"{name_of(path)}:{node.lineno} {node.name} says nothing"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_public_things_are_documented(path: Path) -> None:
    tree = parse(path)
    if path.name == "__init__.py" and not tree.body:
        return
    assert ast.get_docstring(tree), f"{name_of(path)} has no docstring: say what it is for and the theory of it"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{name_of(path)}:{node.lineno} {node.name}() has no docstring"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_is_swallowed_guarded_by_assert_or_left_open(path: Path) -> None:
    for node in ast.walk(parse(path)):
        assert not isinstance(node, ast.Assert), f"{name_of(path)}:{node.lineno} asserts: -O removes it; raise instead"
        if isinstance(node, ast.ExceptHandler):
            wide = node.type is None or (
                isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}
            )
            silent = all(isinstance(line, ast.Pass | ast.Continue) for line in node.body)
            assert not (wide and silent), f"{name_of(path)}:{node.lineno} swallows every error"
        if isinstance(node, ast.Name):
            assert node.id not in {"eval", "exec", "NotImplementedError"}, f"{name_of(path)}:{node.lineno} {node.id}"
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", path.read_text(encoding="utf-8")), (
        f"{name_of(path)} leaves something open"
    )


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("test_*.py")), ids=name_of)
def test_no_test_sleeps_through_a_race(path: Path) -> None:
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "sleep":
            value = node.func.value
            assert not (isinstance(value, ast.Name) and value.id == "time"), f"{name_of(path)}:{node.lineno} time.sleep"


def test_most_of_the_code_is_pure() -> None:
    pure = total = 0
    for path in FILES:
        lines = path.read_text(encoding="utf-8").count("\n")
        names = {
            alias.name.split(".")[0]
            for node in ast.walk(parse(path))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in (node.names if isinstance(node, ast.Import) else [ast.alias(node.module or "")])
        }
        total += lines
        pure += 0 if names & IMPURE else lines
    assert pure / total >= 0.5, f"{pure / total:.0%} of {total} lines are pure"


def test_the_help_loads_nothing_heavy() -> None:
    script = (
        "import sys; sys.argv = ['signalbox', '--help']\n"
        "from console.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = ('textual', 'duckdb', 'pyarrow', 'numpy', 'lmdb', 'zmq')\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert result.stderr.strip().splitlines()[-1] == "[]"
