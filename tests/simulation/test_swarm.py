"""The swarm: many seeds of weather over the real machines, and nothing acked is lost, doubled or changed in any."""

from collections import Counter

import pytest

from .__main__ import main
from .swarm import run

SEEDS = 200
"""Every planted bug shows in one of them (`test_bugs`); `--long` goes on from there."""
SEEDS_LONG = 20_000
CHUNK = 25
CHUNKS = [pytest.param(at, id=f"seeds-{at}-{at + CHUNK - 1}") for at in range(0, SEEDS, CHUNK)]

MET = [
    "crash",
    "elections",
    "epochs",
    "lost",
    "truncated",
    "replaced",
    "repeated",
    "usurped",
    "tempted",
    "stall",
    "wiped",
    "plane",
    "trims",
    "begun",
    "duplicates",
    "moved",
    "given up",
]
"""What the swarm as a whole must have met, or it proves nothing."""


def sweep(first: int, count: int) -> Counter[str]:
    figures: Counter[str] = Counter()
    for seed in range(first, first + count):
        verdict = run(seed)
        again = f"python -m tests.simulation --seed {seed} -v"
        assert verdict.violation is None, f"seed {seed}: {verdict.violation}; see it by: {again}"
        assert verdict.figures["acked"] > 0, f"seed {seed} acked nothing; see it by: {again}"
        figures.update(verdict.figures)
    return figures


@pytest.mark.parametrize("first", CHUNKS)
def test_nothing_acked_is_lost_doubled_or_changed(first: int) -> None:
    figures = sweep(first, CHUNK)
    assert figures["truncated"] and figures["lost"] and figures["messages lost"]


def test_the_storms_meet_everything_they_are_meant_to() -> None:
    figures = sweep(SEEDS, 40)
    assert [name for name in MET if not figures[name]] == []
    refusals = {name for name in figures if name.startswith("reply ")}
    expected = {"acked", "InsufficientReplicas", "NotLeader", "OutOfSequence", "OutcomeUnknown", "UnknownProducer"}
    assert {f"reply {code}" for code in expected} <= refusals


@pytest.mark.long
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("first", range(SEEDS, SEEDS_LONG, 1_000))
def test_the_same_over_many_more_seeds(first: int) -> None:
    sweep(first, 1_000)


@pytest.mark.parametrize("seed", [0, 17])
def test_a_seed_is_a_run(seed: int) -> None:
    assert run(seed) == run(seed)


def test_a_failing_seed_is_one_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "3"]) == 0
    assert "1 seeds, 0 failed" in capsys.readouterr().out
    assert main(["--seed", "0", "--bug", "ack-before-quorum", "-v"]) == 1
    told = capsys.readouterr().out
    assert "seed 0: quorum:" in told and "leads" in told
