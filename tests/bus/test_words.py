"""Counts and durations in sentences."""

from bus.words import lasting, many

SECOND = 1_000_000_000


def test_one_is_not_many() -> None:
    assert [many(count, "event") for count in (0, 1, 1_200)] == ["0 events", "1 event", "1,200 events"]
    assert (many(1, "mail waits", "mails wait"), many(2, "mail waits", "mails wait")) == (
        "1 mail waits",
        "2 mails wait",
    )


def test_a_duration_has_one_unit_that_suits_it() -> None:
    told = [lasting(round(seconds * SECOND)) for seconds in (0, 0.55, 9.99, 30, 119.9, 120, 7_199, 7_200, 7_200_000)]
    assert told == ["0.1 s", "0.5 s", "9.9 s", "30 s", "119 s", "2 min", "119 min", "2 h", "2,000 h"]
