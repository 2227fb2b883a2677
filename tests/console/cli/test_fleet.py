"""Whole commands against a whole fleet: what is imported comes back exactly, and nothing is left behind."""

import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import bus
from console.logfile import stem

pytestmark = pytest.mark.fleet
ROOT = Path(__file__).resolve().parents[3]
LOGS = ROOT.parent / "shared" / "data" / "process_logs"
SECONDS = 120


def signalbox(*arguments: object, code: int = 0, stdin: bytes | None = None) -> str:
    """Run a command as a person would; its stdout."""
    return run_as_a_person(*arguments, code=code, stdin=stdin).stdout.decode()


def signalbox_said(*arguments: object, code: int = 0) -> str:
    """Run a command as a person would; its stderr."""
    return run_as_a_person(*arguments, code=code).stderr.decode()


def run_as_a_person(
    *arguments: object, code: int = 0, stdin: bytes | None = None
) -> "subprocess.CompletedProcess[bytes]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SIGNALBOX_")}
    line = [sys.executable, "-c", "from console.cli import main; main()", *map(str, arguments)]
    ended = subprocess.run(line, capture_output=True, timeout=SECONDS, cwd=ROOT, env=environment, input=stdin or b"")
    assert ended.returncode == code, ended.stderr.decode()
    return ended


def asked(folder: Path, *arguments: object) -> Any:
    """A command's JSON."""
    return json.loads(signalbox(*arguments, "-o", "json", "--data-dir", folder))


def pids_of(folder: Path) -> set[int]:
    status = asked(folder, "status")
    return {status["controlplane"]["pid"]} | {broker["pid"] for broker in status["brokers"]}


def gone(pids: set[int]) -> bool:
    """Whether all of them have ended; waits for those that are about to."""
    processes = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    _, alive = psutil.wait_procs(processes, timeout=20)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("fleet") / "data"
    signalbox("up", "--detach", "--data-dir", folder)
    assert asked(folder, "status")["counts"]["health"] != "UNKNOWN", "ready means that its health is known"
    pids = pids_of(folder)
    try:
        yield folder
    finally:
        signalbox("down", "--yes", "--data-dir", folder)
        assert gone(pids)


def log_of(tmp_path: Path, name: str, lines: list[bytes]) -> Path:
    path = tmp_path / f"{name}.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n".join(lines)))
    return path


def line(name: str, number: int, **change: object) -> bytes:
    event = {"specversion": "1.0", "id": f"{name}-{number}", "source": "test", "type": f"{name}.said"}
    return json.dumps(event | {"subject": f"{name}-{number % 5}", "data": {"n": number, "x": 1.5}} | change).encode()


def exported(folder: Path, tmp_path: Path, *arguments: object) -> list[dict[str, Any]]:
    out = tmp_path / "out.jsonl"
    signalbox("event", "export", "--out", out, "--data-dir", folder, *arguments)
    return [json.loads(text) for text in out.read_text().splitlines()]


def test_status_of_a_fresh_fleet(fleet: Path) -> None:
    status = asked(fleet, "status")
    assert status["controlplane"]["state"] == "running"
    assert len(status["brokers"]) == 3
    assert sorted(partition for broker in status["brokers"] for partition in broker["leads"]) == list(range(12))


def test_a_good_log_comes_back_exactly(fleet: Path, tmp_path: Path) -> None:
    lines = [line("good", number, time=f"2024-01-01T00:00:{number % 60:02d}Z") for number in range(700)]
    lines[5] = line("good", 5, data=None, ext1=True, ext2=-7, datacontenttype="text/plain", deps="0=5,3=7")
    receipt = asked(fleet, "event", "import", log_of(tmp_path, "good", lines))
    assert (receipt["imported"], receipt["rejected"], receipt["rejects"]) == (700, 0, [])
    back = exported(fleet, tmp_path, "--type", "good.>")
    by_subject: dict[str, list[int]] = {}
    for event in back:
        by_subject.setdefault(event["subject"], []).append(int(event["id"].split("-")[1]))
    assert all(numbers == sorted(numbers) for numbers in by_subject.values())
    expected = [json.loads(text) | {"importof": "good"} for text in lines]
    assert sorted(back, key=lambda event: int(event["id"].split("-")[1])) == expected


