"""Commands against frozen answers: what they ask, how they end, and the pinned shape of their JSON."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from console.failures import BY_REFUSAL
from controlplane.questions import (
    SCHEMA,
    AskEvents,
    AskExport,
    AskSagas,
    AskVerify,
    Counts,
    Exported,
    Health,
    Need,
    Past,
    PlaneStatus,
    Progress,
    Question,
    Redrive,
    Redriven,
    Refusal,
    Status,
    Told,
    Verified,
)
from tests.console import frozen
from tests.console.cli.conftest import telling

SHAPES = Path(__file__).parent / "shapes.json"
READING = {
    "status": ["status"],
    "flow list": ["flow", "list"],
    "group list": ["group", "list"],
    "group show": ["group", "show", "coder"],
    "saga list": ["saga", "list"],
    "saga show": ["saga", "show", "report-4711"],
    "dlq list": ["dlq", "list"],
    "dlq show": ["dlq", "show", "g-07"],
    "agent list": ["agent", "list"],
    "agent show": ["agent", "show", "coder-3"],
    "health show": ["health", "show"],
    "event search": ["event", "search", "--type", "task.>"],
}


def shape(value: Any) -> Any:
    """A JSON value with its leaves replaced by their kinds; a list by the shape of its first entry."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "null" if value is None else type(value).__name__


@pytest.mark.parametrize("name", READING)
def test_json_keeps_its_shape(cli, trouble: Path, name: str, rewrite: bool) -> None:
    result = cli(*READING[name], "-o", "json", "--data-dir", trouble)
    assert (result.code, result.err) == (0, "")
    found = json.loads(result.out)
    assert found["schema"] == SCHEMA
    pinned = json.loads(SHAPES.read_text()) if SHAPES.exists() else {}
    if rewrite:
        pinned[name] = shape(found)
        SHAPES.write_text(json.dumps(pinned, indent=1) + "\n")
    assert shape(found) == pinned[name]


@pytest.mark.parametrize("name", READING)
@pytest.mark.parametrize("format", ["table", "ndjson", "csv"])
def test_every_format_of_every_list(cli, trouble: Path, name: str, format: str) -> None:
    result = cli(*READING[name], "-o", format, "--data-dir", trouble)
    assert (result.code, result.err) == (0, "")
    assert "\x1b" not in result.out and result.out.endswith("\n")
    if format == "ndjson":
        assert all(json.loads(line)["schema"] == SCHEMA for line in result.out.splitlines())


@pytest.mark.parametrize("name", [name for name in READING if "show" not in name or name == "health show"])
def test_an_empty_fleet_is_no_failure(cli, empty: Path, name: str) -> None:
    result = cli(*READING[name], "--data-dir", empty)
    assert (result.code, result.err) == (0, "")
    assert result.out.strip()


@pytest.mark.parametrize("name", ["flow list", "group list", "saga list", "dlq list", "agent list"])
@pytest.mark.parametrize("format", ["ndjson", "csv"])
def test_an_empty_list_has_no_lines_for_a_script_to_count(cli, empty: Path, name: str, format: str) -> None:
    result = cli(*READING[name], "-o", format, "--data-dir", empty)
    assert (result.code, result.out, result.err) == (0, "", "")


@pytest.mark.parametrize(
    ("line", "known"),
    [
        (["event", "list"], "There are: publish, import, export, tail, search, show."),
        (["saga", "lst"], "Did you mean 'list'? There are: list, show."),
        (["evnt"], "Did you mean 'event'"),
    ],
)
def test_a_command_that_does_not_exist_names_those_that_do(cli, line: list[str], known: str) -> None:
    result = cli(*line)
    assert result.code == 2 and f"No such command '{line[-1]}'." in result.err and known in result.err


def test_status_has_what_others_rely_on(cli, trouble: Path) -> None:
    found = json.loads(cli("status", "-o", "json", "--data-dir", trouble).out)
    assert {"pid", "state", "position"} <= set(found["controlplane"])
    assert found["brokers"] and all({"id", "pid", "state", "leads"} <= set(broker) for broker in found["brokers"])


