"""What a group at one partition says of itself when it is sampled."""

from bus import limits
from bus.group import Group
from bus.groupstate import GroupState
from bus.wire import GroupSettings
from tests.bus.groupmodel import deliveries

SETTINGS = GroupSettings("a.>", -1, 1_000, 3)


def test_a_sample_says_what_the_group_is_and_who_holds_how_many() -> None:
    group = Group(GroupState("g", SETTINGS, 0), 0, fresh=True)
    for name in (f"m{n:02d}" for n in range(limits.GROUP_SAMPLE_MEMBERS_MAX + 5)):
        group.join(name, 3 if name == "m07" else 1, 0)
    group.feed(0, 100, (1 << 100) - 1, 0, 0)
    assert len(list(deliveries(group, 0))) == limits.GROUP_SAMPLE_MEMBERS_MAX + 7
    sample = group.sample(3, 0)
    assert sample.settings == SETTINGS and sample.members == limits.GROUP_SAMPLE_MEMBERS_MAX + 5
    assert next(iter(sample.holding.items())) == ("m07", 3)
    assert list(sample.holding.values()) == [3] + [1] * (limits.GROUP_SAMPLE_MEMBERS_MAX - 1)