def test_a_log_with_bad_lines_is_partly_imported(fleet: Path, tmp_path: Path) -> None:
    bad = [b"{", line("part", 2, type="a..b")]
    log = log_of(tmp_path, "part", [line("part", 1), *bad, line("part", 3)])
    said = json.loads(signalbox("event", "import", log, "-o", "json", "--data-dir", fleet, code=6))
    assert (said["imported"], said["rejected"]) == (2, 2)
    assert (tmp_path / "part.rejects.jsonl").read_bytes().splitlines() == bad
    chosen = tmp_path / "elsewhere.jsonl"
    signalbox("event", "import", "-", "--rejects", chosen, "--data-dir", fleet, code=1, stdin=b"nonsense\n")
    assert chosen.read_bytes() == b"nonsense\n"


def test_standard_input_is_a_log(fleet: Path, tmp_path: Path) -> None:
    signalbox("event", "import", "-", "--name", "piped", "--data-dir", fleet, stdin=line("pipe", 1) + b"\n")
    assert [event["importof"] for event in exported(fleet, tmp_path, "--type", "pipe.said")] == ["piped"]


def test_an_import_that_stopped_and_is_run_again_doubles_nothing(fleet: Path, tmp_path: Path) -> None:
    lines = [line("again", number) for number in range(2_000)]
    part = asked(fleet, "event", "import", log_of(tmp_path, "part", lines[:700]), "--name", "again")
    assert (part["imported"], part["duplicates"]) == (700, 0)
    log = log_of(tmp_path, "again", lines)
    whole = asked(fleet, "event", "import", log)
    assert (whole["imported"], whole["duplicates"]) == (2_000, 700)
    assert [log["duplicates"] for log in whole["logs"]] == [700]
    said = signalbox("event", "import", log, "--data-dir", fleet)
    assert "imported 0 events in" in said and "acked" not in said and "2,000 were there already" in said
    more = log_of(tmp_path, "more", [*lines[:3], *(line("again", number) for number in range(2_000, 2_010))])
    said = signalbox("event", "import", more, "--name", "again", "--data-dir", fleet)
    assert "imported 10 events, all acked," in said and "3 were there already" in said
    one = ["again.said", "--source", "test", "--id", "again-3", "--subject", "again-3"]
    assert asked(fleet, "event", "publish", *one)["duplicate"]
    back = exported(fleet, tmp_path, "--type", "again.said")
    assert sorted(int(event["id"].split("-")[1]) for event in back) == list(range(2_010))


def test_one_event_from_publish_to_show(fleet: Path) -> None:
    arguments = ["--subject", "order-42", "--data", '{"total": 1.50}', "--ext", "shop=one"]
    receipt = asked(fleet, "event", "publish", "order.created", *arguments)
    assert receipt["replicas"] >= 2
    signalbox("event", "export", "--data-dir", fleet)
    shown = asked(fleet, "event", "show", receipt["id"])
    assert json.loads(shown["event"])["data"] == {"total": 1.5}
    assert shown["row"]["subject"] == "order-42"
    found = asked(fleet, "event", "search", "order-42")
    assert [row["id"] for row in found["rows"]] == [receipt["id"]]
    tailed = signalbox(
        "event", "tail", "order.>", "--start", "earliest", "-n", "1", "-o", "ndjson", "--data-dir", fleet
    )
    assert json.loads(tailed)["shop"] == "one"
    assert asked(fleet, "saga", "show", "order-42")["row"]["steps"] == 1
    signalbox("event", "show", "no-such-event", "--data-dir", fleet, code=4)
    signalbox("saga", "show", "no-such-saga", "--data-dir", fleet, code=4)
    signalbox("event", "publish", "signalbox.forged", "--data-dir", fleet, code=5)
    signalbox("event", "publish", "a..b", "--data-dir", fleet, code=2)


def test_an_event_may_need_capabilities_and_expire(fleet: Path) -> None:
    words = ["--requires", "read write", "--requires", "review", "--expires", "1.5h", "--source", "test"]
    receipt = asked(fleet, "event", "publish", "doc.needed", *words)
    assert receipt["routing"].startswith("dispatch: needs read, write, review")
    signalbox("event", "export", "--data-dir", fleet)
    event = json.loads(asked(fleet, "event", "show", receipt["id"])["event"])
    assert event["requires"] == "read write review"
    assert bus.parse_time(event["expirytime"]) - bus.parse_time(event["time"]) == 5_400 * 10**9


