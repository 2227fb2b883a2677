"""A brute-force model of a group at one partition, and a world that runs the machine beside it.

The world is a log of events (matched or not, some expiring), a committed state that replicas share, a queue of deltas
that are appended and not committed, and members that remember what they were given. A leader change throws away the
leader and some of the queue. The model is three sets of offsets: what was acked, what was buried, and what of that is
committed. It checks every step; `finish` checks that all that matched ends, once.
"""

from msgspec.structs import replace

from bus import limits
from bus.bitmap import bits_of, places
from bus.companion import Companion
from bus.group import Group
from bus.groupstate import Delta, GroupState, decode_deltas, encode_deltas
from bus.keys import tag_of
from bus.runs import pairs, runs_of
from bus.wire import GroupSettings, Settlement

SECOND = 1_000_000_000
ACK_WAIT = 5 * SECOND
MAX_DELIVER = 3
SETTINGS = GroupSettings(">", -1, ACK_WAIT // 1_000_000, MAX_DELIVER)
STRICT = replace(SETTINGS, order="strict")
KEYS = 3
PRIORITIES = (None, "high", "low", "medium")


def deliveries(group: Group, now: int) -> list[tuple[str, int, int]]:
    """(member, offset, attempt) of what a group deals, one by one."""
    return [
        (dealt.member, dealt.base + place, dealt.attempt) for dealt in group.deal(now) for place in places(dealt.bits)
    ]


class World:
    """One partition and one group of it. Every public method is a step that may happen at any time."""

    def __init__(self, settings: GroupSettings = SETTINGS) -> None:
        self.settings = settings
        self.now = 1_000 * SECOND
        self.batches: list[tuple[int, int, list[int], int, dict[int, int]]] = []
        self.end = 0
        self.matched: set[int] = set()
        self.expires: dict[int, int] = {}
        self.committed = Companion()
        self.appended = 0
        self.queue: list[tuple[bytes, frozenset[int]]] = []
        self.letters: dict[int, int] = {}
        self.members: dict[str, dict[int, int]] = {}
        self.group = Group(GroupState("g", settings, 0), self.now, fresh=True)
        self._begin_reign()
        self.ever_acked: set[int] = set()

    def _begin_reign(self) -> None:
        state = self.committed.groups.get("g")
        self.open_at_start = set(state.open) if state else set()
        self.upto_at_start = state.upto if state else 0
        self.settled: set[int] = set()
        self.attempts: dict[int, int] = {}
        self.given: set[tuple[str, int, int]] = set()
        self.granted: dict[str, int] = {}
        self.overlay = Companion.restore(self.committed.snapshot())

    # ---- steps

    def append(self, count: int, meant: int, expiring: int) -> None:
        """A batch is committed to the partition; `meant` and `expiring` are bit masks over its rows."""
        rows = [row for row in range(count) if meant >> row & 1]
        expires = {row: self.now + 3 * SECOND for row in rows if expiring >> row & 1}
        self.batches.append((self.end, count, rows, self.now, expires))
        self.expires |= {self.end + row: until for row, until in expires.items()}
        self.matched |= {self.end + row for row in rows}
        self.end += count

    def read(self) -> None:
        """The edge reads one batch, if the group wants any."""
        wants = self.group.wants()
        if wants is None:
            return
        cursor, most = wants
        assert 0 < most <= self.group.room
        for base, count, rows, appended, expires in self.batches:
            if base <= cursor < base + count:
                tags = None
                if self.strict:
                    tags = {row: tag_of((base + row) % KEYS, PRIORITIES[(base + row) % 4], False) for row in rows}
                meant = bits_of(rows, count)
                assert self.group.feed(base, count, meant, appended, self.now, expires, tags) > cursor
                return

    def join(self, member: str, credit: int, report: bool) -> None:
        """A member comes (again); on a new session it may report what it still holds."""
        holds = dict(self.members.get(member, {})) if report else {}
        self.members.setdefault(member, {})
        self.group.join(member, credit, self.now, holds)
        self.granted[member] = credit

    def leave(self, member: str, lost: bool) -> None:
        if member in self.granted:
            self.group.leave(member, self.now, lost)
            del self.granted[member]

    def credit(self, member: str, more: int) -> None:
        if member in self.granted:
            self.group.credit(member, more)
            self.granted[member] += more

    def deliver(self) -> None:
        for member, offset, attempt in deliveries(self.group, self.now):
            assert offset in self.matched
            assert self.now < self.expires.get(offset, self.now + 1), "delivered after it expired"
            assert offset not in self.settled, "delivered after it was settled here"
            assert self.in_play(offset), "delivered though it was settled for good before this leader"
            assert not self.strict or not self.before(offset), "overtook an event of its key"
            assert attempt > self.attempts.get(offset, 0), "attempts go up"
            self.attempts[offset] = attempt
            self.given.add((member, offset, attempt))
            assert self.granted[member] > 0, "over its credit"
            self.granted[member] -= 1
            self.members[member][offset] = attempt

    def settle(self, member: str, verdict: str, pick: int, older: bool) -> None:
        """A member settles one of what it holds, or an older attempt of it."""
        held = self.members.get(member)
        if not held:
            return
        offset = sorted(held)[pick % len(held)]
        attempt = held[offset] - 1 if older else held[offset]
        gone = offset in self.settled
        stale = self.group.settle(member, [Settlement(offset, attempt, verdict, 1_000 * (pick % 3))], self.now)
        if older:
            return
        del held[offset]
        if verdict == "ack" and not stale:
            self.told(member, offset, attempt, gone)

    def acks(self, member: str, mask: int, stretch: bool) -> None:
        """A member acks some of what it holds: first attempts as runs; with `stretch` these reach over what lies
        between, whoever has it. The others one by one."""
        held = self.members.get(member)
        if not held:
            return
        picked = [offset for place, offset in enumerate(sorted(held)) if mask >> place & 1]
        first = [offset for offset in picked if held[offset] == 1]
        if stretch and first:
            first = list(range(first[0], first[-1] + 1))
        items = [Settlement(offset, held[offset], "ack") for offset in picked if held[offset] > 1]
        items = [item for item in items if item.offset not in first]
        gone = set(self.settled)
        stale = self.group.settle(member, items, self.now, pairs(runs_of(first), limits.GROUP_IN_FLIGHT_MAX))
        for offset, attempt in [*((one, 1) for one in first), *((item.offset, item.attempt) for item in items)]:
            if held.get(offset) == attempt:
                del held[offset]
            if offset not in stale:
                self.told(member, offset, attempt, offset in gone)

    def told(self, member: str, offset: int, attempt: int, gone: bool) -> None:
        """A member was told that its ack holds."""
        assert offset not in self.letters, "told that the ack of a dead event holds"
        if gone or not self.in_play(offset) or offset not in self.matched:
            return
        if not self.group.reporting(self.now):
            assert (member, offset, attempt) in self.given or attempt > self.attempts.get(offset, 0), "never had it"
            assert self.attempts.get(offset, attempt) == attempt, "another attempt has begun"
        self.settled.add(offset)
        self.ever_acked.add(offset)

    def wait(self, seconds: int) -> None:
        self.now += seconds * SECOND
        self.group.tick(self.now)
        due = self.group.next_deadline(self.now)
        assert due is None or due > self.now, "a deadline that has passed was not served"

    def log(self, bury: int) -> None:
        """A turn's record: the delta, and the dead letters of up to `bury` events with it."""
        letters = [dead.offset for dead in self.group.dead(bury)]
        self.group.bury(letters)
        assert not self.settled & set(letters), "an acked event died"
        assert all(map(self.in_play, letters)), "died though it was settled for good before this leader"
        self.settled |= set(letters)
        delta = self.group.delta()
        if delta is None:
            assert not letters
            return
        payload = encode_deltas([delta])
        assert decode_deltas(payload) == [delta]
        self.queue.append((payload, frozenset(letters)))
        self.group.logged(self.appended + len(self.queue) - 1)
        self.overlay.apply(self.overlay.applied, payload)
        self.check(delta)

    def commit(self, records: int) -> None:
        for payload, letters in self.queue[:records]:
            self.committed.apply(self.appended, payload)
            self.appended += 1
            for offset in letters:
                self.letters[offset] = self.letters.get(offset, 0) + 1
        del self.queue[:records]
        self.committed = Companion.restore(self.committed.snapshot())
        self.group.committed(self.appended, self.now)

    def failover(self, surviving: int) -> None:
        """Another leader: of what was not committed, some records survive, always the first ones."""
        self.commit(surviving)
        self.queue.clear()
        state = self.committed.groups.get("g")
        fresh = state is None
        self.group = Group(state or GroupState("g", self.settings, 0), self.now, fresh=fresh)
        self._begin_reign()

    # ---- checks

    @property
    def strict(self) -> bool:
        return self.settings.order == "strict"

    def before(self, offset: int) -> set[int]:
        """Earlier events of its key of which it is not committed that they are settled."""
        state = self.committed.groups.get("g") or GroupState("g", self.settings, 0)
        earlier = {other for other in self.matched if other < offset and (offset - other) % KEYS == 0}
        return {other for other in earlier if state.is_open(other) or other >= state.upto}

    def in_play(self, offset: int) -> bool:
        """Whether this leader has read it and it was not settled for good before."""
        return offset in self.open_at_start or self.upto_at_start <= offset < self.group.cursor

    def check(self, delta: Delta) -> None:
        """What is durable, once all records commit, equals the live state, and the brute-force one."""
        state = self.group.state()
        assert self.overlay.groups["g"] == state
        assert state.upto == delta.upto == self.group.cursor
        fed = {offset for offset in self.matched if self.upto_at_start <= offset < state.upto}
        assert set(state.open) == (self.open_at_start | fed) - self.settled

    def finish(self) -> None:
        """One good member comes, and everything that matched ends: acked, or as one dead letter, and once."""
        for member in list(self.granted):
            self.leave(member, lost=True)
        self.members.clear()
        self.join("good", 10_000, report=False)
        for _ in range(2 * len(self.batches) + 20 + self.strict * len(self.matched)):
            self.wait(2)
            self.read()
            self.deliver()
            self.acks("good", -1, stretch=False)
            self.log(100)
            if self.strict:
                self.commit(len(self.queue))
        self.commit(len(self.queue))
        state = self.committed.groups["g"]
        assert self.group.cursor == self.end, "it has read everything"
        assert not state.open, "everything is settled"
        assert set(self.letters.values()) <= {1}, "one letter each"
        assert self.matched == self.ever_acked | set(self.letters), "nothing was skipped"
