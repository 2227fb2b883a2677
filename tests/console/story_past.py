"""02:58:10, before the trouble: what the same fleet looked like when all was well but one slow group."""

import msgspec

from controlplane.questions import Happening, Need, SagaRow, Vital
from tests.console import story_agents, story_trouble
from tests.console.story import S, Story, at, bars, broker, partition, status

NOW = at("02:58:10")
POSITION = 1_118_204
BEFORE = story_trouble.NOW - NOW
BUSIEST = (
    ("plan", 0.82), ("search", 0.51), ("code", 0.64), ("audit", 0.38), ("plan", 0.57), ("code", 0.91), ("bill", 0.44),
    ("plan", 0.77), ("review", 0.72), ("tool", 0.49), ("search", 0.36), ("audit", 0.41),
)  # fmt: skip
WHERE = (
    "b1* b2 b3", "b2* b3 b4", "b1 b3* b4", "b1 b2 b4*", "b1 b2 b5*", "b1 b2* b3", "b2 b3* b5", "b3* b4 b5", "b1* b3 b4",
    "b1 b2* b5", "b1 b3 b5*", "b2 b3 b4*",
)  # fmt: skip
RATES = (4212, 884, 1970, 612, 1204, 3180, 431, 905, 2655, 1402, 1120, 730)


def story() -> Story:
    """The frozen trouble, less the trouble."""
    now = story_trouble.story()
    n = msgspec.structs.replace(
        now.board.status.counts, score=97, health="OK", events=1_094_310, sagas_open=1187, sagas_stuck=0,
        sagas_stuck_bad=0, dead_letters=198, dead_letters_new=0, agents=48, agents_out=0, brokers_up=5,
    )  # fmt: skip
    up = NOW - 3 * 86_400 * S
    leads = {
        name: [i for i, where in enumerate(WHERE) if f"{name}*" in where] for name in ("b1", "b2", "b3", "b4", "b5")
    }
    shares = {"b1": 0.36, "b2": 0.28, "b3": 0.17, "b4": 0.07, "b5": 0.12}
    brokers = [broker(name, leads[name], shares[name], rate=18_400, since=up) for name in leads]
    waves = story_trouble.WAVES
    partitions = [
        partition(i, "ok", WHERE[i], rate, BUSIEST[i], ("coder", 0.3, "steady"), [v * rate // 75 for v in waves[i % 4]])
        for i, rate in enumerate(RATES)
    ]  # fmt: skip
    partitions[8] = msgspec.structs.replace(partitions[8], slowest_group="reviewer", behind_ns=6 * S, trend="draining")
    needs = [Need("warn", "reviewer 6 s behind", "draining; clear in 20 s", NOW - 65 * S, "flow list", 3, "reviewer")]
    flows = [
        msgspec.structs.replace(
            flow, severity="ok", behind_ns=300_000_000, trend="steady", eta_ns=None, why="", mend="", ledger="0 lost"
        )
        for flow in now.flows
        if flow.rate and flow.group
    ]
    sagas = [_earlier(row) for row in now.sagas if row.saga in ("order-8812", "claim-0093")]
    dead = [
        msgspec.structs.replace(group, severity="ok", new=0, first=group.first - BEFORE, newest=group.newest - BEFORE)
        for group in now.dead[2:]
    ]
    lately = [
        Happening(at("02:51:07"), 1_098_000, "ok", "coder-2 joined"),
        Happening(at("02:40:12"), 1_071_000, "ok", "p08 leads: b3 to b1"),
        Happening(at("02:40:00"), 1_070_400, "ok", "rebalance by op1"),
    ]
    board = msgspec.structs.replace(
        now.board, status=status(POSITION, NOW, n, brokers, partitions), since_score=97, score_recent=[97] * 17,
        needs=needs, ack_p99_ms=Vital(3.1, [2, 2, 3, 2, 3, 3, 3, 3]), worst_lag_s=Vital(6.0, [1, 1, 2, 2, 2, 2, 2, 2]),
        open_sagas=Vital(1187, [50, 40, 30, 40, 40, 40, 40, 40]), flows=flows[:7], sagas=[], dead=dead, lately=lately,
    )  # fmt: skip
    events = [
        msgspec.structs.replace(
            row, position=row.position - 86_127, severity="ok", time=row.time - BEFORE, appended=row.appended - BEFORE
        )
        for row in now.events
        if row.severity == "ok"
    ]
    volume = bars(NOW, [200 + (i * 37) % 120 for i in range(108)], 8, {})
    agents = [story_agents.agent("coder-3", NOW, "code review.code", 0.5), *story_agents.rows(NOW)[3:-1]]
    return Story(NOW, POSITION, board, flows, sagas, {}, dead, {}, events, {}, [], volume, agents)


def _earlier(row: SagaRow) -> SagaRow:
    return msgspec.structs.replace(
        row, severity="ok", why="", started=NOW - 41 * S, last=NOW - 12 * S, waiting_ns=12 * S, ratio=0.4
    )
