"""The subscription trie against the one truth about patterns, one by one; and NATS's own vectors."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bus.errors import InvalidPattern
from bus.limits import PATTERN_CHARS_MAX, PATTERN_TOKENS_MAX
from bus.topic import Filter, check_pattern, is_pattern
from bus.trie import Trie

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "subject_match.json").read_text())
tokens = st.sampled_from(["a", "b", "a b", "signalbox", "*", ">", "a*", ">>", ""])
texts = st.lists(tokens, min_size=1, max_size=5).map(".".join)
patterns = texts.filter(is_pattern)
ASKED = ["a", "a.b", "a.b.a", "b.a*", "signalbox", "signalbox.a", "signalbox.a.b", "a b.>>", "a..b", "*", "a.>"]


class Subscribing(RuleBasedStateMachine):
    """Subscriptions come and go; every answer is the brute force's."""

    def __init__(self) -> None:
        super().__init__()
        self.trie: Trie[int] = Trie()
        self.held: dict[int, Filter] = {}
        self.number = 0

    @rule(pattern=patterns, internal=st.booleans())
    def subscribe(self, pattern: str, internal: bool) -> None:
        self.number += 1
        self.held[self.number] = Filter(pattern, internal)
        self.trie.add(pattern, self.number, internal)

    @rule(data=st.data())
    def unsubscribe(self, data: st.DataObject) -> None:
        if self.held:
            number = data.draw(st.sampled_from(sorted(self.held)))
            gone = self.held.pop(number)
            self.trie.remove(gone.pattern, number, gone.internal)

    @rule(type=texts)
    def ask(self, type: str) -> None:
        for _ in range(2):  # from the walk, and from memory
            found = self.trie.match(type)
            assert len(found) == len(set(found))
            assert set(found) == {number for number, one in self.held.items() if one.accepts(type)}

    @invariant()
    def answers(self) -> None:
        for type in ASKED:
            assert set(self.trie.match(type)) == {number for number, one in self.held.items() if one.accepts(type)}

    @invariant()
    def nothing_is_left_of_who_left(self) -> None:
        if not self.held:
            assert not any(root.children or root.here or root.rest for root in self.trie._roots)


TestSubscribing = Subscribing.TestCase


@pytest.mark.parametrize("case", VECTORS["nats_match"], ids=lambda case: f"{case['pattern']} {case['subject']}")
def test_nats_match(case: dict[str, object]) -> None:
    trie: Trie[str] = Trie()
    trie.add(str(case["pattern"]), "one", internal=True)
    assert trie.match(str(case["subject"])) == (("one",) if case["match"] else ())


@given(patterns, patterns)
def test_what_was_not_added_cannot_be_removed(pattern: str, other: str) -> None:
    trie: Trie[int] = Trie()
    trie.add(pattern, 1)
    with pytest.raises(KeyError):
        trie.remove(other, 2)
    with pytest.raises(KeyError):
        trie.remove(pattern, 1, internal=True)
    trie.remove(pattern, 1)


def test_a_trie_forgets_rather_than_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.trie.TRIE_MATCHES_CACHED_MAX", 12)
    trie: Trie[int] = Trie()
    trie.add("a.*", 1)
    trie.add("a.>", 2)
    for number in range(50):
        assert set(trie.match(f"a.{number}")) == {1, 2}
        assert sum(1 + len(found) for found in trie._known.values()) <= 12
    long = "a." + "x" * 2_000
    assert set(trie.match(long)) == {1, 2} and long not in trie._known
    for number in range(3, 20):
        trie.add("b", number)
    assert len(trie.match("b")) == 17 and "b" not in trie._known, "more than there is room for is walked to each time"


def test_a_deep_type_takes_no_stack_and_stars_no_time() -> None:
    trie: Trie[int] = Trie()
    for number in range(PATTERN_TOKENS_MAX - 1):
        trie.add(".".join(["*"] * (number + 1)), number)
        trie.add(".".join(["a"] * (number + 1)), -number - 1)
        trie.add(".".join([*["a", "*"] * (number // 2), ">"]), 1_000 + number)
    assert set(trie.match(".".join(["a"] * 20))) >= {19, -20}
    assert trie.match(".".join(["a"] * 100_000))


def test_what_a_broker_keeps_no_pattern_of() -> None:
    for fine in (">", "a.*", ".".join(["a"] * PATTERN_TOKENS_MAX), "x" * PATTERN_CHARS_MAX):
        check_pattern(fine)
    for bad in ("", "a..b", ">.a", ".".join(["a"] * (PATTERN_TOKENS_MAX + 1)), "x" * (PATTERN_CHARS_MAX + 1)):
        with pytest.raises(InvalidPattern):
            check_pattern(bad)
