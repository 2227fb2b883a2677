"""A calm fleet of three brokers with the messages of real agents, and the same fleet before its first event."""

# ruff: noqa: E501 - a row of a table stays a line here

import json

from controlplane.questions import (
    Board,
    DeadAttempt,
    DeadGroup,
    DeadLetter,
    DeadLetters,
    EventRow,
    FlowRow,
    Happening,
    Link,
    Need,
    PartitionStatus,
    Saga,
    SagaRow,
    SagaStep,
    Vital,
)
from tests.console.story import S, Story, at, bars, broker, counts, partition, status

NOW = at("09:41:07")
AGENTS = (
    "DataVerification_Expert",
    "Computer_terminal",
    "Verification_Expert",
    "PythonProgramming_Expert",
    "WebServing_Expert",
)
EVERYONE = ("b1* b2 b3", "b1 b2* b3", "b1 b2 b3*")


def tracks(busy: bool) -> list[PartitionStatus]:
    """Twelve tracks of which none is in trouble; three hot ones when busy."""
    out = []
    for n in range(12):
        rate = float(9 + (n * 31) % 17) if busy else 0.0
        wave = [int(rate) + (n + i) % 5 for i in range(10)] if busy else []
        slow = ("code-parser", 0.1 + (n % 3) / 10, "steady") if busy else ("", None, "steady")
        busiest = ("agent.message", 0.5 + (n % 5) / 10) if busy else ("", 0.0)
        out.append(partition(n, "ok", EVERYONE[n % 3], rate, busiest, slow, wave))  # type: ignore[arg-type]
    return out


def empty() -> Story:
    """Three brokers are up, and nothing was published."""
    now = at("09:00:07")
    n = counts(100, "OK", 0)
    brokers = [broker(f"b{i}", list(range(i - 1, 12, 3)), 0.0, since=now - 7 * S) for i in (1, 2, 3)]
    none = Vital(None, [])
    board = Board(status(42, now, n, brokers, tracks(False)), 100, [100] * 8, [], none, none, none, none, none, 0, [], [], [], [],
                  bars(now, [0] * 98, 36, {}))  # fmt: skip
    return Story(now, 42, board, [], [], {}, [], {}, [])


def flows() -> list[FlowRow]:
    """Every agent's messages to two groups, and the results that always fail."""
    out = []
    for i, agent in enumerate(AGENTS):
        for group, share in (("code-parser", 0.004), ("transcript", 0.0)):
            out.append(FlowRow(agent, "agent.message", group, "ok", 41.0 - 6 * i, [3, 4, 5, 4, 4, 5, 4, 4, 5], 311 - 40 * i, share, 2_000_000,
                                 9_000_000, 100_000_000, trend="steady", ledger="0 lost"))  # fmt: skip
    failed = FlowRow("Computer_terminal", "exec.failed", "exec-watch", "warn", 4.2, [0, 1, 0, 1, 1, 0, 1, 1, 1], 90, 1.0, 3_000_000, 12_000_000,
                     100_000_000, ledger="0 lost", why="every delivery fails: 90 of 90 died", mend="dlq show g-1a")  # fmt: skip
    out.insert(0, failed)
    return out


def sagas() -> tuple[list[SagaRow], dict[str, Saga]]:
    """Fourteen conversations that go on."""
    rows: list[SagaRow] = []
    details: dict[str, Saga] = {}
    for i in range(1, 15):
        name = f"wwa-{i:03d}"
        steps: list[SagaStep] = []
        time = NOW - (300 - i) * S
        for k in range(6):
            took = (3 + (i * k) % 7) * S
            steps.append(SagaStep(900 + i * 9 + k, f"{name}-{k}", "agent.message" if k % 3 else "task.request", AGENTS[(i + k) % 5], time, took, i % 12,
                                  k, k == 4))  # fmt: skip
            time += took
        row = SagaRow(
            name, "open", "ok", "agent.message", 6, AGENTS[i % 5], steps[0].time, time, NOW - time, 4 * S, 20 * S, 0.2
        )
        rows.append(row)
        details[name] = Saga(row, steps, [Link("waits after agent.message", 0, time, 1_010)], [])
    return rows, details