def test_the_data_directory_may_be_named_anywhere(cli, trouble: Path, monkeypatch) -> None:
    assert cli("--data-dir", trouble, "status").code == 0
    monkeypatch.setenv("SIGNALBOX_DATA_DIR", str(trouble))
    assert cli("status").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["status"], 3, "no fleet in"),
        (["health", "check"], 3, "no fleet in"),
        (["event", "publish", "a.b"], 3, "no fleet here"),
        (["down"], 3, "is not running"),
        (["nosuch"], 2, "No such command"),
        (["status", "-o", "xml"], 2, "table, json, ndjson, csv"),
        (["saga", "list", "--state", "odd"], 2, "one of open"),
        (["event", "publish"], 2, "name the TYPE"),
        (["event", "publish", "a..b"], 3, "no fleet here"),
        (["event", "publish", "a.b", "--data", "{"], 2, "--data is not JSON"),
        (["event", "publish", "a.b", "--ext", "x"], 2, "NAME=VALUE"),
        (["event", "publish", "a.b", "--expires", "5"], 2, "--expires '5' is not a duration"),
        (["event", "publish", "a.b", "--requires", " "], 2, "--requires names no capability"),
        (["event", "publish", "--json", "-", "--requires", "read"], 2, "says its own `requires`"),
        (
            ["event", "publish", "--json", "-", "--source", "s", "--id", "x", "--ext", "a=1", "--expires", "1h"],
            2,
            "--source, --id, --expires, --ext go with a TYPE: the object of --json says its own "
            "`source`, `id`, `expirytime`, `a`",
        ),
        (
            ["event", "publish", "a.b", "--requires", "", "--ext", "x", "--ext", "y", "--expires", "5", "--data", "{"],
            2,
            "--requires names no capability; --expires '5' is not a duration: write 30s, 1.5h or 1h30m; units are "
            "ms, s, m, h and d; --ext x: write NAME=VALUE; --ext y: write NAME=VALUE; --data is not JSON",
        ),
        (["event", "search", "--type", "a..b"], 2, "not a pattern"),
        (["event", "export", "--type", "a..b"], 2, "not a pattern"),
        (["event", "search", "--since", "yesterday"], 2, "no moment: write now, 14:03"),
        (["event", "search", "--until", "1.5"], 2, "--until '1.5' is no moment: write now, 14:03"),
        (["event", "tail", "--start", "yesterday"], 2, "--start 'yesterday' is no moment: write now, 14:03"),
        (["event", "import", "nowhere.jsonl"], 3, "no fleet here"),
        (["dlq", "redrive", "g-01"], 2, "needs --yes"),
        (["health", "check", "--nosuch"], 3, "No such option"),
        (["up", "--headless", "--detach"], 2, "take one"),
        (["up", "--take-over"], 2, "--reason"),
        (["console"], 3, "no fleet in"),
        (["demo", "--speed", "fast"], 2, "a number such as 20"),
        (["demo", "--log", "nowhere.jsonl"], 4, "there is no file"),
        (["replay", "at", "soon"], 2, "no moment: write now, 14:03"),
        (["replay", "diff", "1"], 2, "Missing argument"),
        (["replay", "diff", "1", "soon"], 2, "no moment: write now, 14:03"),
        (["replay", "what-if"], 2, "--set sagas.stuck_after=60s"),
        (["replay", "what-if", "--set", "sagas.stuck_after"], 2, "no NAME=VALUE"),
        (["replay", "what-if", "--set", "a=1", "--set", "a=2"], 2, "set twice"),
        (["replay", "what-if", "--rules", "nowhere.toml"], 2, "cannot be read"),
        (["replay", "what-if", "--set", "a=1", "--from", "soon"], 2, "no moment: write now, 14:03"),
        (["replay", "what-if", "--set", "a=1"], 3, "no fleet in"),
    ],
)
def test_exit_codes_without_a_fleet(cli, arguments: list[str], code: int, said: str) -> None:
    result = cli(*arguments)
    assert (result.code, result.out) == (code, "")
    assert said in result.err


@pytest.mark.parametrize(
    ("words", "usage"),
    [
        (["agent", "quarantine"], "signalbox agent quarantine [OPTIONS] AGENT…"),
        (["replay", "at"], "signalbox replay at [OPTIONS] TIME|POSITION"),
        (["event", "publish", "-h"], "signalbox event publish [OPTIONS] [TYPE]"),
    ],
)
def test_a_usage_line_names_arguments_as_manuals_do(cli, words: list[str], usage: str) -> None:
    result = cli(*words)
    assert (result.out + result.err).splitlines()[0] == f"Usage: {usage}"


@pytest.mark.parametrize("refused", ["not_found", "usage", "unavailable", "denied", "changed", "failed", "of_tomorrow"])
def test_refusals_become_exit_codes(cli, fleet_of, refused: str) -> None:
    folder = fleet_of(telling(Refusal(refused, "because", "do that")))
    result = cli("saga", "show", "x", "--data-dir", folder)
    assert result.code == (BY_REFUSAL[refused].code if refused in BY_REFUSAL else 1)
    assert result.err == "signalbox: because\n  do that\n"
    assert cli("health", "check", "--data-dir", folder).code == 3


def test_another_answer_than_was_asked_for_is_a_failure(cli, fleet_of) -> None:
    folder = fleet_of(telling(Redriven([], [], True, 0)))
    result = cli("status", "--data-dir", folder)
    assert (result.code, result.out) == (1, "")


