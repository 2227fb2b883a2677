"""`bench` without a fleet, then on real ones: its figures, its traces in the log, its end when it is interrupted."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bus
from console.bench import runner
from console.bench.failover import Ledger
from tests.console.cli.test_commands import SHAPES, shape
from tests.console.cli.test_fleet import ROOT, asked, gone, pids_of, signalbox
from tests.console.cli.test_terminal import Terminal

SMALL = ["--events", "1000", "--runs", "2", "--calls", "32", "--seconds", "0.5", "--rate", "400", "--tasks", "8"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "bench needs --yes"),
        (["publish", "--yes"], 3, "no fleet here"),
        (["--dry-run"], 3, "no fleet in"),
        (["nosuch"], 2, "There are: publish"),
        (["--acks", "some"], 2, "quorum, leader, none"),
        (["--size", "31"], 2, "--size"),
        (["failover", "--brokers", "2"], 2, "needs 3 at least"),
        (["--own", "--data-dir", "x"], 2, "take one"),
    ],
)
def test_wrong_lines_and_no_fleet(cli, arguments: list[str], code: int, said: str) -> None:
    result = cli("bench", *arguments)
    assert (result.code, result.out) == (code, "")
    assert said in result.err


def test_a_dry_run_says_what_it_would_leave_and_asks_for_nothing(cli, trouble: Path) -> None:
    result = cli("bench", "publish", "failover", "--dry-run", "-o", "json", "--data-dir", trouble)
    told = json.loads(result.out)
    assert (result.code, result.err) == (0, "")
    assert told["left"]["events"] == 3 * 110_000 + 2_000
    assert (told["own"], told["benches"]) == (False, ["publish", "failover"])
    said = cli("bench", "failover", "--dry-run").out
    assert "of its own" in said and "kills brokers 20 times" in said


@pytest.mark.parametrize(("lost", "doubled", "code"), [(0, 0, 0), (1, 0, 1), (0, 2, 1)])
def test_a_ledger_that_does_not_balance_is_a_failure(cli, monkeypatch, lost: int, doubled: int, code: int) -> None:
    class Done:
        ledger = Ledger(10, 10 - lost + doubled, 0, lost, doubled)

    def measure(work: runner.Run, home: object, usual: tuple[str, ...]) -> None:
        work.failover = Done()  # type: ignore[assignment]

    monkeypatch.setattr(runner, "_measure", measure)
    result = cli("bench", "failover")
    assert result.code == code
    assert f"{lost} lost" in result.out
    assert ("acked events lost: " in result.err) == bool(code)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("fleet") / "data"
    signalbox("up", "--detach", "--data-dir", folder)
    pids = pids_of(folder)
    try:
        yield folder
    finally:
        signalbox("down", "--yes", "--data-dir", folder)
        assert gone(pids)


async def counted(folder: Path, pattern: str) -> int:
    async with bus.connect(data_dir=folder) as fleet:
        return len([event async for event in fleet.read(pattern)])


@pytest.mark.fleet
def test_a_running_fleet_is_measured_and_left_with_what_was_said(fleet: Path, rewrite: bool) -> None:
    found = asked(fleet, "bench", *SMALL, "--yes")
    assert [row["bench"] for row in found["rows"]] == ["publish", "publish", "consume", "latency", "calls", "calls"]
    assert [row["count"] for row in found["rows"]] == [2_000, 200, 2_000, 200, 64, 64]
    assert not any(row["partial"] or row["failed"] for row in found["rows"])
    for row in found["rows"]:
        assert row["rate_min"] <= row["rate"] <= row["rate_max"]
        if row["p50_ns"] is not None:
            assert 0 < row["p50_ns"] <= row["p90_ns"] <= row["p99_ns"] <= row["p999_ns"] <= row["max_ns"]
    assert (found["brokers"], found["replicas"], found["quorum"], found["own"]) == (3, 3, 2, False)
    left = found["left"]
    traces = left["by_bench"]["calls"]
    assert asyncio.run(counted(fleet, left["types"])) == left["events"] - traces
    signalbox("event", "export", "--internal", "--data-dir", fleet)  # waits for the archive
    assert asked(fleet, "status")["counts"]["events"] >= left["events"] - traces
    assert asyncio.run(counted(fleet, "agent.call.>")) == traces
    assert asked(fleet, "saga", "list")["rows"] == [], "nothing that it leaves is about something"
    pinned = json.loads(SHAPES.read_text())
    if rewrite:
        pinned["bench"] = shape(found)
        SHAPES.write_text(json.dumps(pinned, indent=1) + "\n")
    assert shape(found) == pinned["bench"]


@pytest.mark.fleet
@pytest.mark.parametrize(("format", "lines"), [("table", 7), ("ndjson", 2), ("csv", 3)])
def test_every_format(fleet: Path, format: str, lines: int) -> None:
    said = signalbox("bench", "calls", *SMALL, "--yes", "-o", format, "--data-dir", fleet)
    assert "\x1b" not in said
    assert len(said.splitlines()) >= lines - 1
    if format == "ndjson":
        assert [json.loads(line)["bench"] for line in said.splitlines()] == ["calls", "calls"]


@pytest.mark.fleet
def test_a_fleet_whose_plane_is_named_by_address_is_measured_too(fleet: Path) -> None:
    url = asked(fleet, "status")["brokers"][0]["url"]
    line = [
        sys.executable,
        "-c",
        "from console.cli import main; main()",
        "bench",
        "publish",
        *SMALL,
        "--yes",
        "-o",
        "json",
    ]
    environment = os.environ | {"SIGNALBOX_URL": url}
    ended = subprocess.run(line, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert ended.returncode == 0, ended.stderr.decode()
    assert json.loads(ended.stdout)["fleet"] == url


@pytest.mark.fleet
@pytest.mark.parametrize("bench", ["latency", "consume"])
def test_interrupted_it_says_what_it_has_and_leaves_nothing_running(fleet: Path, bench: str) -> None:
    line = [sys.executable, "-c", "from console.cli import main; main()", "bench", bench, "--yes", "--runs", "1000"]
    line += ["--seconds", "600", "--events", "2000", "-o", "json", "--data-dir", str(fleet)]
    process = subprocess.Popen(line, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        assert process.stderr.readline(), "no progress was said"
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 6, errors.decode()
    told: dict[str, Any] = json.loads(out)
    assert told["interrupted"] and told["rows"][0]["partial"] and told["rows"][0]["count"] > 0
    assert b"stopped" in errors and b"Traceback" not in errors


@pytest.mark.fleet
def test_failover_kills_its_own_fleet_and_loses_nothing(tmp_path: Path, long: bool) -> None:
    kills = 20 if long else 2
    told = json.loads(signalbox("bench", "failover", "--kills", kills, "-o", "json"))
    assert told["own"] and told["left"] == {}
    assert (told["ledger"]["lost"], told["ledger"]["doubled"]) == (0, 0)
    assert told["ledger"]["acked"] > 0 and told["rows"][0]["count"] == kills
    assert told["rows"][0]["max_ns"] > 0


@pytest.mark.fleet
def test_on_a_terminal_it_asks_and_no_means_that_nothing_is_left(fleet: Path) -> None:
    terminal = Terminal("bench", "publish", *SMALL, "--data-dir", str(fleet))
    assert terminal.until(lambda said: b"Measure? [y/N]" in said), terminal.said
    assert b"4,200 events of types bench.>" in terminal.said
    os.write(terminal.fd, b"n\r")
    terminal.until(lambda said: False)
    assert terminal.code() == 1
    assert b"nothing was done" in terminal.said


@pytest.mark.fleet
def test_on_a_terminal_a_bar_shows_how_far_it_is_and_ctrl_c_ends_it_with_figures(fleet: Path) -> None:
    terminal = Terminal("bench", "latency", "--seconds", "600", "--rate", "200", "--yes", "--data-dir", str(fleet))
    assert terminal.until(lambda said: b"of 120,000" in said), terminal.said
    os.write(terminal.fd, b"\x03")
    terminal.until(lambda said: False)
    assert terminal.code() == 6
    assert b"(stopped)" in terminal.said and b"Traceback" not in terminal.said
