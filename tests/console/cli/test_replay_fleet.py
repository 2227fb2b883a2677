"""`replay run` with real brokers: to a file, a prefix, a shadow fleet, live types; stopped and gone on."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.console.cli.test_fleet import ROOT, asked, exported, gone, line, log_of, pids_of, signalbox, signalbox_said
from tests.console.cli.test_terminal import Terminal

pytestmark = pytest.mark.fleet
COUNT = 300
"""Events that are imported; five subjects."""
COMMAND = [sys.executable, "-c", "from console.cli import main; main()"]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two brokers, and an hour of a log that was imported; one live saga."""
    place = tmp_path_factory.mktemp("replayed")
    folder = place / "data"
    signalbox("up", "--detach", "--brokers", "2", "--data-dir", folder)
    pids = pids_of(folder)
    try:
        lines = [line("case", n, time=f"2024-01-01T00:{n // 60:02}:{n % 60:02}Z") for n in range(COUNT)]
        lines[7] = line("case", 7, expirytime="2024-01-01T00:30:00Z")
        signalbox("event", "import", log_of(place, "case", lines), "--data-dir", folder)
        for word in ("created", "paid"):
            signalbox("event", "publish", f"order.{word}", "--subject", "order-42", "--data-dir", folder)
        yield folder
    finally:
        signalbox("down", "--yes", "--data-dir", folder)
        assert gone(pids)