@pytest.mark.parametrize(("state", "code"), [("OK", 0), ("WARNING", 1), ("CRITICAL", 2), ("UNKNOWN", 3)])
def test_health_check_speaks_as_monitors_do(cli, fleet_of, state: Any, code: int) -> None:
    need = Need("warn", "b5 is down", "out of memory", 5, "broker list", 9)
    score = None if state == "UNKNOWN" else 61
    folder = fleet_of(telling(Health(score, state, None, [], [need, need] if code else [])))
    result = cli("health", "check", "--data-dir", folder)
    assert result.code == code
    assert result.out.startswith(state) and result.out.count("\n") == 1
    assert ("b5 is down and 1 more" in result.out) == bool(code)


class Redriving:
    """Two dead letters wait; what is ordered is kept."""

    def __init__(self) -> None:
        self.orders: list[Redrive] = []

    def __call__(self, question: Question) -> Told:
        assert isinstance(question, Redrive)
        if not question.dry_run:
            self.orders.append(question)
        return Told(7, 8, Redriven(["d-1", "d-2"], ["coder"], question.dry_run, 0 if question.dry_run else 9))


def test_redrive_touches_exactly_the_set_it_showed(cli, fleet_of) -> None:
    plane = Redriving()
    folder = fleet_of(plane)
    dry = cli("dlq", "redrive", "g-07", "--dry-run", "--data-dir", folder)
    assert (dry.code, plane.orders) == (0, [])
    assert "would redrive 2 for coder" in dry.out and "d-1" in dry.out
    wet = cli("dlq", "redrive", "g-07", "--yes", "--reason", "mended", "--data-dir", folder, "-o", "json")
    assert (wet.code, len(plane.orders)) == (0, 1)
    assert (plane.orders[0].expected, plane.orders[0].reason) == (["d-1", "d-2"], "mended")
    assert json.loads(wet.out)["ids"] == ["d-1", "d-2"]


def test_without_a_terminal_nothing_is_asked(cli, fleet_of) -> None:
    plane = Redriving()
    result = cli("dlq", "redrive", "g-07", "--data-dir", fleet_of(plane))
    assert (result.code, result.out, plane.orders) == (2, "", [])


def test_export_asks_page_by_page_up_to_one_moment(cli, fleet_of, tmp_path: Path) -> None:
    asked: list[AskExport] = []

    def answer(question: Question) -> Told:
        assert isinstance(question, AskExport)
        asked.append(question)
        last = len(asked) == 3
        return Told(9, 9, Exported([f'{{"n":{len(asked)}}}'], after=len(asked), up_to=30, total=3, done=last))

    folder = fleet_of(answer)
    result = cli("event", "export", "--out", tmp_path / "out.jsonl", "--internal", "--data-dir", folder)
    assert result.code == 0
    assert (tmp_path / "out.jsonl").read_text() == '{"n":1}\n{"n":2}\n{"n":3}\n'
    assert [(page.after, page.up_to, page.internal) for page in asked] == [
        (0, None, True),
        (1, 30, True),
        (2, 30, True),
    ]
    assert list(tmp_path.glob(".*.part")) == []
    asked.clear()
    result = cli("event", "export", "--data-dir", folder)
    assert (result.out, result.err) == ('{"n":1}\n{"n":2}\n{"n":3}\n', "exported 3 events\n")


def test_an_export_goes_into_a_pipe_and_does_not_replace_it(cli, fleet_of, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()), daemon=True)
    reader.start()
    folder = fleet_of(telling(Exported(["one", "two"], after=2, up_to=9, total=2, done=True)))
    assert cli("event", "export", "--out", pipe, "--data-dir", folder).code == 0
    assert pipe.is_fifo(), "as root it would have taken the place of a device"
    reader.join(10)
    assert found == [b"one\ntwo\n"]


def test_an_export_that_fails_leaves_no_half_file(cli, fleet_of, tmp_path: Path) -> None:
    pages = iter([Exported(["{}"], 1, 2, 2, False), Refusal("failed", "disk")])
    folder = fleet_of(lambda question: Told(0, 0, next(pages)))
    out = tmp_path / "out.jsonl"
    out.write_text("old")
    assert cli("event", "export", "--out", out, "--data-dir", folder).code == 1
    assert out.read_text() == "old"
    assert list(tmp_path.glob(".*.part")) == []


