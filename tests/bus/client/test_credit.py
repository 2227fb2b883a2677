"""The pool of credit: what is lent and out stays within it, nobody starves, and demand is followed."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bus.client.credit import CreditPool, Share

STEP = st.one_of(
    st.tuples(st.just("join"), st.integers(0, 11)),
    st.tuples(st.just("leave"), st.integers(0, 11)),
    st.tuples(st.just("deliver"), st.integers(0, 11), st.integers(1, 40)),
    st.tuples(st.just("deliver"), st.integers(0, 11), st.integers(1, 40)),
    st.tuples(st.just("end"), st.integers(0, 11), st.integers(1, 40)),
    st.tuples(st.just("lend")),
    st.tuples(st.just("lend"), st.just(True)),
    st.tuples(st.just("reclaim")),
    st.tuples(st.just("widen"), st.integers(1, 9)),
)


class Leaders:
    """What each partition's leader believes: the credit it has, with what is on its way to it counted at once."""

    def __init__(self, total: int, partitions: int) -> None:
        self.pool = CreditPool(total, partitions)
        self.shares = [Share(number) for number in range(partitions)]
        self.credit = [0] * partitions

    def join(self, number: int) -> None:
        self.credit[number] = self.pool.join(self.shares[number])
        self.pool.joined(self.shares[number])

    def leave(self, number: int) -> None:
        self.pool.leave(self.shares[number])
        self.credit[number] = 0

    def deliver(self, number: int, most: int) -> int:
        count = min(most, max(0, self.credit[number]))
        if count:
            self.credit[number] -= count
            self.pool.delivered(self.shares[number], count)
        return count

    def end(self, number: int, most: int) -> None:
        for _ in range(min(most, self.shares[number].out)):
            self.pool.ended(self.shares[number])

    def lend(self, small: bool = False) -> None:
        for share, more in self.pool.lend(small):
            assert more > 0
            self.credit[share.partition] += more

    def reclaim(self) -> None:
        for share, less in self.pool.reclaim(self.shares):
            assert less < 0
            self.credit[share.partition] += less

    def widen(self, more: int) -> None:
        self.pool.widen(more)

    def bounded(self) -> bool:
        return sum(share.out + max(0, share.granted) for share in self.shares) <= max(
            self.pool.total, len(self.shares)
        ) + len(self.shares)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 100), st.integers(1, 12), st.lists(STEP, max_size=80))
def test_what_is_lent_and_out_stays_within_the_pool(total: int, partitions: int, steps: list[tuple[Any, ...]]) -> None:
    world = Leaders(total, partitions)
    for number in range(partitions):
        world.join(number)
    for name, *arguments in steps:
        if arguments and name != "widen" and arguments[0] is not True and arguments[0] >= partitions:
            continue
        total += arguments[0] if name == "widen" else 0
        getattr(world, name)(*arguments)
        assert world.credit == [share.granted for share in world.shares]
        assert world.pool.free + sum(share.granted + share.out for share in world.shares) == world.pool.total == total
        assert world.bounded()
    for share in world.shares:
        world.end(share.partition, share.out)
        if not share.joined:
            world.join(share.partition)
    world.lend(small=True)
    assert all(credit > 0 for credit in world.credit), "each may say that it has work"


def run(world: Leaders, busy: list[int], rounds: int) -> None:
    """Rounds of: leaders of busy partitions send all they may, everything is settled, credit is lent."""
    for _ in range(rounds):
        for number in busy:
            world.deliver(number, world.credit[number])
        for number in busy:
            world.end(number, world.shares[number].out)
        world.lend()


def test_one_hot_partition_gets_nearly_all() -> None:
    world = Leaders(256, 12)
    for number in range(12):
        world.join(number)
    run(world, [3], 12)
    assert world.credit[3] > 256 * 0.7


def test_what_one_leaves_idle_moves_to_who_is_busy_now() -> None:
    world = Leaders(256, 12)
    for number in range(12):
        world.join(number)
    run(world, [3], 12)
    world.reclaim()
    for _ in range(3):
        run(world, [7], 4)
        world.deliver(3, 1)
        world.end(3, 1)
        world.reclaim()
        world.lend()
    assert world.credit[7] > 256 * 0.6
    assert 0 < world.credit[3] < 20, "an event now and then does not keep what it had"


def test_equally_busy_partitions_take_turns() -> None:
    world = Leaders(64, 12)
    for number in range(12):
        world.join(number)
    served = [0] * 12
    for _ in range(60):
        for number in range(12):
            served[number] += world.deliver(number, world.credit[number])
        for number in range(12):
            world.end(number, world.shares[number].out)
        world.lend()
    assert min(served) > 0.5 * max(served)


def test_partitions_beyond_in_flight_still_have_one_each() -> None:
    world = Leaders(2, 12)
    for number in range(12):
        world.join(number)
    assert world.credit == [1] * 12
    run(world, list(range(12)), 5)
    assert min(world.credit) == 1


def test_a_busy_pool_lends_no_crumbs() -> None:
    world = Leaders(256, 12)
    for number in range(12):
        world.join(number)
    run(world, list(range(12)), 12)
    pieces: list[int] = []
    for turn in range(200):
        number = turn % 12
        world.deliver(number, world.credit[number])
        world.end(number, world.shares[number].out)
        pieces += [more for _, more in world.pool.lend()]
        world.credit = [share.granted for share in world.shares]
    assert pieces and min(pieces) >= 256 // 4 // 4


def test_who_is_awaited_gets_one_more_though_nothing_is_left_and_much_of_it_is_out() -> None:
    world = Leaders(64, 4)
    for number in range(4):
        world.join(number)
    for _ in range(20):
        for number in range(4):
            world.deliver(number, world.credit[number])
        world.lend(small=True)
    assert world.pool.free <= 0 and all(share.out and not share.granted for share in world.shares)
    assert world.pool.lend() == [], "all is out, and all are content to wait"
    world.shares[3].awaited = True
    for _ in range(5):
        world.lend()
        assert world.credit == [0, 0, 0, 1], "one, and the next when that has come"
        world.deliver(3, 1)
    assert world.pool.free + sum(share.granted + share.out for share in world.shares) == 64


def test_who_has_nothing_gets_one_when_nothing_comes() -> None:
    world = Leaders(64, 4)
    for number in range(4):
        world.join(number)
    run(world, [0], 10)
    for share in world.shares[1:]:
        world.deliver(share.partition, world.credit[share.partition])
    world.lend(small=True)
    for share in world.shares[1:]:
        world.deliver(share.partition, world.credit[share.partition])
    assert world.pool.free <= 0 and world.credit[0] > 0, "the hot one has all that is left, and does not use it"
    world.end(1, world.shares[1].out)
    world.pool.free, stolen = 0, world.pool.free
    assert world.pool.lend() == []
    world.lend(small=True)
    assert world.credit[1] == 1
    world.pool.free += stolen
