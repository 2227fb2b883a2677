"""UUIDv7 as text (RFC 9562). Pure: the time and the dice are handed in; `bus.ids` throws them."""

LOW_BITS = 74
"""Bits below the timestamp: a counter, random bits, or both."""


def uuid7(ms: int, counter_and_random: int) -> str:
    """The text of a UUIDv7 of a Unix time in milliseconds (48 bits) and `LOW_BITS` further bits; both are cut to size.

    Texts of one length sort as (ms, counter_and_random) do.
    """
    low = counter_and_random & ((1 << LOW_BITS) - 1)
    value = (ms & 0xFFFF_FFFF_FFFF) << 80 | 7 << 76 | (low >> 62) << 64 | 2 << 62 | low & ((1 << 62) - 1)
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
