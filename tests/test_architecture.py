"""The house rules as failing tests: sizes, names, docstrings, purity's share, and what no file may do.

Layers and forbidden imports stand in `pyproject.toml` as import-linter contracts, run by `make imports`.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("bus", "controlplane", "console")
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
MEDIAN_LINES_MAX = 200
NOTHING_SAID = re.compile(r"(Manager|Engine|Helper|Util|Utils|Handler|Processor)$")
IMPURE_NAMES = """
    time datetime random secrets uuid os pathlib io socket asyncio threading logging zmq duckdb lmdb textual typer rich
    numpy pyarrow psutil subprocess
"""
IMPURE = frozenset(IMPURE_NAMES.split())


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


FILES = [path for package in PACKAGES for path in files(package)]


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def lines_of(path: Path) -> int:
    return path.read_text(encoding="utf-8").count("\n")


def too_long(path: Path, tree: ast.Module) -> Iterator[str]:
    """No file is, and no function either."""
    if lines_of(path) > FILE_LINES_MAX:
        yield f" has {lines_of(path)} lines; move a wall"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            if size > FUNCTION_LINES_MAX:
                yield f":{node.lineno} {node.name} has {size} lines"


def says_nothing(path: Path, tree: ast.Module) -> Iterator[str]:
    """Names say something."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and NOTHING_SAID.search(node.name):
            yield f":{node.lineno} {node.name} says nothing"


def undocumented(path: Path, tree: ast.Module) -> Iterator[str]:
    """Public things are documented."""
    if path.name == "__init__.py" and not tree.body:
        return
    if not ast.get_docstring(tree):
        yield " has no docstring: say what it is for and the theory of it"
    for node in tree.body:
        public = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
        if public and not ast.get_docstring(node):
            yield f":{node.lineno} {node.name}() has no docstring"


def swallowed_or_left_open(path: Path, tree: ast.Module) -> Iterator[str]:
    """Nothing is swallowed, guarded by assert or left open."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            yield f":{node.lineno} asserts: -O removes it; raise instead"
        if isinstance(node, ast.ExceptHandler):
            wide = node.type is None or (
                isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}
            )
            if wide and all(isinstance(line, ast.Pass | ast.Continue) for line in node.body):
                yield f":{node.lineno} swallows every error"
        if isinstance(node, ast.Name) and node.id in {"eval", "exec", "NotImplementedError"}:
            yield f":{node.lineno} {node.id}"
    if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", path.read_text(encoding="utf-8")):
        yield " leaves something open"


def sleeps(path: Path, tree: ast.Module) -> Iterator[str]:
    """No test sleeps through a race."""
    for node in ast.walk(tree) if path.name.startswith("test_") else ():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "sleep":
            value = node.func.value
            if isinstance(value, ast.Name) and value.id == "time":
                yield f":{node.lineno} time.sleep"


RULES = {
    **dict.fromkeys(PACKAGES, (too_long, says_nothing, undocumented, swallowed_or_left_open)),
    "tests": (too_long, sleeps),
}


def broken(folder: str) -> list[str]:
    """What breaks a rule; all rules look at a file at once, as it is parsing that takes long."""
    return [
        f"{path.relative_to(ROOT)}{what}"
        for path in files(folder)
        for tree in [parse(path)]
        for rule in RULES[folder]
        for what in rule(path, tree)
    ]


@pytest.mark.parametrize("folder", RULES)
def test_the_house_rules_are_kept(folder: str) -> None:
    assert broken(folder) == []


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("long.py", '"""."""\n' + "\n" * FILE_LINES_MAX, " has 401 lines; move a wall"),
        ("f.py", '"""."""\n\ndef _f():\n' + "    x = 1\n" * FUNCTION_LINES_MAX, ":3 _f has 71 lines"),
        ("named.py", '"""."""\nclass OrderManager: ...\n', ":2 OrderManager says nothing"),
        ("bare.py", "x = 1\n", " has no docstring: say what it is for and the theory of it"),
        ("public.py", '"""."""\ndef f(): ...\n', ":2 f() has no docstring"),
        ("asserts.py", '"""."""\nassert 1\n', ":2 asserts: -O removes it; raise instead"),
        ("silent.py", '"""."""\ntry: x\nexcept Exception: pass\n', ":3 swallows every error"),
        ("stub.py", '"""."""\nraise NotImplementedError\n', ":2 NotImplementedError"),
        ("open.py", '"""."""\n# TO' + "DO\n", " leaves something open"),
        ("test_s.py", '"""."""\nimport time\ntime.sleep(1)\n', ":3 time.sleep"),
    ],
)
def test_a_rule_that_is_broken_is_seen(tmp_path: Path, name: str, text: str, what: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    rules = dict.fromkeys(rule for each in RULES.values() for rule in each)
    assert [found for rule in rules for found in rule(path, parse(path))] == [what]


def test_the_median_file_is_small() -> None:
    assert median(lines_of(path) for path in FILES if path.name != "__init__.py") <= MEDIAN_LINES_MAX


def test_most_of_the_code_is_pure() -> None:
    pure = total = 0
    for path in FILES:
        lines = lines_of(path)
        names = {
            alias.name.split(".")[0]
            for node in ast.walk(parse(path))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in (node.names if isinstance(node, ast.Import) else [ast.alias(node.module or "")])
        }
        total += lines
        pure += 0 if names & IMPURE else lines
    assert pure / total >= 0.5, f"{pure / total:.0%} of {total} lines are pure"


def test_what_a_test_starts_compiles_nothing_again() -> None:
    script = "import sys; print(sys.dont_write_bytecode)"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout == "False\n", "see conftest.py"


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
