"""The pure half of the control plane, read as text: what folds and answers may not name."""

import ast
from pathlib import Path

import pytest

import controlplane.plane
from controlplane.plane import FOLLOWED_TYPES, folds, versions
from tests.controlplane.purity import impurities, unstable

HERE = Path(controlplane.plane.__file__).parent
LISTED = """
    able adaptive agenthealth agents assigning brokers causes deadletters decisions differences dispatch
    dispatchhealth dispatchsettings dispatchwords elections fleet flows fold groups health history horizon
    inforce journaled lately leadership ledger lifecycle operations placing plane rebalance registry roll roster
    sagas settings sketches standing state taskfates tasks timeline whatif
"""
FOLDS = [*(HERE / f"{name}.py" for name in LISTED.split()), *sorted((HERE / "facts").glob("*.py"))]
FILES = [*FOLDS, *sorted((HERE / "answers").glob("*.py"))]


def name_of(path: Path) -> str:
    return str(path.relative_to(HERE))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_clock_no_dice_no_disk(path: Path) -> None:
    assert impurities(ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("path", FOLDS, ids=name_of)
def test_folds_have_no_float_and_go_through_no_set(path: Path) -> None:
    assert unstable(ast.parse(path.read_text(encoding="utf-8"))) == []


def test_folds_have_names_of_their_own_and_read_only_those_before_them() -> None:
    names = [fold.name for fold in folds()]
    assert len(names) == len(set(names)) == len(versions())
    assert all(fold.version >= 1 and fold.follows for fold in folds())
    assert names[-2:] == ["health", "history"], "those that read others come last"
    assert FOLLOWED_TYPES[0] == "signalbox.deadletter" and "agent.lifecycle.*" in FOLLOWED_TYPES
