"""The benches' own arithmetic and their servers' end; no peer is needed for it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.bench import bare, memory, table
from tests.bench.peers import __main__ as peers
from tests.bench.peers.peer import Apart, age, beats, server, stamp, until


def test_medians_and_ratios_are_of_the_rounds() -> None:
    found: peers.Found = {
        ("publish 128 B", "rate"): {
            "signalbox": [300.0, 100.0, 200.0],
            "nats r3": [50.0, 40.0],
            "redis, aof always": [80],
        },
        ("request, reply", "p50"): {"signalbox": [150.0], "nats r3": [300.0], "redis, aof always": [200.0]},
    }
    rows = peers.table(found)
    first = next(row for row in rows if row["peer"] == "nats r3")
    assert (first["median"], first["min"], first["max"], first["rounds"]) == (45.0, 40.0, 50.0, 2)
    assert first["signalbox_over_peer"] == pytest.approx(200 / 45)
    assert peers.best(rows) == [
        "publish 128 B, rate: 2.50 times redis, aof always",
        "request, reply, p50: 0.75 times redis, aof always",
    ]


def test_without_signalbox_there_is_no_ratio() -> None:
    rows = peers.table({("publish 128 B", "rate"): {"nats r3": [50.0]}})
    assert [row["signalbox_over_peer"] for row in rows] == [None]
    assert peers.best(rows) == []


def test_a_target_is_reached_or_missed_and_the_worst_kill_counts() -> None:
    figures = table.Figures()
    figures.alone = {("publish 128 B", "rate"): [290_000.0, 350_000.0, 360_000.0]}
    figures.whole = {("leader SIGKILL to acked writes again", "worst"): [0.2, 1.2, 0.3]}
    publish, kill = table.rows(figures)
    assert (publish["measured"], publish["target"]) == (350_000.0, "≥ 300,000: reached, ≥ 400,000: MISSED")
    assert (kill["measured"], kill["target"]) == (1.2, "≤ 1: MISSED")


def test_a_row_is_held_against_bare_sockets_where_they_can_do_the_same() -> None:
    figures = table.Figures()
    figures.alone = {("publish 128 B", "rate"): [100.0, 300.0], ("await publish, 256 tasks", "rate"): [50.0]}
    figures.bare = {("publish 128 B", "rate"): [300.0, 400.0, 900.0]} | table.round_trips(sorted(range(1, 101)))
    publish, single = table.rows(figures)
    assert (publish["bare"], publish["over_bare"]) == (400.0, 0.5)
    assert (single["bare"], single["over_bare"]) == (None, None)
    assert table.floors(figures.bare) == [
        "publish 128 B, rate 400 events/s [300 - 900]",
        "request, reply, p50 51.00 µs",
        "request, reply, p99 100.00 µs",
    ]


@pytest.mark.fleet
def test_bare_sockets_have_the_figures_that_the_table_names_and_leave_no_process() -> None:
    before = psutil.Process().children()
    found = bare.floor(rounds=1, seconds=0.02)
    assert psutil.Process().children() == before
    assert {target[:2] for target in table.TARGETS} > set(found)
    assert len(found) == 5
    assert all(value > 0 for values in found.values() for value in values)


@pytest.mark.fleet
def test_the_bare_chain_acks_what_two_of_three_have_and_the_consumer_has_it_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bare.Chain(tmp_path, consumed=True) as chain:
        chain.processes["f1"].send_signal(signal.SIGSTOP)
        for _ in range(2 * bare.WINDOW):
            chain.publish(bare.made(7, 128, 0))
        chain.settle()
        assert chain.consumed().count == 2 * bare.WINDOW * 7
        held = {name: any((tmp_path / name).read_bytes()) for name in ("leader", "f1", "f2")}
        assert held == {"leader": True, "f1": False, "f2": True}
        chain.processes["f2"].send_signal(signal.SIGSTOP)
        monkeypatch.setattr("tests.bench.bare.STALL_MS", 300)
        chain.publish(bare.made(7, 128, 0))
        with pytest.raises(TimeoutError, match="33 of 34 batches"):
            chain.settle()


def test_memory_that_grows_is_seen_and_warming_up_is_not() -> None:
    assert memory.quarters([1.0] * 10 + [50.0] * 30) == 1.0
    assert memory.quarters([float(at) for at in range(100)]) > memory.GROWTH_MAX
    assert 1 < memory.anonymous(os.getpid()) < 10_000


def test_paced_load_is_due_at_its_rate() -> None:
    due = [(instant, count) for instant, count in beats(2_000, 100)]
    assert sum(count for _, count in due) == 100
    assert due[-1][0] - due[0][0] == pytest.approx(49e6, abs=1)
    assert 0 <= age(stamp(due[0][0]) + b"rest") < 60e9


def test_a_server_ends_with_its_turn_also_if_it_does_not_want_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.bench.peers.peer.ENDING_S", 0.5)
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    )
    log = tmp_path / "log"
    with server([sys.executable, "-c", stubborn], log) as process:
        until("it is up", lambda: "up" in log.read_text(), log)
    assert process.poll() is not None


def test_a_server_that_does_not_come_up_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.bench.peers.peer.STARTING_S", 0.3)
    log = tmp_path / "log"
    log.write_text("no such option")
    with pytest.raises(TimeoutError, match="no such option"):
        until("it answers", lambda: Path(tmp_path / "nowhere").read_text(), log)


def _double(ready, out, number: int) -> None:  # type: ignore[no-untyped-def]
    ready.set()
    out.put(2 * number)


def test_the_other_process_gives_its_result() -> None:
    with Apart(_double, 21) as far:
        assert far.result() == 42


def test_what_is_not_installed_is_said_and_is_no_success(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "tests.bench.peers", "--rounds", "1", "--peer", "redis"]
    environment = os.environ | {"PATH": str(tmp_path)}
    ended = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "apt-get install redis-server" in ended.stdout