def test_the_journal_proves_itself(fleet: Path) -> None:
    proof = asked(fleet, "replay", "verify")
    assert proof["same"] and proof["entries"] > 0 and proof["where"] is None
    other = asked(fleet, "replay", "what-if", "--set", "sagas.stuck_after=1ms", "-n", 50)
    assert other["settings"] == {"sagas.stuck_after_ms": "1"} and other["horizon"] is None
    assert all(fact["kind"] == "SagaStuck" for fact in other["facts"])
    told = signalbox("replay", "what-if", "--set", "sagas.patience=1s", "--data-dir", fleet, code=2)
    assert told == ""
    parted = asked(fleet, "replay", "diff", 1, "now")
    assert not parted["same"] and parted["position_a"] == 1
    past = asked(fleet, "replay", "at", 1)
    assert past["position"] <= 1
    assert asked(fleet, "replay", "at", "now")["counts"]["events"] > 0
    assert "does not exist yet" in signalbox_said("replay", "at", 10**9, "--data-dir", fleet, code=4)
    assert "has not been yet" in signalbox_said("replay", "at", "2200-01-01T00:00:00Z", "--data-dir", fleet, code=2)


PRESENT_ONLY = {"controlplane", "recorded", "rate", "volume"}
"""What is not told of the past, or is counted to the very moment of the question when that is the present."""


SHOWN = [
    "status", "flow list", "group list", "saga list --state all", "saga show tale-1", "dlq list", "health show",
    "event search tale", "broker list", "broker show b1", "partition list", "partition show 2",
]  # fmt: skip


def test_what_was_shown_is_shown_again(fleet: Path) -> None:
    def another_event() -> None:
        signalbox("event", "publish", "tale.told", "--subject", "tale-1", "--data-dir", fleet)
        signalbox("event", "export", "--data-dir", fleet)

    def lasting(told: dict[str, Any]) -> dict[str, Any]:
        return {name: told[name] for name in told if name not in PRESENT_ONLY}

    another_event()
    then = {words: asked(fleet, *words.split()) for words in SHOWN}
    another_event()
    for words, told in then.items():
        again = asked(fleet, *words.split(), "--at", told["position"])
        assert lasting(again) == lasting(told), words
        assert asked(fleet, *words.split())["position"] > told["position"], words


def test_the_past_has_its_events_and_its_bounds(fleet: Path) -> None:
    receipt = asked(fleet, "event", "publish", "tale.begun", "--subject", "tale-2")
    signalbox("event", "export", "--data-dir", fleet)
    position = asked(fleet, "event", "show", receipt["id"])["row"]["position"]
    signalbox("event", "show", receipt["id"], "--at", position - 1, "--data-dir", fleet, code=4)
    signalbox("saga", "show", "tale-2", "--at", position - 1, "--data-dir", fleet, code=4)
    before = signalbox("event", "export", "--at", position - 1, "--data-dir", fleet)
    assert receipt["id"] not in before
    after = signalbox("event", "export", "--at", position, "--data-dir", fleet)
    assert after.startswith(before) and receipt["id"] in after
    assert signalbox("status", "--at", "-1s", "--data-dir", fleet).startswith("as of ")
    empty = asked(fleet, "status", "--at", "-365d")
    assert (empty["position"], empty["brokers"], empty["controlplane"]["pid"]) == (0, [], 0)
    signalbox("status", "--at", "999,999,999", "--data-dir", fleet, code=4)
    signalbox("status", "--at", "2100-01-01T00:00:00Z", "--data-dir", fleet, code=2)
    signalbox("status", "--at", "5", "--watch", "--data-dir", fleet, code=2)


def test_a_second_fleet_is_refused_in_the_same_place(fleet: Path) -> None:
    before = pids_of(fleet)
    signalbox("up", "--detach", "--data-dir", fleet, code=1)
    assert pids_of(fleet) == before


def test_the_same_up_adopts_brokers_whose_plane_was_killed(fleet: Path, tmp_path: Path) -> None:
    before = asked(fleet, "status")
    os.kill(before["controlplane"]["pid"], signal.SIGKILL)
    assert gone({before["controlplane"]["pid"]})
    signalbox("status", "--data-dir", fleet, code=3)
    receipt = asked(
        fleet, "event", "import", log_of(tmp_path, "alone", [line("alone", number) for number in range(50)])
    )
    assert receipt["imported"] == 50
    signalbox("up", "--detach", "--data-dir", fleet)
    after = asked(fleet, "status")
    assert [broker["pid"] for broker in after["brokers"]] == [broker["pid"] for broker in before["brokers"]]
    assert len(exported(fleet, tmp_path, "--type", "alone.said")) == 50


