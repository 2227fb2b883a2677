"""The story of trouble: what all the pictures of the console tell."""

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
    Saga,
    SagaRow,
    SagaStep,
    Severity,
    Trend,
    Vital,
)
from tests.console import story_agents
from tests.console.story import S, Story, at, bars, broker, counts, partition, status

NOW = at("03:12:44")
POSITION = 1_204_331
WAVES = (
    [70, 72, 75, 74, 73, 76, 80, 79, 78, 77], [20, 22, 21, 30, 33, 31, 22, 20, 19, 21], [40, 41, 39, 44, 47, 45, 40, 36, 31, 28],
    [18, 19, 18, 24, 27, 29, 28, 27, 29, 30],
)  # fmt: skip
MOVE = "partition rebalance p07 --to b1"


def partitions() -> list:  # type: ignore[type-arg]
    """Twelve tracks."""

    def one(n: int, severity: Severity, where: str, rate: float, busiest: tuple[str, float], group: str, late: float | None,
            trend: Trend = "steady", **more: object) -> object:  # fmt: skip
        recent = [max(1, int(v * rate / 75)) for v in WAVES[n % 4]]
        return partition(n, severity, where, rate, busiest, (group, late, trend), more.pop("recent", recent), **more)  # type: ignore[arg-type]

    return [
        one(0, "ok", "b1* b2 b3", 4212, ("plan", 0.82), "coder", 0.3),
        one(1, "warn", "b2* b3 b4~1200", 884, ("search", 0.51), "planner", 0.2, why="b4 lags 1.2 s", mend="broker list"),
        one(2, "ok", "b1 b3* b4", 1970, ("code", 0.64), "reviewer", 0.4),
        one(3, "ok", "b1 b2 b4*", 612, ("audit", 0.38), "audit", 0.1),
        one(4, "warn", "b1* b2 b5-", 1204, ("plan", 0.57), "coder", 0.5, why="b5 is off", mend="broker revive b5"),
        one(5, "ok", "b1 b2* b3", 3180, ("code", 0.91), "coder", 93.0, "growing"),
        one(6, "warn", "b2 b3* b5-", 431, ("bill", 0.44), "billing", 0.2, why="b5 is off", mend="broker revive b5"),
        one(7, "bad", "b3* b4~4100 b5-", 0, ("plan", 0.77), "coder", None, refused=31, recent=[300, 310, 305, 300, 60, 0, 0, 0],
            why="1 of 3 in sync, needs 2", mend=MOVE),
        one(8, "ok", "b1* b3 b4", 2655, ("review", 0.72), "reviewer", 41.0, "draining"),
        one(9, "warn", "b1 b2* b5-", 1402, ("tool", 0.49), "archive", 0.3, why="b5 is off", mend="broker revive b5"),
        one(10, "warn", "b1 b3* b5-", 1120, ("search", 0.36), "planner", 0.2, why="b5 is off", mend="broker revive b5"),
        one(11, "ok", "b2 b3 b4*", 730, ("audit", 0.41), "audit", 0.1),
    ]  # fmt: skip


