"""Golden journals: the shipped demo log, and a real process log, give the recorded facts and digests byte for byte.

Where one differs a fold means something else than it did: every journal out there diverges at that step. If that is
meant, give the fold another `version`, and record anew with `pytest tests/golden --rewrite`.
"""

from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from controlplane.facts import FoldVersions, PlaneStarted, Rows
from controlplane.fold import Heart, Step
from controlplane.plane import folds, versions
from controlplane.timeline import as_of, verify
from controlplane.whatif import what_if
from tests.controlplane.logs import NOW, batches
from tests.golden.life import Life, journaled, transcript

HERE = Path(__file__).parent


def check(name: str, lines: list[str], rewrite: bool) -> None:
    """The lines are those of the golden file; the first that is not is shown."""
    path = HERE / f"{name}.txt"
    if rewrite:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    golden = path.read_text(encoding="utf-8").splitlines()
    for number, (was, now) in enumerate(zip_longest(golden, lines), 1):
        assert now == was, f"{path.name}:{number} differs; see the docstring of {Path(__file__).name}"


@pytest.fixture(scope="module")
def life() -> Life:
    return Life().live()


def test_the_demo_log_reproduces(life: Life, rewrite: bool) -> None:
    assert not life.heart.quarantined
    check("demo", list(transcript(life.steps, life.heart)), rewrite)


def test_it_comes_out_of_a_journal_as_it_went_in(life: Life, rewrite: bool) -> None:
    with TemporaryDirectory() as folder:
        journal = journaled(Path(folder))
        steps = list(journal.replay())
        again = as_of(steps, folds())
        assert (journal.position, journal.digest) == (life.heart.position, life.heart.digest())
        check("demo", list(transcript(steps, again)), False)
        verdict = verify(journal.replay(), folds(), again=journal.replay)
        assert (verdict.divergence, verdict.older) == ("", 0)
        assert what_if(journal.replay(), folds, {}).same
        journal.close()


def test_everything_that_can_happen_happens_in_it(life: Life) -> None:
    inputs = {type(step.input).__name__ for step in life.steps}
    derived = {type(entry.fact).__name__ for step in life.steps for entry in step.derived}
    assert {"Rows", "BrokerLost", "PlaneResumed", "RedriveDecided", "SettingSet", "Tick"} <= inputs
    assert {"LeaderElected", "SagaStuck", "Carried", "RestartScheduled", "BrokerSilent"} <= derived


def test_a_process_log_reproduces(rewrite: bool) -> None:
    heart, steps = Heart(folds()), list[Step]()
    for given in (PlaneStarted(1, "golden"), FoldVersions(versions())):
        steps.append(heart.step(given, NOW))
    for number, rows in enumerate(batches("process_logs/receipt.jsonl.gz", "receipt"), 1):
        assert isinstance(rows, Rows)
        steps.append(heart.step(rows, NOW + number * 1_000_000))
    assert not heart.quarantined
    check("receipt", list(transcript(steps, heart)), rewrite)
