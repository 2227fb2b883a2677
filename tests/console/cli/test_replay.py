"""Replay's questions and pages: moments in any order, settings from flags and files, and what a reader is shown."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from console.limits import RULES_FILE_BYTES_MAX
from controlplane.questions import (
    AskDiff,
    AskWhatIf,
    Diff,
    FactChange,
    Horizon,
    KindChange,
    Progress,
    Question,
    Refusal,
    StateChange,
    TableChange,
    Told,
    WhatIf,
)
from tests.console import frozen
from tests.console.cli.test_commands import SHAPES, shape

SECOND = 1_000_000_000
THEN = 1_790_000_000 * SECOND


def counts(**more: Any) -> Any:
    return msgspec.structs.replace(frozen.calm().ask(frozen.AskBoard()).body.status.counts, **more)


def otherwise(**more: Any) -> WhatIf:
    """Three facts that differ, a horizon among them."""
    found = WhatIf(
        settings={"sagas.stuck_after_ms": "60000"}, first=1, last=4321, since=THEN, until=THEN + 60 * SECOND,
        same=False,
        entries=4321, events=4000, older=0, seconds=0.25,
        kinds=[KindChange("LeaderElected", 0, 0, 0, 0, 12), KindChange("SagaStuck", 1, 1, 1, 0, 7)],
        facts=[
            FactChange("gone", "SagaStuck", "saga s-1\x1b[2J", 17, THEN + SECOND),
            FactChange("moved", "SagaStuck", "saga s-2", 18, THEN + SECOND, THEN + 31 * SECOND, "threshold_ns 1",
                       "threshold_ns 2"),
            FactChange("new", "SagaStuck", "saga s-3", 0, 0, THEN + 2 * SECOND, beyond=True),
        ],
        horizon=Horizon(20, THEN + SECOND, "OfferEpoch p01 epoch 2 would not have been asked for"),
        unasked=Horizon(25, THEN + 2 * SECOND, "OfferAnswered answers OfferEpoch p01 epoch 2"),
        beyond=1, unmatched=0, tables=[TableChange("sagas", "saga", 0, 0, 2)],
        changes=[StateChange("sagas", "saga", "s-1", "changed", "severity", "bad", "ok")],
        was=counts(sagas_stuck=5, score=80), now=counts(sagas_stuck=2, score=97), digest="d1",
    )  # fmt: skip
    return msgspec.structs.replace(found, **more)


def asking(asked: list[Question], body: Any) -> Callable[[Question], Any]:
    def answer(question: Question) -> Any:
        asked.append(question)
        return [Told(4321, THEN, Progress(1, 2, "half")), Told(4321, THEN, body)]

    return answer


def test_what_if_says_what_differs_and_how_far_it_holds(cli, fleet_of) -> None:
    asked: list[Question] = []
    folder = fleet_of(asking(asked, otherwise()))
    shown = cli("replay", "what-if", "--set", "sagas.stuck_after=60s", "--from", "100", "--to", "4,321", "-n", "3",
                "--data-dir", folder)  # fmt: skip
    assert shown.code == 0
    assert asked == [AskWhatIf({"sagas.stuck_after": "60s"}, position=100, until_position=4321, limit=3)]
    for line in (
        "what if sagas.stuck_after_ms=60000",
        "▲ 3 facts would have been otherwise",
        "at the end: score 80 → 97, sagas stuck 5 → 2",
        "threshold_ns 2",
        "new ◇",
        "sagas saga s-1.severity: bad → ok",
        "OfferEpoch p01 epoch 2 would not have been asked for",
        "1 of the differences (◇) stand after it",
        "OfferAnswered answers OfferEpoch p01 epoch 2",
    ):
        assert line in shown.out, line
    assert "LeaderElected" not in shown.out.split("at the end")[0], "what is the same is not listed"
    assert "\x1b" not in shown.out


def test_what_if_without_a_difference(cli, fleet_of) -> None:
    body = otherwise(
        kinds=[KindChange("SagaStuck", 0, 0, 0, 0, 7)], facts=[], horizon=None, unasked=None, tables=[], changes=[],
        same=True, now=counts(sagas_stuck=5, score=80), older=9,
    )  # fmt: skip
    shown = cli("replay", "what-if", "--set", "sagas.stuck_after=60s", "--data-dir", fleet_of(asking([], body)))
    assert shown.code == 0
    assert "● no fact would have been otherwise; 7 would have been said as they were" in shown.out
    assert "● no horizon" in shown.out and "● the state at the end would be the same" in shown.out
    assert "9 entries of older fold versions were taken as recorded" in shown.out


@pytest.mark.parametrize("format", ["json", "ndjson", "csv"])
def test_what_if_as_data(cli, fleet_of, format: str) -> None:
    folder = fleet_of(asking([], otherwise()))
    result = cli("replay", "what-if", "--set", "sagas.stuck_after=60s", "-o", format, "--data-dir", folder)
    assert result.code == 0
    if format == "json":
        found = json.loads(result.out)
        assert (found["position"], found["same"], found["horizon"]["position"], len(found["facts"])) == (
            4321, False, 20, 3,
        )  # fmt: skip
    else:
        assert len(result.out.strip().splitlines()) == (3 if format == "ndjson" else 4)


@pytest.mark.parametrize("name", ["replay what-if", "replay diff"])
def test_json_keeps_its_shape(cli, fleet_of, name: str, rewrite: bool) -> None:
    change = StateChange("sagas", "saga", "s-1", "changed", "severity", "bad", "ok")
    diff = Diff(10, THEN, 20, THEN, False, [TableChange("sagas", "saga", 1, 0, 3)], [change], counts(), counts())
    body, words = (otherwise(), ["--set", "a=1"]) if name == "replay what-if" else (diff, ["10", "20"])
    result = cli(*name.split(), *words, "-o", "json", "--data-dir", fleet_of(asking([], body)))
    found = shape(json.loads(result.out))
    pinned = json.loads(SHAPES.read_text())
    if rewrite:
        pinned[name] = found
        SHAPES.write_text(json.dumps(pinned, indent=1) + "\n")
    assert found == pinned[name]


def test_a_refusal_lists_the_settings(cli, fleet_of) -> None:
    refusal = Refusal("usage", "there is no setting 'x.y'", "Settings: sagas.stuck_after=60s (how long).")
    result = cli("replay", "what-if", "--set", "x.y=1", "--data-dir", fleet_of(asking([], refusal)))
    assert (result.code, result.out) == (2, "")
    assert "no setting 'x.y'" in result.err and "Settings: sagas.stuck_after=60s" in result.err


def test_rules_come_from_a_file_and_flags_win(cli, fleet_of, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[sagas]\nstuck_after_ms = 5000\nend_types = ["order.*.done", "order.failed"]\n')
    asked: list[Question] = []
    folder = fleet_of(asking(asked, otherwise()))
    cli("replay", "what-if", "--rules", rules, "--data-dir", folder)
    cli("replay", "what-if", "--rules", rules, "--set", "sagas.stuck_after=1m", "--since", "-1h", "--data-dir", folder)
    first, second = asked
    assert isinstance(first, AskWhatIf) and isinstance(second, AskWhatIf)
    ends = {"sagas.end_types": "order.*.done,order.failed"}
    assert first.settings == {"sagas.stuck_after_ms": "5000"} | ends
    assert second.settings == {"sagas.stuck_after": "1m"} | ends
    assert (second.position, second.until_position, second.until_instant) == (None, None, None)
    assert second.instant is not None and second.instant > THEN


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sagas = [", "not TOML"),
        ("[sagas]\nstuck_after = 1.5", "sagas.stuck_after must be a text"),
        ("[sagas]\nend_types = [1]", "sagas.end_types must be a text"),
        ("x = true", "x must be a text"),
        ("#" * (RULES_FILE_BYTES_MAX + 1), "larger than"),
    ],
)
def test_a_rules_file_that_is_wrong_is_named(cli, tmp_path: Path, text: str, said: str) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(text)
    result = cli("replay", "what-if", "--rules", rules)
    assert result.code == 2
    assert said in result.err and "rules.toml" in result.err


@pytest.mark.parametrize("words", [("100", "-5m"), ("-5m", "100"), ("-5m", "-1m"), ("2026-03-01T12:00:00Z", "now")])
def test_diff_takes_its_moments_in_their_order(cli, fleet_of, words: tuple[str, str]) -> None:
    asked: list[Question] = []
    body = Diff(10, THEN, 20, THEN + SECOND, False, [TableChange("sagas", "saga", 1, 0, 3)],
                [StateChange("sagas", "saga", "s\0 1", "added", now="Saga()")], counts(), counts())  # fmt: skip
    result = cli("replay", "diff", *words, "--data-dir", fleet_of(asking(asked, body)))
    assert result.code == 0
    (question,) = asked
    assert isinstance(question, AskDiff)
    told = ((question.position_a, question.instant_a), (question.position_b, question.instant_b))
    for word, (position, instant) in zip(words, told, strict=True):
        assert (position == 100) == (word == "100")
        assert (instant is None) == (word == "100")
    assert "sagas saga: 1 added, 3 changed" in result.out
    assert "1 of 4 keys shown; --limit shows more" in result.out


def test_diff_says_that_a_position_is_within_a_step(cli, fleet_of) -> None:
    body = Diff(9, THEN, 12, THEN, True, [], [], counts(), counts())
    said = cli("replay", "diff", "10", "12", "--data-dir", fleet_of(asking([], body))).out
    assert "10 is within a step: this is as of the end of the one before" in said and "12 is within" not in said


def test_diff_of_the_same(cli, fleet_of) -> None:
    body = Diff(10, THEN, 10, THEN, True, [], [], counts(), counts())
    result = cli("replay", "diff", "10", "10", "--data-dir", fleet_of(asking([], body)))
    assert result.code == 0 and "● no difference" in result.out
