"""The pure half of the control plane, read as text: what folds and answers may not name."""

import ast
from pathlib import Path

import pytest

import controlplane.plane
from controlplane.plane import FOLLOWED_TYPES, folds, versions
from tests.test_architecture import IMPURE

HERE = Path(controlplane.plane.__file__).parent
LISTED = """
    adaptive brokers causes deadletters decisions elections fleet flows fold groups health history journaled
    lately leadership ledger operations placing plane rebalance registry roster sagas sketches standing state timeline
"""
FOLDS = [*(HERE / f"{name}.py" for name in LISTED.split()), *sorted((HERE / "facts").glob("*.py"))]
FILES = [*FOLDS, *sorted((HERE / "answers").glob("*.py"))]


def name_of(path: Path) -> str:
    return str(path.relative_to(HERE))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_clock_no_dice_no_disk(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & IMPURE
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in IMPURE
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"hash", "id", "open", "input", "print"}, (
                f"line {node.lineno} calls {node.func.id}"
            )


@pytest.mark.parametrize("path", FOLDS, ids=name_of)
def test_folds_have_no_float_and_go_through_no_set(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), f"line {node.lineno} has a float"
        assert not (isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div)), f"line {node.lineno}"
        goes = [node.iter] if isinstance(node, ast.For | ast.comprehension) else []
        for what in goes:
            assert not isinstance(what, ast.Set | ast.SetComp), f"line {what.lineno} goes through a set"
            is_set = (
                isinstance(what, ast.Call) and isinstance(what.func, ast.Name) and what.func.id in {"set", "frozenset"}
            )
            assert not is_set, f"line {what.lineno} goes through a set"


def test_folds_have_names_of_their_own_and_read_only_those_before_them() -> None:
    names = [fold.name for fold in folds()]
    assert len(names) == len(set(names)) == len(versions())
    assert all(fold.version >= 1 and fold.follows for fold in folds())
    assert names[-2:] == ["health", "history"], "those that read others come last"
    assert FOLLOWED_TYPES == ("signalbox.deadletter",)
