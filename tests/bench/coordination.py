"""Ballots and leases: how long a decision and a grant take on an idle fleet, and what 100,000 open leases cost.

Three brokers, their plane and one client, on the same cores. A ballot's time is from just before its last vote is
published to when its proposer has the decision; a grant's from entering the lease to having it. Beside them what each
takes in between is asked of the journal: from the event's `appended` to its `recorded`, and from there to the plane's
answer appended. The fold's costs are processor time of this process, without journal and brokers.
"""

import asyncio
import gc
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

import bus
from bus import lease as rules
from console.bench.own import own_fleet
from console.link import Link
from controlplane.facts import PlaneStarted, Tick
from controlplane.fold import Heart
from controlplane.leases import Leases
from controlplane.questions import AskSql, SqlAnswer
from controlplane.registry import Registry
from tests.controlplane.coordinated import MS, Saying, rows_of
from tests.controlplane.logs import NOW

ROUNDS = 200
WARM = 20
VOTERS = [f"agent/{name}" for name in "abcde"]
LEASES = 100_000
BATCH = 500
TTL_MS = 600_000
MB = 1_000_000
Report = Callable[..., None]


def share(values: Sequence[float], percent: int) -> float:
    """A quantile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


async def decisions(fleet: bus.Fleet) -> list[float]:
    """ms from the last of three votes that decide to the decision, heard by the proposer."""
    took = []
    for number in range(ROUNDS + WARM):
        ballot = await fleet.ballots.propose(f"{number}?", voters=VOTERS, source=VOTERS[0])
        for voter in VOTERS[:2]:
            await ballot.vote("yes", source=voter)
        # The plane has counted them, and carried out what it had to: it is idle again.
        await asyncio.sleep(0.05)
        began = time.monotonic()
        _, _ = await asyncio.gather(ballot.vote("yes", source=VOTERS[2]), ballot.decided())
        took.append((time.monotonic() - began) * 1e3)
        await asyncio.sleep(0.05)
    return took[WARM:]


async def grants(fleet: bus.Fleet) -> list[float]:
    """ms to enter a lease that nobody has."""
    took = []
    for number in range(ROUNDS + WARM):
        lease = fleet.leases.acquire(f"resource-{number % 7}", ttl=30)
        began = time.monotonic()
        async with lease:
            took.append((time.monotonic() - began) * 1e3)
        await asyncio.sleep(0.05)
    return took[WARM:]


def legs(url: str, report: Report) -> None:
    """Where a grant's time goes, as the journal has it."""
    link = Link(url)
    sql = (
        "select (asked.recorded_ns - asked.appended_ns) / 1e6, (said.appended_ns - asked.recorded_ns) / 1e6 "
        "from events said join events asked on said.type = 'lease.granted' and asked.type = 'lease.requested' "
        "and said.data->>'$.lease' = asked.data->>'$.lease'"
    )
    try:
        answer = link.ask(AskSql(sql), 60.0).body
        if isinstance(answer, SqlAnswer) and answer.count:
            before, after = zip(*answer.values(), strict=True)
            report("  of it: request appended to its turn, p50", [share([float(each) for each in before], 50)], "ms")
            report("  of it: turn to the answer appended, p50", [share([float(each) for each in after], 50)], "ms")
    finally:
        link.close()


async def on_a_fleet(folder: Path, report: Report) -> None:
    """Both, by a client of its own."""
    async with bus.connect(data_dir=folder, name="bench") as fleet:
        for what, took, goal in (
            ("5 voters: last vote to the decision", await decisions(fleet), 25),
            ("a lease granted", await grants(fleet), 15),
        ):
            report(f"{what}, p50", [share(took, 50)], "ms", f"aim {goal}")
            report(f"{what}, p99", [share(took, 99)], "ms")


def requests(first: int, count: int) -> list[Saying]:
    """Of holders that have a hundred leases each."""
    return [
        (rules.REQUESTED, f"agent/{n // 100}", {"lease": f"{n:036d}", "resource": f"resource-{n}", "ttl_ms": TTL_MS})
        for n in range(first, first + count)
    ]


def many(report: Report) -> None:
    """100,000 leases in the fold: memory, a renewal, a timer that finds its lease renewed, a pause of the plane."""
    gc.collect()
    before, heart, now = psutil.Process().memory_info().rss, Heart([Registry(), Leases()]), NOW
    heart.step(PlaneStarted(1, "u"), now)
    began = time.process_time()
    for first in range(0, LEASES, BATCH):
        heart.step(rows_of(requests(first, BATCH), first, now), now)
    report(f"{LEASES:,} leases granted, processor", [(time.process_time() - began) / LEASES * 1e6], "µs each")
    gc.collect()
    report(f"{LEASES:,} leases open, memory", [(psutil.Process().memory_info().rss - before) / MB], "MB")
    tokens = {
        str(id): (lease.resource, lease.holder, lease.token) for id, lease in heart.states["leases"].items("lease")
    }
    for size in (1, BATCH):
        batches, ids = [], iter(sorted(tokens))
        for _ in range(min(40, LEASES // size)):
            said = []
            for _ in range(size):
                id = next(ids)
                name, holder, token = tokens[id]
                said.append((rules.RENEWED, holder, {"lease": id, "resource": name, "token": token, "renewal": 1}))
            batches.append(rows_of(said, 0, now))
        now += 60_000 * MS
        began = time.process_time()
        for rows in batches:
            heart.step(rows, now)
        cost = (time.process_time() - began) / (len(batches) * size) * 1e6
        report(f"a renewal among them, in batches of {size}, processor", [cost], "µs each")
    due = heart.next_deadline() or now
    began, fired = time.process_time(), 0
    while (heart.next_deadline() or due + 1) <= due:
        heart.step(Tick(), due)
        fired += 1
    report("all timers of those renewed and not, processor", [(time.process_time() - began) / LEASES * 1e6], "µs each")
    report("  in inputs", [float(fired)], "")


def run(report: Report) -> None:
    """All of it."""
    many(report)
    with own_fleet(3) as (fleet, url):
        asyncio.run(on_a_fleet(fleet.data_dir, report))
        legs(url, report)
