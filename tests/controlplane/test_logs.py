"""Real process logs through all folds: their counts, cases and gaps are exactly those that were counted elsewhere."""

from collections import defaultdict
from typing import Any

import pytest

from bus.event import parse_time
from controlplane.answers import Extras, answer
from controlplane.fold import Heart
from controlplane.plane import folds
from controlplane.questions import AskFlows, AskSagas, AskStatus, Flows, Sagas, Status
from controlplane.sagas import usual
from controlplane.sketches import bucket_of, samples
from controlplane.timeline import verify
from tests.controlplane.logs import NOW, batches, lines, stats

LOGS = ("receipt", "bpic2012")
DAY = 86_400


@pytest.fixture(scope="module", params=LOGS)
def told(request: pytest.FixtureRequest) -> tuple[str, Heart, dict[str, Any]]:
    """A log's name, a heart that has taken all of it, and what is known of it."""
    name = str(request.param)
    expected = stats(name)
    heart = Heart(folds())
    for number, rows in enumerate(batches(f"process_logs/{name}.jsonl.gz", name)):
        heart.step(rows, NOW + number * 1_000_000)
    assert not heart.quarantined
    return name, heart, expected


def test_events_per_type_and_source_are_exact(told: tuple[str, Heart, dict[str, Any]]) -> None:
    _, heart, expected = told
    by_type: dict[str, int] = defaultdict(int)
    by_source: dict[str, int] = defaultdict(int)
    for key, flow in heart.states["flows"].items("flow"):
        source, _, type = str(key).partition("\0")
        by_type[type] += flow.total
        by_source[source] += flow.total
    assert by_type == expected["events_by_type"]
    assert (len(by_type), len(by_source)) == (expected["types"], expected["sources"])
    top = dict(sorted(by_source.items(), key=lambda item: -item[1])[:20])
    assert sorted(top.values()) == sorted(expected["events_by_source_top20"].values())
    assert all(by_source[source] == count for source, count in expected["events_by_source_top20"].items())
    assert heart.states["ledger"].get("count", "events") == expected["events"] == heart.position


def test_cases_steps_and_ends_are_exact(told: tuple[str, Heart, dict[str, Any]]) -> None:
    name, heart, expected = told
    sagas = [saga for _, saga in heart.states["sagas"].items("saga")]
    assert len(sagas) == expected["cases"] == heart.states["sagas"].get("count", "open")
    assert (min(s.steps for s in sagas), max(s.steps for s in sagas)) == (
        expected["events_per_case"]["min"],
        expected["events_per_case"]["max"],
    )
    longest = max(s.last - s.started for s in sagas) / 1_000_000_000
    assert longest == pytest.approx(expected["case_duration_s"]["max"], abs=0.001)
    assert heart.states["sagas"].get("log", name) == parse_time(expected["last"])
    last: dict[str, int] = defaultdict(int)
    for saga in sagas:
        last[saga.step] += 1
    assert last == expected["last_type"]
    assert heart.next_deadline() is None


def test_every_gap_is_learned_at_the_step_it_followed(told: tuple[str, Heart, dict[str, Any]]) -> None:
    name, heart, expected = told
    gaps: dict[str, list[int]] = defaultdict(list)
    before: dict[str, tuple[str, int]] = {}
    for line in lines(f"process_logs/{name}.jsonl.gz"):
        at = parse_time(str(line.time))
        if line.subject in before:
            step, then = before[line.subject]
            gaps[step].append(at - then)
        before[line.subject] = (line.type, at)
    state = heart.states["sagas"]
    learned = {str(key).partition("\0")[2]: sketch for key, sketch in state.items("gap")}
    assert {step: samples(sketch) for step, sketch in learned.items()} == {
        step: len(found) for step, found in gaps.items()
    }
    long = sum(gap > 30 * DAY * 1_000_000_000 for found in gaps.values() for gap in found)
    assert long == expected["inactivity_gaps"]["gt_30d"]
    for step, found in gaps.items():
        again: dict[int, int] = defaultdict(int)
        for gap in found:
            again[bucket_of(gap)] += 1
        assert again == learned[step]
        median, p95 = usual(state, name, step)
        if median is not None and p95 is not None:
            exact = sorted(found)[-(-len(found) * 95 // 100) - 1]
            assert exact <= p95 <= exact * 1.125 + 1
            assert median <= p95


def test_the_answers_hold_the_whole_log(told: tuple[str, Heart, dict[str, Any]]) -> None:
    _, heart, expected = told
    status = answer(AskStatus(), heart, heart.recorded, Extras())
    flows = answer(AskFlows(limit=5_000), heart, heart.recorded, Extras())
    inbox = answer(AskSagas(state="all", limit=5), heart, heart.recorded, Extras())
    stuck = answer(AskSagas(state="stuck", limit=5_000), heart, heart.recorded, Extras())
    assert isinstance(status, Status) and isinstance(flows, Flows)
    assert isinstance(inbox, Sagas) and isinstance(stuck, Sagas)
    assert sum(row.total for row in flows.rows) == expected["events"]
    assert inbox.matched == expected["cases"] == status.counts.sagas_open
    assert stuck.matched == status.counts.sagas_stuck > 0
    assert all(row.severity in ("warn", "bad") and row.why and row.ratio and row.ratio > 1 for row in stuck.rows)
    assert sum(row.severity == "bad" for row in stuck.rows) <= status.counts.sagas_stuck_bad
    assert status.counts.dead_letters == status.counts.sagas_finished == 0


def test_the_log_verifies() -> None:
    expected = stats("receipt")
    heart = Heart(folds())
    steps = [
        heart.step(rows, NOW + number)
        for number, rows in enumerate(batches("process_logs/receipt.jsonl.gz", "receipt", size=100))
    ]
    verdict = verify(steps, folds())
    assert (verdict.same, verdict.events, verdict.divergence) == (True, expected["events"], "")
