"""Groups by transcript: each `> command` drives the machine, the lines under it are what it says.

The format is told at the head of `group_deliver.txt`. `--rewrite` writes what the machine says now into the files; read
the diff before keeping it.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from bus.bitmap import bits_of
from bus.companion import Companion
from bus.errors import CorruptRecord
from bus.group import Group
from bus.groupsettings import changed
from bus.groupstate import Delta, GroupState, decode_deltas, encode_deltas
from bus.wire import GroupSettings, Settlement
from tests.bus.groupmodel import deliveries
from tests.transcripts import check, files

FILES = files("group")
SECOND = 1_000_000_000


class Stage:
    """A group, its committed state, and a clock that only `wait` moves. Times are in seconds."""

    def __init__(self) -> None:
        self.now = 0
        self.index = 0
        self.companion = Companion()
        self.group = self.define("5", "3")

    def define(self, ack_wait: str, max_deliver: str, order: str = "none") -> Group:
        settings = GroupSettings("order.>", -1, int(float(ack_wait) * 1_000), int(max_deliver), order)
        return Group(GroupState("g", settings, 0), self.now, fresh=True)

    def run(self, line: str) -> list[str]:
        verb, *words = line.split()
        options = dict(word.split("=", 1) for word in words if "=" in word)
        command: Callable[..., list[str]] = getattr(self, f"do_{verb}")
        return command(*[word for word in words if "=" not in word], **options) + self.said()

    def do_define(self, ack_wait: str = "5", max_deliver: str = "3", order: str = "none") -> list[str]:
        self.group = self.define(ack_wait, max_deliver, order)
        return []

    def do_join(self, member: str, credit: str = "10", holds: str = "", since: str = "0") -> list[str]:
        held = {int(offset): int(attempt) for offset, attempt in (one.split("#") for one in holds.split(",") if one)}
        self.group.join(member, int(credit), self.now, held, int(since))
        return []

    def do_leave(self, member: str) -> list[str]:
        self.group.leave(member, self.now)
        return []

    def do_lose(self, member: str) -> list[str]:
        self.group.leave(member, self.now, lost=True)
        return []

    def do_credit(self, member: str, more: str) -> list[str]:
        self.group.credit(member, int(more))
        return []

    def do_feed(self, base: str, count: str, rows: str = "all", expires: str = "") -> list[str]:
        meant = list(range(int(count))) if rows == "all" else [int(row) for row in rows.split(",") if row]
        until = {row: int(float(expires) * SECOND) for row in meant} if expires else {}
        return [
            f"cursor {self.group.feed(int(base), int(count), bits_of(meant, int(count)), self.now, self.now, until)}"
        ]

    def do_wait(self, seconds: str) -> list[str]:
        self.now += int(float(seconds) * SECOND)
        self.group.tick(self.now)
        return []

    def settle(self, member: str, verdict: str, deliveries: str, delay: str = "0", error: str = "") -> list[str]:
        items = []
        for one in deliveries.split(","):
            offset, attempt = one.split("#")
            items.append(Settlement(int(offset), int(attempt), verdict, int(float(delay) * 1_000), error))
        stale = self.group.settle(member, items, self.now)
        return [f"stale {offset}: {why}" for offset, why in stale.items()]

    def do_ack(self, member: str, deliveries: str) -> list[str]:
        return self.settle(member, "ack", deliveries)

    def do_nack(self, member: str, deliveries: str, delay: str = "0", error: str = "") -> list[str]:
        return self.settle(member, "nack", deliveries, delay, error)

    def do_terminate(self, member: str, deliveries: str, error: str = "") -> list[str]:
        return self.settle(member, "terminate", deliveries, error=error)

    def do_begin(self, member: str, deliveries: str) -> list[str]:
        return self.settle(member, "begin", deliveries)

    def do_commit(self) -> list[str]:
        """All that is logged is committed; of orders that span partitions: how far this one is."""
        self.group.committed(self.index, self.now)
        return [f"settled below {self.group.progress(self.group.cursor)[0]}"]

    def do_bury(self) -> list[str]:
        """What a leader does with each dead letter: one record that holds the letter and the group's advance."""
        said = []
        for dead in self.group.dead(10):
            self.group.bury([dead.offset])
            said.append(f"letter {dead.offset} {dead.reason}")
            said += [
                f"  attempt {one.attempt} {one.how} by {one.member} after {one.took_ms} ms: {one.error}"
                for one in dead.attempts
            ]
        return said

    def do_log(self) -> list[str]:
        """Append what there is to log, and commit it."""
        delta = self.group.delta()
        if delta is None:
            return ["nothing to log"]
        if delta.settings is None and "g" not in self.companion.groups:
            with pytest.raises(CorruptRecord, match="not defined"):
                self.companion.apply(self.index, encode_deltas([delta]))
            return ["does not fit: the group is not defined"]
        self.companion.apply(self.index, encode_deltas([delta]))
        self.group.logged(self.index)
        self.index += 1
        return [self.show(decode_deltas(encode_deltas([delta]))[0])]

    def do_change(self, ack_wait: str = "", max_deliver: str = "") -> list[str]:
        """An operator's new settings."""
        changes = {"ack_wait_ms": int(float(ack_wait) * 1_000)} if ack_wait else {}
        changes |= {"max_deliver": int(max_deliver)} if max_deliver else {}
        self.group.change(changed("g", self.group.settings, changes))
        return []

    def do_remove(self) -> list[str]:
        """What a leader does when an operator removes the group: one record, and no other of it any more."""
        self.companion.apply(self.index, encode_deltas([self.group.removal()]))
        self.index += 1
        return [f"groups: {', '.join(self.companion.groups) or 'none'}"]

    def do_failover(self) -> list[str]:
        """The leader dies with all that it had not committed; a new one starts from the committed state."""
        if "g" not in self.companion.groups:
            return ["there is no such group"]
        self.group = Group(self.companion.groups["g"], self.now)
        return []

    def do_sample(self, high: str) -> list[str]:
        sample = self.group.sample(0, max(0, int(high) - self.group.cursor))
        fields = ("members", "floor", "waiting", "in_flight", "delivered", "acked", "failed", "dead", "latency")
        return [" ".join(f"{field}={getattr(sample, field)}" for field in fields)]

    def show(self, delta: Delta) -> str:
        parts = [f"log upto={delta.upto}"]
        if delta.settings is not None:
            governed = ",".join(f"{name}={getattr(delta.settings, name)}" for name in delta.settings.governed)
            parts.append(f"set {governed}" if governed else "defined")
        parts += [f"opened={','.join(map(str, part.runs))}" for part in delta.opened]
        if delta.closed:
            parts.append(f"closed={','.join(map(str, delta.closed))}")
        parts += [f"failed={one.offset}#{one.ended.attempt}" for one in delta.failed]
        return " ".join(parts)

    def said(self) -> list[str]:
        by_member: dict[str, list[str]] = {}
        for member, offset, attempt in deliveries(self.group, self.now):
            by_member.setdefault(member, []).append(f"{offset}#{attempt}")
        said = [f"{member} <- {' '.join(sent)}" for member, sent in by_member.items()]
        return said + [f"dead {dead.offset} {dead.reason}" for dead in self.group.dead(10)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_machine_says_what_the_transcript_says(path: Path, rewrite: bool) -> None:
    check(path, Stage().run, rewrite)


def test_there_are_transcripts() -> None:
    assert len(FILES) >= 6