def test_verify_fails_when_anything_differs(cli, fleet_of) -> None:
    same = Verified(True, 100, 50, 0.25, "d1")
    other = Verified(False, 100, 50, 0.25, "d1", divergence="at 17 in sagas")
    answers = iter([[Told(0, 0, Progress(1, 2)), Told(5, 6, same)], Told(5, 6, other)])

    def answer(question: Question) -> Any:
        assert isinstance(question, AskVerify)
        return next(answers)

    folder = fleet_of(answer)
    good = cli("replay", "verify", "--data-dir", folder)
    assert good.code == 0 and "the same, byte for byte" in good.out
    bad = cli("replay", "verify", "--data-dir", folder)
    assert bad.code == 1 and "at 17 in sagas" in bad.err


@pytest.mark.parametrize("text", ["120431", "@120,431", "2026-03-01T12:00:00Z", "now", "-5m", "-1h"])
def test_replay_at_takes_positions_and_instants(cli, fleet_of, text: str) -> None:
    asked = []
    board = frozen.calm().ask(frozen.AskBoard()).body

    def answer(question: Question) -> Told:
        asked.append(question)
        return Told(5, 6, Past(5, 6, "d", board.status.counts, [], []))

    result = cli("replay", "at", text, "--data-dir", fleet_of(answer))
    assert result.code == 0
    assert asked[0].position == (120431 if "431" in text else None)
    assert (asked[0].instant is None) == ("431" in text)


def test_options_reach_the_question(cli, responder, fleet_of) -> None:
    asked: list[Question] = []

    def answer(question: Question) -> Told:
        asked.append(question)
        return Told(0, 0, Refusal("failed", "enough"))

    folder = fleet_of(answer)
    cli("saga", "list", "--stuck", "--match", "wwa", "-n", "3", "--data-dir", folder)
    cli("event", "search", "text", "--subject", "s", "--since", "-5m", "--internal", "--data-dir", folder)
    assert asked[0] == AskSagas(state="stuck", match="wwa", limit=3)
    found = asked[1]
    assert isinstance(found, AskEvents)
    assert (found.text, found.subject, found.internal, found.until) == ("text", "s", True, None)
    assert found.since is not None


def test_a_group_is_shown_with_what_it_agreed_on_and_its_members(cli, trouble: Path) -> None:
    said = cli("group", "show", "coder", "--data-dir", trouble).out
    assert "strict, a key goes on after a dead letter" in said and "the earliest event" in said
    assert "30s, delivered again; 5 attempts at most" in said
    assert next(line for line in said.splitlines() if line.startswith("p07")).endswith("coder/1 3  and 1 more")


def test_down_without_a_plane_ends_nothing_it_does_not_know(cli, tmp_path: Path) -> None:
    (tmp_path / "brokers" / "b1").mkdir(parents=True)
    (tmp_path / "brokers" / "b1" / "broker.json").write_text(json.dumps({"pid": 1, "started": 5.0, "id": "b1"}))
    assert cli("down", "--data-dir", tmp_path).code == 3


def test_doctor_looks_at_the_machine_without_a_fleet(cli) -> None:
    result = cli("doctor", "-o", "json")
    found = {finding["check"]: finding for finding in json.loads(result.out)["findings"]}
    assert {"python", "packages", "directory", "disk", "fsync", "loopback", "control plane"} <= set(found)
    assert found["control plane"]["mend"] == "signalbox up"
    assert result.code == (1 if any(finding["severity"] == "bad" for finding in found.values()) else 0)


def test_version_and_help(cli) -> None:
    assert cli("--version").out.startswith("signalbox ")
    assert cli("--help").code == 0
    assert cli("event", "import", "--help").code == 0


def test_what_is_folded_again_is_said_and_is_no_number(cli, fleet_of) -> None:
    plane = PlaneStatus(7, "running", 1_000, 2, "u", "", "", 1, behind=None, why="sagas is folded again: 300 of 1,000",
                        rebuilding=["sagas"], refolded=300)  # fmt: skip
    unknown = dict.fromkeys(("sagas_open", "sagas_stuck", "sagas_stuck_bad", "sagas_finished", "sagas_failed"))
    counts = Counts(None, "UNKNOWN", 5, 0, 2, **unknown, dead_letters=1, dead_letters_new=0, agents=3, brokers_up=0,
                    brokers=0)  # fmt: skip
    status = Status(plane, [], [], counts)
    folder = fleet_of(lambda _question: Told(7, 1_700_000_000_000_000_000, status, rebuilding=True))
    table = cli("status", "--data-dir", folder)
    assert table.code == 0
    assert "▲ sagas is folded again: 300 of 1,000" in table.out
    assert "sagas – open, – stuck" in table.out
    shown = json.loads(cli("status", "-o", "json", "--data-dir", folder).out)
    assert shown["rebuilding"] is True and shown["controlplane"]["rebuilding"] == ["sagas"]
    assert shown["counts"]["sagas_open"] is None and shown["counts"]["events"] == 5
