"""A clock, a set's order, a float sum, `hash()`, the disk and a memory of its own, planted in a fold: each is caught.

Twice: in the fold's text, before it ever runs; and by what it does, when its journal is verified in another process,
with another hash seed, clock and disk, or when its batches are cut elsewhere.
"""

import ast
import inspect
import os
import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from controlplane.fold import Heart, Step
from controlplane.timeline import Verdict, verify
from tests.controlplane.planted import ALL, NOTE_VARIABLE, batch, lived
from tests.controlplane.purity import impurities, unstable
from tests.controlplane.test_properties import by_fold

SAID = {
    "Innocent": [],
    "Clock": ["line 3: imports time"],
    "Order": ["line 4: goes through a set"],
    "Rounding": ["line 3: divides to a float"],
    "Hashing": ["line 3: calls hash()"],
    "Disk": ["line 3: imports os", "line 4: imports from pathlib"],
    "Memory": ["line 9: keeps self.rows"],
}


def test_nothing_planted_is_forgotten_here() -> None:
    assert SAID.keys() == ALL.keys()


@pytest.mark.parametrize("name", ALL)
def test_it_is_seen_in_the_text(name: str) -> None:
    tree = ast.parse(textwrap.dedent(inspect.getsource(ALL[name])))
    assert [*impurities(tree), *unstable(tree)] == SAID[name]


@pytest.mark.parametrize(
    "line",
    [
        "for x in {1, 2}: pass", "[x for x in set(y)]", "list({x for x in y})", "a = {1} | b\nfor x in a: pass",
        "def f(a: set[str]): return ','.join(a)", "a = frozenset(b).union(c)\n(*a,)", "a = set()\na.pop()",
        "dict.fromkeys(set(a) - b)", "next(iter({1, 2}))", "def f():\n yield from {1, 2}",
        "x = 1 / 2", "x /= 2", "x = 1e3", "float(x)", "import math\nmath.sqrt(2)",
    ],
)  # fmt: skip
def test_order_and_rounding_are_seen_however_they_are_written(line: str) -> None:
    assert unstable(ast.parse(line)), line


@pytest.mark.parametrize(
    "line", ["sorted({1, 2})", "len({1})", "x in {1, 2}", "a = {1}\na = a | {2}", "for x in sorted(set(y)): pass",
             "min(set(x))", "x // 2", "d.pop('a')", "a = [1]\na.pop()"],
)  # fmt: skip
def test_what_is_fine_is_left_alone(line: str) -> None:
    assert unstable(ast.parse(line)) == [], line


def again_elsewhere(name: str, folder: Path) -> Verdict:
    """The journal of a life in another process, verified in this one."""
    notes = [folder / "there", folder / "here"]
    for note in notes:
        note.write_text(note.name, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "tests.controlplane.planted", name], capture_output=True, text=True, check=True,
        timeout=60, cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONHASHSEED": str(other_seed()), NOTE_VARIABLE: str(notes[0])},
    )  # fmt: skip
    digests = [bytes.fromhex(line) for line in done.stdout.split()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(NOTE_VARIABLE, str(notes[1]))
        steps = [
            msgspec.structs.replace(step, digest=digest)
            for step, digest in zip(lived(ALL[name]()), digests, strict=True)
        ]
        return verify(steps, [ALL[name]()], again=lambda: steps)


def other_seed() -> int:
    """A hash seed under which eight types come out of a set in another order, and hash otherwise, than here."""
    return 1 if os.environ.get("PYTHONHASHSEED") != "1" else 2


def test_an_innocent_fold_verifies_anywhere(tmp_path: Path) -> None:
    assert again_elsewhere("Innocent", tmp_path).divergence == ""


@pytest.mark.parametrize("name", ["Clock", "Order", "Hashing", "Disk"])
def test_another_process_finds_it_and_names_where(name: str, tmp_path: Path) -> None:
    verdict = again_elsewhere(name, tmp_path)
    assert not verdict.same
    where = verdict.where
    assert where is not None
    assert (where.what, where.position, where.fold, where.table, where.key) == ("state", 2, "planted", "seen", "all")
    if name == "Clock":
        assert where.field == "odd" and where.was != where.now, "a second reading here reads another clock"
        assert "fold planted, table seen, key 'all', field odd: was 1" in where.text
    else:
        assert "the only one that this step changed" in where.text


def test_a_memory_of_its_own_is_found_where_it_is_read_again() -> None:
    fold = ALL["Memory"]()
    steps: list[Step] = lived(fold)
    where = verify(steps, [fold], again=lambda: steps).where
    assert where is not None
    assert (where.fold, where.table, where.key, where.field) == ("planted", "seen", "all", "rows")


@pytest.mark.parametrize(("name", "same"), [("Innocent", True), ("Rounding", False)])
def test_a_float_sum_depends_on_where_a_batch_is_cut(name: str, same: bool) -> None:
    def told(*edges: int) -> dict[str, int]:
        heart, rows = Heart([ALL[name]()]), batch(list(range(1, 9)))
        for start, stop in pairwise(edges):
            heart.step(rows.part(start, stop), 1)
        return by_fold(heart)

    cut = [told(0, first, second, 8) for first in range(1, 7) for second in range(first + 1, 8)]
    assert all(one == told(0, 8) for one in cut) is same