def by_key(events: list[dict[str, Any]], of: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for event in events:
        found.setdefault(event["subject"], []).append(event[of])
    return found


def sagas(folder: Path) -> dict[str, dict[str, Any]]:
    """Every saga, without what goes on while nothing happens."""
    rows = asked(folder, "saga", "list", "-n", "10000")["rows"]
    ticking = ("waiting_ns", "ratio", "typical_ns", "p95_ns", "why", "severity")
    return {row["saga"]: {name: value for name, value in row.items() if name not in ticking} for row in rows}


def test_under_a_prefix_no_saga_moves_and_twice_is_once(fleet: Path, tmp_path: Path) -> None:
    originals = [event for event in exported(fleet, tmp_path) if "replayrun" not in event]
    before = sagas(fleet)
    said = asked(fleet, "replay", "run", "--prefix", "twice", "--name", "t1", "--yes")
    assert (said["published"], said["duplicates"], said["ended"]) == (COUNT + 1, 0, "done")
    assert said["left_out"]["expired"] == 1
    copies = exported(fleet, tmp_path, "--type", "twice.>")
    kept = [event for event in originals if event["id"] != "case-7"]
    assert {subject.removeprefix("twice."): ids for subject, ids in by_key(copies, "replayof").items()} == by_key(
        kept, "id"
    ), "each once, in the order of its key"
    by_id = {event["id"]: event for event in kept}
    for copy in copies:
        original = by_id[copy["replayof"]]
        assert copy["type"] == "twice." + original["type"] and copy.get("data") == original.get("data")
        assert copy["time"] == original["time"] and copy["replayrun"] == "t1"
        assert copy["importof"] == ("twice/case" if "importof" in original else "twice")
    after = sagas(fleet)
    assert {saga: row for saga, row in after.items() if not saga.startswith("twice.")} == before
    assert {saga for saga in after if saga.startswith("twice.")} == {f"twice.{saga}" for saga in before}
    again = asked(fleet, "replay", "run", "--prefix", "twice", "--name", "t1", "--yes")
    assert (again["published"], again["duplicates"], again["ended"]) == (0, COUNT + 1, "done")
    assert exported(fleet, tmp_path, "--type", "twice.>") == copies
    assert asked(fleet, "replay", "verify")["same"]


def test_a_file_has_the_slice(fleet: Path, tmp_path: Path) -> None:
    out = tmp_path / "replayed.jsonl"
    said = asked(fleet, "replay", "run", "--saga", "order-42", "--out", out, "--from", "-1h")
    assert said["types"] == {"order.created": 1, "order.paid": 1}
    assert [json.loads(text)["type"] for text in out.read_text().splitlines()] == ["order.created", "order.paid"]


def test_a_shadow_fleet_is_another_one_and_stays(fleet: Path, tmp_path: Path) -> None:
    shadow = tmp_path / "shadow"
    words = ("replay", "run", "--shadow", shadow, "--brokers", "1", "--name", "s1", "--yes")
    before = asked(fleet, "status")
    said = asked(fleet, *words)
    pids = pids_of(shadow)
    try:
        assert (said["published"], said["ended"]) == (COUNT + 1, "done")
        assert not pids & pids_of(fleet) and len(pids) == 2
        there = exported(shadow, tmp_path)
        assert by_key(there, "replayof") == by_key(
            [event for event in exported(fleet, tmp_path) if not {"replayrun", "expirytime"} & event.keys()], "id"
        )
        logs = {row["importof"] for row in sagas(shadow).values()}
        assert logs == {"replay", "replay/case"}, (
            "judged at their own last instant: a log of the past is no alarm of today"
        )
        assert asked(fleet, "status")["counts"]["events"] == before["counts"]["events"]
        again = asked(fleet, *words)
        assert (again["published"], again["duplicates"]) == (0, COUNT + 1)
        assert pids_of(shadow) == pids, "one that runs is gone on with"
        assert "shares its directory" in signalbox_said("replay", "run", "--shadow", fleet, "--yes", "--data-dir",
                                                        fleet, code=2)  # fmt: skip
        assert "no replay made it" in signalbox_said("replay", "run", "--shadow", fleet, "--yes", "--data-dir",
                                                     shadow, code=2)  # fmt: skip
    finally:
        signalbox("down", "--yes", "--data-dir", shadow)
        assert gone(pids)


def test_live_types_are_asked_for_twice(fleet: Path, tmp_path: Path) -> None:
    words = ("replay", "run", "--type", "order.>", "--name", "l1", "--data-dir", fleet)
    count = len(exported(fleet, tmp_path))
    assert "needs a --reason" in signalbox_said(*words, "--live", "--yes", code=2)
    assert "needs --yes" in signalbox_said(*words, "--live", "--reason", "lost", code=2)
    assert "live events have their types" in signalbox_said(*words, "--prefix", "order", "--yes", code=2)
    assert "LIVE" in signalbox(*words, "--live", "--reason", "lost", "--dry-run")
    assert len(exported(fleet, tmp_path)) == count
    steps = sagas(fleet)["order-42"]["steps"]
    said = json.loads(signalbox(*words, "--live", "--reason", "lost", "--yes", "-o", "json"))
    assert said["published"] == 2
    fresh = [event for event in exported(fleet, tmp_path, "--type", "order.>") if event.get("replayrun") == "l1"]
    assert [(event["type"], event["subject"], event["replayreason"], event.get("importof")) for event in fresh] == [
        (f"order.{word}", "order-42", "lost", None) for word in ("created", "paid")
    ]
    assert sagas(fleet)["order-42"]["steps"] == steps + 2


def test_an_interrupt_says_where_and_the_rest_is_gone_on_with(fleet: Path, tmp_path: Path) -> None:
    words = ["replay", "run", "--type", "case.>", "--prefix", "slow", "--name", "i1", "--speed", "60", "--yes"]
    line = [*COMMAND, *words, "-o", "json", "--data-dir", str(fleet)]
    with subprocess.Popen(line, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        try:
            came(fleet, "slow.>", 5)
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    said = json.loads(out)
    assert (process.returncode, said["ended"], said["clock"]) == (6, "interrupted", "time")
    there = exported(fleet, tmp_path, "--type", "slow.>")
    assert 5 <= said["published"] == len(there) < COUNT - 1
    assert max(int(event["replayposition"]) for event in there) == said["reached"]
    command = shlex.split(said["go_on"].replace("--speed 60", ""))
    signalbox(*command[1:], "--yes")
    whole = exported(fleet, tmp_path, "--type", "slow.>")
    assert len(whole) == len({event["replayof"] for event in whole}) == COUNT - 1
    assert all(places == sorted(places, key=int) for places in by_key(whole, "replayposition").values())


def came(folder: Path, pattern: str, count: int) -> None:
    """Wait until so many events are there."""
    signalbox("event", "tail", pattern, "--start", "earliest", "-n", count, "--data-dir", folder)


def test_on_a_terminal_it_asks_pauses_goes_on_and_stops(fleet: Path) -> None:
    terminal = Terminal("replay", "run", "--type", "case.>", "--prefix", "keys", "--name", "k1", "--speed", "30",
                        "--data-dir", str(fleet))  # fmt: skip
    try:
        assert terminal.until(lambda said: b"Replay these 299?" in said)
        os.write(terminal.fd, b"y\n")
        assert terminal.until(lambda said: b"p pauses, q stops" in said)
        os.write(terminal.fd, b"p")
        assert terminal.until(lambda said: b"paused, p goes on" in said)
        paused = len(terminal.said)
        os.write(terminal.fd, b" ")
        assert terminal.until(lambda said: b"p pauses, q stops" in said[paused:])
        os.write(terminal.fd, b"q")
        terminal.until(lambda _said: False)
        assert terminal.code() == 6
    finally:
        os.close(terminal.fd)
    assert b"interrupted after" in terminal.said and b"to go on: signalbox replay run" in terminal.said
    assert terminal.said.count(b"signalbox replay run") == 1


def test_nothing_is_done_when_the_answer_is_no(fleet: Path, tmp_path: Path) -> None:
    words = ("replay", "run", "--type", "order.>", "--live", "--reason", "x", "--data-dir", str(fleet))
    count = len(exported(fleet, tmp_path))
    terminal = Terminal(*words)
    try:
        assert terminal.until(lambda said: b"to replay them" in said)
        os.write(terminal.fd, b"y\n")
        terminal.until(lambda _said: False)
        assert terminal.code() == 1
    finally:
        os.close(terminal.fd)
    assert b"nothing was replayed" in terminal.said
    assert len(exported(fleet, tmp_path)) == count
