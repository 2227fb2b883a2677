"""The subscription trie: which of many patterns a type falls under, at the cost of those that match. Pure.

A node stands for the tokens on the way to it; `*` is a child like any other, as no type has such a token. A type walks
down along its own tokens and the stars beside them, so that patterns that differ from it are not looked at. What a type
led to is remembered until subscriptions change, TRIE_MATCHES_CACHED_MAX in all: one walk for each distinct type.

`bus.topic` says what matches; this gives the same answers (tests/bus/test_trie.py holds the two against each other).
"""

from typing import Generic, TypeVar

from bus.limits import FILTER_TYPE_CHARS_MAX, TRIE_MATCHES_CACHED_MAX
from bus.topic import is_reserved, is_type

Subscription = TypeVar("Subscription")


class _Node(Generic[Subscription]):
    """`here`: patterns that end at this node; `rest`: those that go on with `>`. In the order of subscribing."""

    __slots__ = ("children", "here", "rest")

    def __init__(self) -> None:
        self.children: dict[str, _Node[Subscription]] = {}
        self.here: dict[Subscription, None] = {}
        self.rest: dict[Subscription, None] = {}


class Trie(Generic[Subscription]):
    """Subscriptions (hashable, each under one pattern) by pattern. `internal` ones reach reserved types with any."""

    def __init__(self) -> None:
        self._roots: tuple[_Node[Subscription], _Node[Subscription]] = (_Node(), _Node())
        self._known: dict[str, tuple[Subscription, ...]] = {}
        self._room = TRIE_MATCHES_CACHED_MAX

    def add(self, pattern: str, subscription: Subscription, internal: bool = False) -> None:
        """Subscribe. The pattern is one: see `bus.topic.is_pattern`."""
        node = self._roots[internal]
        tokens, opened = _tokens(pattern)
        for token in tokens:
            child = node.children.get(token)
            if child is None:
                child = node.children[token] = _Node()
            node = child
        (node.rest if opened else node.here)[subscription] = None
        self._forget()

    def remove(self, pattern: str, subscription: Subscription, internal: bool = False) -> None:
        """Take back what was added just so; KeyError when nothing was. Nodes that nobody needs go, too."""
        tokens, opened = _tokens(pattern)
        way = [self._roots[internal]]
        for token in tokens:
            way.append(way[-1].children[token])
        del (way[-1].rest if opened else way[-1].here)[subscription]
        for token, parent in zip(reversed(tokens), reversed(way[:-1]), strict=True):
            node = parent.children[token]
            if node.children or node.here or node.rest:
                break
            del parent.children[token]
        self._forget()

    def match(self, type: str) -> tuple[Subscription, ...]:
        """Those whose pattern the type falls under. A text that is no type matches nothing."""
        known = self._known.get(type)
        if known is not None:
            return known
        found = tuple(self._walk(type)) if is_type(type) else ()
        if len(type) <= FILTER_TYPE_CHARS_MAX and len(found) < TRIE_MATCHES_CACHED_MAX:
            if self._room <= len(found):
                self._forget()
            self._room -= 1 + len(found)
            self._known[type] = found
        return found

    def _forget(self) -> None:
        if self._known:
            self._known.clear()
            self._room = TRIE_MATCHES_CACHED_MAX

    def _walk(self, type: str) -> list[Subscription]:
        plain, internal = self._roots
        found: list[Subscription] = []
        first, *others = type.split(".")
        if is_reserved(type):
            level = self._step([internal], first, found)
            if (named := plain.children.get(first)) is not None:
                level.append(named)  # by its name, not by the wildcards beside it
        else:
            level = self._step([internal, plain], first, found)
        for token in others:
            level = self._step(level, token, found)
        for node in level:
            found += node.here
        return found

    def _step(
        self, level: list[_Node[Subscription]], token: str, found: list[Subscription]
    ) -> list[_Node[Subscription]]:
        """The nodes that one more token leads to; `found` takes the subscriptions that end here with `>`."""
        below = []
        for node in level:
            found += node.rest
            for key in (token, "*"):
                if (child := node.children.get(key)) is not None:
                    below.append(child)
        return below


def _tokens(pattern: str) -> tuple[list[str], bool]:
    """The tokens that are compared one by one, and whether `>` stands behind them."""
    tokens = pattern.split(".")
    return (tokens[:-1], True) if tokens[-1] == ">" else (tokens, False)