def test_down_ends_brokers_whose_plane_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    signalbox("up", "--detach", "--data-dir", folder)
    pids = pids_of(folder)
    os.kill(asked(folder, "status")["controlplane"]["pid"], signal.SIGKILL)
    would = asked(folder, "down", "--dry-run")["would_end"]
    assert set(would) < pids
    signalbox("down", "--yes", "--data-dir", folder)
    assert gone(pids)
    signalbox("down", "--yes", "--data-dir", folder, code=3)


def test_headless_stays_until_sigterm(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    line = [sys.executable, "-c", "from console.cli import main; main()", "up", "--headless", "--data-dir", str(folder)]
    with subprocess.Popen(line, cwd=ROOT, stdin=subprocess.DEVNULL) as process:
        try:
            pids = until(lambda: led(folder))
            assert process.pid in pids
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()
    assert gone(pids)


def led(folder: Path) -> set[int]:
    """The fleet's pids once every partition is led."""
    try:
        status = asked(folder, "status")
    except AssertionError:
        return set()
    if not status["brokers"] or not all(partition["leader"] for partition in status["partitions"]):
        return set()
    return {status["controlplane"]["pid"]} | {broker["pid"] for broker in status["brokers"]}


def until(look: Callable[[], set[int]]) -> set[int]:
    """Each look is a whole command, so this turns slowly."""
    for _ in range(60):
        found = look()
        if found:
            return found
    raise AssertionError("not within 60 looks")


def test_the_demo_proves_that_nothing_was_lost(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    said = json.loads(signalbox("demo", "-o", "json", "--data-dir", folder))
    assert said["ok"] and said["problems"] == []
    assert (said["published"], said["archived"], said["joined"]) == (1099, 1099, 191)
    assert [group["given_up"] for group in said["groups"]] == [1, 90]
    counts = said["counts"]
    assert (counts["events"], counts["sagas_finished"], counts["sagas_open"]) == (1099, 71, 55)
    assert counts["dead_letters"] == 91
    signalbox("up", "--detach", "--data-dir", folder)
    pids = pids_of(folder)
    try:
        groups = asked(folder, "dlq", "list")
        assert groups["waiting"] == 91
        target = groups["rows"][0]["id"]
        dry = asked(folder, "dlq", "redrive", target, "--dry-run")
        done = asked(folder, "dlq", "redrive", target, "--yes", "--reason", "try again")
        assert done["ids"] == dry["ids"] and len(done["ids"]) == groups["rows"][0]["waiting"]
        assert asked(folder, "replay", "verify")["same"]
    finally:
        signalbox("down", "--yes", "--data-dir", folder)
    assert gone(pids)


def test_a_demo_that_is_told_to_end_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    line = [sys.executable, "-c", "from console.cli import main; main()", "demo", "--speed", "20", "--data-dir"]
    with subprocess.Popen([*line, str(folder)], cwd=ROOT, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            pids = until(lambda: led(folder))
            process.terminate()
            assert process.wait(60) == 130
        finally:
            process.kill()
    assert gone(pids)


@pytest.mark.parametrize("name", ["receipt", "bpic2012"])
def test_real_logs_go_through_whole(tmp_path: Path, name: str, long: bool) -> None:
    path = LOGS / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is not here: the real log {name} is not part of the project")
    if name == "bpic2012" and not long:
        pytest.skip("the full form of a proof; run it with --long")
    folder = tmp_path / "data"
    signalbox("up", "--detach", "--data-dir", folder)
    try:
        with gzip.open(path) as log:
            expected = {event["id"]: event for event in map(json.loads, log)}
        assert asked(folder, "event", "import", path)["imported"] == len(expected)
        for event in exported(folder, tmp_path):
            assert event == expected.pop(event["id"]) | {"importof": stem(str(path))}
        assert not expected
        stats = json.loads((LOGS / f"{name}.stats.json").read_text())
        counts = asked(folder, "status")["counts"]
        assert counts["sagas_open"] + counts["sagas_finished"] + counts["sagas_failed"] == stats["cases"]
    finally:
        signalbox("down", "--yes", "--data-dir", folder)
