"""One broker's life, as a table of transitions. Pure; the fleet fold keeps the records.

| state | means | leaves it |
|---|---|---|
| starting | it was told to start | BrokerStarted: up; BROKER_START_MS_MAX: BrokerLost, down |
| up | it answers | BrokerLost: down; BROKER_SILENT_MS_MAX without a sample: silent; BrokerStopped: stopped |
| silent | its process may live, and it leads nothing | a sample: up; BrokerLost: down |
| fenced | it answers with another broker's store, a copy: it is told nothing | BrokerStarted: up; BrokerLost: down |
| down | it is gone, and will be restarted at `retry_at` | then: starting |
| stopped | it was ended on purpose | a plane that starts: starting |

Restarts back off: 200 ms, doubled each time up to 30 s; a stable minute begins anew. A broker that was joined at an
address is nobody's to restart here: while it is down it is dialled, and BrokerStarted brings it up.
"""

import msgspec

from controlplane.limits import (
    BROKER_SILENT_MS_MAX,
    BROKER_START_MS_MAX,
    RESTART_BACKOFF_MS_MAX,
    RESTART_BACKOFF_MS_MIN,
    RESTART_STABLE_MS,
)

MS = 1_000_000
STARTING, UP, SILENT, DOWN, STOPPED, FENCED = "starting", "up", "silent", "down", "stopped", "fenced"


class Broker(msgspec.Struct, frozen=True, array_like=True):
    """`since`, `position`: when and where it came into its state. `attempt`: of restarting, from 1; 0 while well.

    `due` is its next deadline, 0 for none; `sampled` the instant of its newest sample, 0 before any. `dial` is where it
    was joined; "" for one that the plane starts itself.
    """

    id: str
    state: str
    since: int
    position: int
    due: int
    pid: int = 0
    store: str = ""
    url: str = ""
    attempt: int = 0
    restarts: int = 0
    retry_at: int = 0
    sampled: int = 0
    why: str = ""
    dial: str = ""

    @property
    def joined(self) -> bool:
        """Whether somebody else started it: its process is not the plane's to start or end."""
        return bool(self.dial)


def backoff_ns(attempt: int) -> int:
    """How long to wait before restart number `attempt`, from 1."""
    doubled = RESTART_BACKOFF_MS_MIN << min(attempt - 1, 20)
    return min(doubled, RESTART_BACKOFF_MS_MAX) * MS


def begin(broker: Broker | None, id: str, now: int, position: int) -> Broker:
    """It was told to start."""
    due = now + BROKER_START_MS_MAX * MS
    if broker is None:
        return Broker(id, STARTING, now, position, due)
    return msgspec.structs.replace(broker, state=STARTING, since=now, position=position, due=due, retry_at=0)


def joined(broker: Broker | None, id: str, dial: str, now: int, position: int) -> Broker:
    """It was added, at an address or to be started here."""
    return msgspec.structs.replace(begin(broker, id, now, position), dial=dial, attempt=0, why="")


def fenced(broker: Broker, now: int, position: int, why: str) -> Broker:
    """It answers, and is not to be trusted. Its own store, if it ever had one, stays on record."""
    return msgspec.structs.replace(
        broker, state=FENCED, since=now, position=position, due=0, pid=0, retry_at=0, why=why
    )


def started(broker: Broker, now: int, position: int, pid: int, store: str, url: str) -> Broker:
    """It answers."""
    return msgspec.structs.replace(
        broker,
        state=UP,
        since=now,
        position=position,
        due=now + BROKER_SILENT_MS_MAX * MS,
        pid=pid,
        store=store,
        url=url,
        retry_at=0,
        why="",
    )


def sampled(broker: Broker, now: int) -> Broker:
    """A sample came: it is not silent."""
    if broker.state != UP:
        return broker
    return msgspec.structs.replace(broker, due=now + BROKER_SILENT_MS_MAX * MS, sampled=now)


def heard(broker: Broker, now: int, position: int) -> Broker:
    """A silent one answers again."""
    due = now + BROKER_SILENT_MS_MAX * MS
    return msgspec.structs.replace(broker, state=UP, since=now, position=position, due=due, sampled=now, why="")


def silent(broker: Broker, now: int, position: int, why: str) -> Broker:
    """It has not answered for too long."""
    return msgspec.structs.replace(broker, state=SILENT, since=now, position=position, due=0, why=why)


def lost(broker: Broker, now: int, position: int, why: str) -> Broker:
    """Its process is gone."""
    stable = broker.state == UP and now - broker.since >= RESTART_STABLE_MS * MS
    attempt = 0 if broker.joined else 1 if stable else broker.attempt + 1
    return msgspec.structs.replace(
        broker, state=DOWN, since=now, position=position, due=0, pid=0, attempt=attempt, retry_at=0, why=why
    )


def stopped(broker: Broker, now: int, position: int) -> Broker:
    """It was ended on purpose."""
    return msgspec.structs.replace(
        broker, state=STOPPED, since=now, position=position, due=0, pid=0, attempt=0, retry_at=0, why=""
    )


def rested(broker: Broker, now: int) -> Broker:
    """The plane itself stood still: deadlines begin anew."""
    if broker.state == UP:
        return msgspec.structs.replace(broker, due=now + BROKER_SILENT_MS_MAX * MS)
    if broker.state == STARTING:
        return msgspec.structs.replace(broker, due=now + BROKER_START_MS_MAX * MS)
    return broker