def dead() -> tuple[DeadGroup, DeadLetter, str]:
    """The one group of dead letters, one of them, and its event."""
    group = DeadGroup(
        "g-1a",
        "warn",
        "max_deliver",
        "ExecutionFailed: exit code N",
        "exec-watch",
        90,
        90,
        [0] * 11 + [90],
        NOW - 250 * S,
        NOW - 3 * S,
        90,
    )
    text = json.dumps({"specversion": "1.0", "id": "wwa-001-4", "type": "exec.failed", "source": "Computer_terminal", "subject": "wwa-001",
                       "data": {"content": "exitcode: 1 (execution failed)\nCode output:\nTraceback (most recent call last):\n  File \"\", line 4"}})  # fmt: skip
    letter = DeadLetter("019a8c1e-0001-7c21-9a40-5f1e0c3d2b11", "g-1a", "exec-watch", "max_deliver", "ExecutionFailed: exit code 1", "waiting", 3, 88, 1_001,
                        NOW - 3 * S, [DeadAttempt(k, NOW - (9 - k) * S, "ExecutionFailed: exit code 1", "exec-watch-1", 2_000_000) for k in (1, 2, 3)], text)  # fmt: skip
    return group, letter, text


def story() -> Story:
    """Replaying the conversations of agents: no broker is ill, a parser meets code that is none."""
    flow_rows, (saga_rows, details), (group, letter, text) = flows(), sagas(), dead()
    rows = [EventRow(1_099 - i, f"wwa-001-{i}", "agent.message" if i % 4 else "exec.failed", AGENTS[i % 5], f"wwa-{1 + i % 9:03d}", NOW - i * 40_000_000,
                     NOW - i * 40_000_000, NOW - i * 40_000_000, i % 12, 90 - i, 900 + i * 31, "ok" if i % 4 else "warn", "code-parser")
            for i in range(40)]  # fmt: skip
    n = counts(
        96,
        "OK",
        1_099,
        flows=len(flow_rows),
        sagas_open=14,
        sagas_finished=112,
        dead_letters=90,
        dead_letters_new=90,
        agents=51,
        internal=420,
    )
    need = Need(
        "warn", "90 new dead letters", "ExecutionFailed: exit code N", NOW - 250 * S, "dlq show g-1a", 4, "dead"
    )
    brokers = [
        broker(f"b{i}", list(range(i - 1, 12, 3)), (0.34, 0.35, 0.31)[i - 1], rate=182, since=NOW - 300 * S)
        for i in (1, 2, 3)
    ]
    lately = [
        Happening(NOW - 250 * S, 812, "warn", "exec-watch: first dead letter"),
        Happening(NOW - 300 * S, 40, "ok", "b1, b2, b3 are up"),
    ]
    board = Board(status(1_519, NOW, n, brokers, tracks(True)), 96, [100, 100, 98, 96, 96, 96, 96, 96], [need], Vital(182, [3, 4, 5, 5, 5, 5, 5, 5]),
                  Vital(361, [3, 4, 5, 5, 5, 5, 5, 5]), Vital(3.1, [2, 2, 3, 2, 2, 2, 3, 2]), Vital(0.3, [1, 1, 1, 1, 2, 1, 1, 1]),
                  Vital(14, [4, 4, 3, 3, 3, 3, 2, 2]), 0, flow_rows[:7], saga_rows[:6], [group], lately,
                  bars(NOW, [0] * 80 + [5, 9, 9, 8, 9, 9, 7, 9, 8, 9, 9, 9, 8, 9, 9, 9, 9, 9], 4, {82: ("warn", "dead letters")}))  # fmt: skip
    volume = bars(NOW, [0] * 70 + [12 + i % 5 for i in range(38)], 8, {})
    return Story(
        NOW,
        1_519,
        board,
        flow_rows,
        saga_rows,
        details,
        [group],
        {"g-1a": DeadLetters(group, [letter], [])},
        rows,
        {"wwa-001-4": text},
        [],
        volume,
    )