def flows() -> list[FlowRow]:
    """Eleven flows, worst first."""

    def flow(source: str, type_: str, group: str, severity: Severity, rate: float, recent: list[int], err: float | None,
             p50: float | None, p99: float | None, behind: float | None, trend: Trend = "steady", **more: object) -> FlowRow:  # fmt: skip
        def ns(ms: float | None) -> int | None:
            return None if ms is None else int(ms * 1_000_000)

        late = None if behind is None else int(behind * S)
        scaled = [v * int(rate + 40) // 10 for v in recent]
        return FlowRow(source, type_, group, severity, rate, scaled, int(rate * 9_000), err, ns(p50), ns(p99), late,
                       trend=trend, **{"ledger": "0 lost", **more})  # type: ignore[arg-type]  # fmt: skip

    return [
        flow("planner", "task.code.requested", "coder", "bad", 0, [90, 90, 90, 90, 90, 20, 0, 0, 0], 1.0, None, None, None,
             ledger="31/s back", why="p07 refuses its publishes: 1 of 3 replicas in sync, it needs 2", mend=MOVE),
        flow("planner", "task.plan.completed", "coder", "warn", 3180, [3, 4, 5, 5, 6, 7, 7, 8, 8], 0.004, 41, 1900, 93, "growing",
             waiting=295_740, eta_ns=-1, why="arrives 3,180/s, handled 1,900/s: falls behind by another 0.4 s every second",
             mend="agent release coder-3 coder-4"),
        flow("coder", "task.code.completed", "reviewer", "warn", 2655, [5, 5, 6, 7, 6, 5, 5, 4, 4], 0.001, 38, 820, 41, "draining",
             waiting=108_855, eta_ns=70 * S, why="41 s behind, and draining", mend="flow list"),
        flow("tool-runner", "exec.failed", "", "warn", 12, [1, 1, 1, 2, 2, 3, 2, 3, 3], None, None, None, None, ledger="kept 7d",
             why="nobody listens to it; it is kept for 7 days", mend="event tail 'exec.failed'"),
        flow("planner", "task.plan.requested", "coder-fast", "ok", 4212, [6, 6, 7, 6, 6, 7, 6, 6, 6], 0.0, 2, 11, 0.3),
        flow("planner", "task.plan.completed", "audit", "ok", 3180, [3, 4, 5, 5, 6, 7, 7, 8, 8], 0.0, 1, 6, 0.1),
        flow("coder", "task.code.completed", "archive", "ok", 2655, [5, 5, 6, 7, 6, 5, 5, 4, 4], 0.0, 2, 9, 0.3),
        flow("search", "search.hit.ranked", "planner", "ok", 1570, [3, 3, 3, 4, 3, 3, 3, 3, 3], 0.0, 6, 24, 0.2),
        flow("tool-runner", "exec.succeeded", "archive", "ok", 1402, [3, 3, 4, 3, 3, 3, 3, 4, 4], 0.0, 3, 14, 0.3),
        flow("reviewer", "task.review.completed", "planner", "ok", 1211, [2, 3, 3, 3, 3, 2, 3, 3, 3], 0.002, 5, 31, 0.2),
        flow("DataVerification_Expert", "agent.message", "reviewer", "ok", 884, [2, 2, 2, 2, 3, 2, 2, 2, 2], 0.0, 4, 18, 0.2),
        flow("shop", "order.created", "billing", "ok", 431, [1, 1, 2, 1, 1, 1, 1, 2, 1], 0.0, 7, 29, 0.2),
        flow("", "agent.status.updated", "health", "ok", 118, [1, 1, 1, 1, 1, 1, 1, 1, 1], 0.0, 1, 4, 0.1),
    ]  # fmt: skip


def sagas() -> list[SagaRow]:
    """Sixteen sagas, worst first."""
    stuck = [("4711", 401, 3.6), ("4702", 358, 3.3), ("4698", 312, 3.1), ("4720", 273, 3.0)]
    late = [("4725", 220, 2.0), ("4731", 182, 1.7), ("4733", 171, 1.6), ("4734", 164, 1.5), ("4735", 140, 1.3), ("4737", 123, 1.1),
            ("4738", 118, 1.1)]  # fmt: skip

    def row(name: str, waits: int, ratio: float, severity: Severity, why: str, step: str = "task.code.requested",
            source: str = "planner", steps: int = 5, typical: int = 38) -> SagaRow:  # fmt: skip
        started = NOW - (waits + 301) * S
        return SagaRow(name, "open", severity, step, steps, source, started, NOW - waits * S, waits * S, typical * S,
                       int(waits * S / ratio) if ratio else None, ratio, why=why, position=1_187_402)  # fmt: skip

    rows = [row(f"report-{n}", waits, ratio, "bad", "p07, same cause") for n, waits, ratio in stuck]
    rows[0].why = "p07 refused its retry 14×"
    rows.append(row("claim-0093", 224, 1.4, "warn", "a voter, coder-3, is out", "ballot.opened", "claims", 3, 80))
    rows += [row(f"report-{n}", waits, ratio, "warn", "p07, same cause") for n, waits, ratio in late]
    rows.append(row("order-8812", 12, 0.4, "ok", "", "order.declined", "shop", 4, 9))
    rows.append(row("report-4740", 4, 0.2, "ok", "", "task.plan.requested", "planner", 2, 6))
    rows.append(row("order-8820", 1, 0.1, "ok", "", "order.created", "shop", 1, 2))
    rows.append(row("report-4741", 1, 0.1, "ok", "", "task.plan.requested", "planner", 1, 6))
    return rows


def detail() -> Saga:
    """report-4711, which waits for code."""
    told = [("order.report.requested", "shop", 2), ("task.plan.requested", "planner", 6), ("search.requested", "planner", 9),
            ("search.hit.ranked", "search", 18), ("page.read", "websurfer", 100), ("task.outline.completed", "planner", 9),
            ("approval.granted", "op1", 164), ("task.code.requested", "planner", 401)]  # fmt: skip
    steps, time = [], at("03:00:55")
    for i, (type_, source, took) in enumerate(told):
        took_ns = took * S if i < len(told) - 1 else NOW - time
        steps.append(SagaStep(1_180_000 + i * 931, f"019a8c1e-77b2-7c21-9a40-5f1e0c3d2b{i:02x}", type_, source, time, took_ns, 7,
                              41_000 + i, type_ == "page.read"))  # fmt: skip
        time += took * S
    why = [
        Link("waits after task.code.requested", 0, NOW - 401 * S, 1_187_402), Link("its retry was refused 14 times by p07", 1, NOW - 252 * S, 1_189_950),
        Link("p07 has 1 of 2 needed replicas in sync", 2, NOW - 252 * S, 1_189_948), Link("b4 lags 4.1 s: fsync p99 84 ms", 3, NOW - 260 * S, 1_189_871),
        Link("b5 was killed: 137, out of memory", 3, NOW - 253 * S, 1_189_944), Link("coder lives (phi 0.4)", ruled_out=True),
        Link("no dead letter", ruled_out=True), Link("request not expired", ruled_out=True),
    ]  # fmt: skip
    row = sagas()[0]
    row.started, row.steps = at("03:00:55"), len(steps)
    return Saga(row, steps, why, [MOVE, "saga show report-4711"])


def dead() -> list[DeadGroup]:
    """Five groups of dead letters."""
    return [
        DeadGroup("g-07", "warn", "max_deliver", "SyntaxError: line N", "coder", 214, 214, [0, 0, 0, 0, 0, 0, 0, 0, 0, 20, 60, 134],
                  at("03:05:42"), NOW - 4 * S, 214, "since v41"),
        DeadGroup("g-11", "warn", "max_deliver", "CallTimeout: budget N s", "planner", 71, 71, [0] * 10 + [21, 50], at("03:08:32"),
                  NOW - 2 * S, 71, "new"),
        DeadGroup("g-02", "ok", "max_deliver", "TimeoutError: N s, GET https://…", "websurfer", 96, 96, [8, 8, 8, 8, 8, 10, 8, 8, 8, 8, 8, 6],
                  NOW - 3 * 86_400 * S, NOW - 191 * S, 0, ""),
        DeadGroup("g-04", "ok", "expired", "not delivered in time", "billing", 22, 22, [1, 1, 4, 2, 2, 2, 2, 2, 2, 2, 1, 1],
                  NOW - 86_400 * S, NOW - 3_840 * S, 0, ""),
        DeadGroup("g-01", "ok", "terminated", "ValueError: currency N", "billing", 9, 9, [0, 0, 0, 1, 0, 1, 1, 4, 1, 1, 0, 0],
                  NOW - 2 * 86_400 * S, NOW - 9_060 * S, 0, "ask shop"),
    ]  # fmt: skip


def letters() -> DeadLetters:
    """The letters of g-07."""
    event = json.dumps({
        "specversion": "1.0", "id": "019a8c1e-77b2-7c21-9a40-5f1e0c3d2b11", "type": "task.code.requested", "source": "agent/planner",
        "subject": "report-4733", "data": {"language": "python", "code": "def rank(rows):\n  for r in rows\n    yield r",
                                           "tests": ["test_rank_empty", "test_rank_ties"], "budget": {"tokens": 41050, "seconds": 120}},
    })  # fmt: skip
    when = ["03:12:02", "03:12:07", "03:12:17", "03:12:27", "03:12:40"]
    attempts = [DeadAttempt(i + 1, at(t), "SyntaxError: expected ':' (line 2)", f"coder-{1 + i % 2}", (12 - i) * 1_000_000)
                for i, t in enumerate(when)]  # fmt: skip
    shown = [
        DeadLetter(f"019a8c1e-77b2-7c21-9a40-5f1e0c3d2b{0x11 + i:02x}", "g-07", "coder", "max_deliver", "SyntaxError: expected ':' (line 2)",
                   "waiting" if i != 3 else "redriven", 2, 61_540 - i * 17, 1_204_300 - i * 9, NOW - (4 + i * 7) * S, attempts, event)
        for i in range(12)
    ]  # fmt: skip
    why = [Link("all 214 failed in coder", 0, NOW - 422 * S, 1_188_100), Link("the first died 9 s after coder-3 joined", 1, at("03:05:42"), 1_188_102),
           Link("one source", ruled_out=True)]  # fmt: skip
    return DeadLetters(dead()[0], shown, why)


def events() -> list[EventRow]:
    """The newest twelve."""
    told = [
        (812, "task.plan.completed", "planner", "report-4740", 5, 88_120, 1200, "ok", "coder 1m33s"), (809, "exec.succeeded", "tool-runner", "report-4739", 9, 41_007, 310, "ok", "archive 2 ms"),
        (795, "agent.error.raised", "coder-2", "report-4733", 2, 61_554, 2400, "warn", "dead g-07"), (790, "search.hit.ranked", "search", "report-4738", 10, 70_921, 880, "ok", "planner 4 ms"),
        (771, "task.code.requested", "planner", "report-4711", 7, 41_007, 1400, "bad", "coder waits"), (760, "task.review.completed", "reviewer", "report-4736", 8, 90_112, 640, "ok", "planner 5 ms"),
        (744, "agent.status.updated", "coder-1", "agent/coder-1", 11, 12_008, 96, "ok", "health 1 ms"), (731, "order.created", "shop", "order-8821", 6, 33_450, 420, "ok", "billing 7 ms"),
        (702, "agent.knowledge.learned", "reviewer", "report-4736", 8, 90_111, 1900, "ok", "audit 3 ms"), (698, "exec.failed", "tool-runner", "report-4733", 9, 41_006, 512, "warn", "nobody"),
        (690, "task.plan.requested", "shop", "report-4741", 0, 99_301, 1100, "ok", "coder-fast 2 ms"), (683, "search.requested", "planner", "report-4741", 10, 70_920, 540, "ok", "search 3 ms"),
    ]  # fmt: skip
    out = []
    for i, (ms, type_, source, subject, p, offset, size, severity, to) in enumerate(told):
        when = at("03:12:44", ms)
        out.append(EventRow(POSITION - i, f"019a8c1e-{i:04x}-7c21-9a40-5f1e0c3d2b11", type_, source, subject, when, when, when, p, offset,
                            size, severity, to))  # type: ignore[arg-type]  # fmt: skip
    return out


def request() -> str:
    """The event that report-4711 waits after."""
    row = events()[4]
    return json.dumps({"specversion": "1.0", "id": row.id, "type": row.type, "source": "agent/planner", "subject": row.subject, "priority": "high",
                       "correlationid": "report-4711", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                       "data": {"language": "python", "code": "def rank(rows):\n    return sorted(rows, key=score)", "budget": {"tokens": 41050}}})  # fmt: skip


def causes() -> list[EventRow]:
    """report-4711 around the selected event."""
    rows = [EventRow(step.position, step.id, step.type, step.source, "report-4711", step.time, step.time, step.time, step.partition,
                     step.offset, 400, "warn" if step.failed else "ok", "") for step in detail().steps[:-1]]  # fmt: skip
    return [*rows, events()[4]]


def needs() -> list[Need]:
    """Five, worst first."""
    return [
        Need("bad", "p07 refuses publishes", "1 of 3 in sync, needs 2; 31/s", NOW - 252 * S, MOVE, 18, "partitions"),
        Need("warn", "b5 is down", "out of memory; restart in 8 s", NOW - 253 * S, "broker revive b5", 9, "broker b5"),
        Need(
            "warn",
            "coder 1m33s behind",
            "2 of 4 members quarantined",
            NOW - 230 * S,
            "agent release coder-3 coder-4",
            5,
            "coder",
        ),
        Need(
            "warn", "12 sagas are stuck", "11 wait on p07, 1 on a vote", NOW - 224 * S, "saga list --stuck", 4, "sagas"
        ),
        Need("warn", "214 new dead letters", "SyntaxError, since coder v41", NOW - 422 * S, "dlq show g-07", 3, "dead"),
    ]


def story() -> Story:
    """03:12:44."""
    n = counts(61, "CRITICAL", 1_180_220, flows=38, sagas_open=1204, sagas_stuck=12, sagas_stuck_bad=4, sagas_finished=9_310,
               sagas_failed=41, dead_letters=412, dead_letters_new=214, agents=46, agents_out=3, brokers_up=4, brokers=5, internal=24_111)  # fmt: skip
    up = NOW - 3 * 86_400 * S
    brokers = [broker("b1", [0, 4, 8], 0.44, rate=18_400, since=up), broker("b2", [1, 5, 9], 0.30, rate=18_400, since=up, fsync_ms=2.7),
               broker("b3", [2, 6, 7, 10], 0.19, rate=18_400, since=up + 7 * S),
               broker("b4", [3, 11], 0.07, "slow", "fsync p99 84 ms", rate=18_400, since=up, fsync_ms=84, joined=True),
               broker("b5", [], 0.0, "down", "restart 8 s", "broker revive b5", since=NOW - 253 * S, restarts=2)]  # fmt: skip
    lately = [
        Happening(at("03:12:31"), 1_204_102, "ok", "b5 restart 2 failed"), Happening(at("03:09:00"), 1_193_000, "warn", "12 sagas past p95"),
        Happening(at("03:08:54"), 1_192_420, "warn", "coder-3 quarantined"), Happening(at("03:08:33"), 1_189_990, "ok", "p10 leads: b5 to b3"),
        Happening(at("03:08:32"), 1_189_948, "bad", "p07 refuses"), Happening(at("03:08:31"), 1_189_944, "bad", "b5 killed (137)"),
    ]  # fmt: skip
    volume = [3 + (i * 7 // 5) % 4 + (2 if 40 < i < 52 else 0) for i in range(98)]
    line = bars(NOW, volume, 180, {24: ("warn", "coder slow"), 25: ("warn", "coder slow"), 94: ("warn", "b4 lags"), 95: ("bad", "p07 refuses"),
                                   96: ("bad", "p07 refuses"), 97: ("bad", "p07 refuses")})  # fmt: skip
    board = Board(
        status(POSITION, NOW, n, brokers, partitions()), 97, [97] * 9 + [97, 96, 95, 78, 70, 64, 61, 61], needs(),
        Vital(18_400, [3, 3, 3, 3, 4, 5, 6, 6]), Vital(17_900, [2, 2, 3, 4, 5, 5, 5, 5]), Vital(9.8, [2, 2, 3, 2, 3, 8, 9, 10], "warn"),
        Vital(93.0, [1, 1, 2, 2, 4, 6, 8, 10], "warn"), Vital(1204, [50, 40, 30, 40, 40, 40, 40, 40]), 0, flows()[:7], sagas()[:6], dead(),
        lately, line,
    )  # fmt: skip
    tall = [200 + (i * 37) % 120 - (60 if i % 17 > 12 else 0) for i in range(108)]
    picture = bars(NOW, tall, 8, {i: ("bad", "refusals begin" if i == 76 else "") for i in range(76, 108)})
    return Story(
        NOW,
        POSITION,
        board,
        flows(),
        sagas(),
        {"report-4711": detail()},
        dead(),
        {"g-07": letters()},
        events(),
        {events()[4].id: request()},
        causes(),
        picture,
        story_agents.rows(NOW),
    )
