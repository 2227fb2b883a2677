"""Who acked what lately: against sets of offsets."""

from hypothesis import given
from hypothesis import strategies as st

from bus.recent import BLOCK_OFFSETS, Recent

ACKS = st.lists(
    st.tuples(st.sampled_from("mno"), st.integers(0, 6 * BLOCK_OFFSETS), st.integers(1, 1 << 2 * BLOCK_OFFSETS)),
    max_size=12,
)


@given(acks=ACKS)
def test_everyone_is_known_by_what_they_acked(acks: list[tuple[str, int, int]]) -> None:
    recent = Recent(1 << 40)
    by: dict[int, str] = {}
    for member, base, bits in acks:
        fresh = [base + place for place in range(bits.bit_length()) if bits >> place & 1 and base + place not in by]
        recent.add(member, base, sum(1 << offset - base for offset in fresh))
        by |= dict.fromkeys(fresh, member)
    assert len(recent) == len(by)
    assert {offset: recent.member(offset) for offset in range(9 * BLOCK_OFFSETS) if recent.member(offset)} == by


def test_the_block_that_was_begun_first_goes() -> None:
    recent = Recent(BLOCK_OFFSETS)
    for offset in range(3 * BLOCK_OFFSETS):
        recent.add("m", offset, 1)
        assert len(recent) <= BLOCK_OFFSETS
        assert recent.member(offset) == "m"
    assert recent.member(0) == "" and recent.member(3 * BLOCK_OFFSETS - 1) == "m"


def test_one_block_alone_stays_whatever_it_holds() -> None:
    recent = Recent(10)
    recent.add("m", 0, (1 << 100) - 1)
    assert recent.member(99) == "m" and recent.member(100) == ""
