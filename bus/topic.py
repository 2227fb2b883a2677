"""Patterns over event types: the one truth about what matches. Pure.

A type is a topic: tokens separated by dots, none of them empty, none of them a wildcard. A pattern is the same with
wildcards: `*` stands for exactly one token, `>` for one or more tokens at the end. A wildcard is a whole token: in
`a*b` the star is a letter. Spaces are legal.

Types `signalbox.>` are reserved. A reader's pattern reaches them only when its first token is literally `signalbox`, so
that `>` means what agents said, or when the reader asks for internal ones too.
"""

import re
from functools import lru_cache
from itertools import compress

from bus.errors import InvalidPattern
from bus.limits import FILTER_TYPE_CHARS_MAX, FILTER_TYPES_CACHED_MAX, PATTERN_CHARS_MAX, PATTERN_TOKENS_MAX

NEVER_ROUTED = ("signalbox.", "agent.lifecycle.", "agent.inbox.", "dispatch.", "ballot.", "lease.")
"""How types begin that are addressed already, or nobody's work: these are not dispatched, whatever they require."""
RESERVED = "signalbox"
_RESERVED_PREFIX = RESERVED + "."
_LONE = re.compile(r"[\ud800-\udfff]")
"""Half of a character, which UTF-8 cannot say: no type has it."""


def is_pattern(text: str) -> bool:
    """Whether the text may be subscribed to."""
    tokens = text.split(".")
    return "" not in tokens and ">" not in tokens[:-1] and (text.isascii() or _LONE.search(text) is None)


def is_type(text: str) -> bool:
    """Whether the text may be published as a type: no empty token, no wildcard token."""
    if "*" not in text and ">" not in text:
        return text != "" and text[0] != "." and text[-1] != "." and ".." not in text
    tokens = text.split(".")
    return "" not in tokens and "*" not in tokens and ">" not in tokens


def is_reserved(type: str) -> bool:
    """Whether only patterns that begin with `signalbox`, or internal readers, reach this type."""
    return type.startswith(_RESERVED_PREFIX)


def check_pattern(text: str) -> None:
    """What a broker keeps patterns of: raises InvalidPattern for what is none, or is longer than it takes."""
    if not is_pattern(text):
        raise InvalidPattern(
            f"{text[:200]!r} is not a pattern: tokens between dots, `*` for one, `>` last for the rest"
        )
    if len(text) > PATTERN_CHARS_MAX or text.count(".") >= PATTERN_TOKENS_MAX:
        raise InvalidPattern(
            f"a pattern of {len(text)} characters and {text.count('.') + 1} tokens; {PATTERN_CHARS_MAX} and "
            f"{PATTERN_TOKENS_MAX} are possible, `>` stands for any number of further ones"
        )


def matches(pattern: str, type: str) -> bool:
    """Whether a type falls under a pattern. A text that is no type matches nothing. Raises InvalidPattern."""
    return _filter(pattern).accepts(type)


@lru_cache(maxsize=64)
def _filter(pattern: str) -> "Filter":
    return Filter(pattern, internal=True)


class Filter:
    """One pattern, made ready: it decides once for each distinct type and remembers.

    `internal` lets it reach reserved types whatever the pattern is.
    """

    def __init__(self, pattern: str, internal: bool = False) -> None:
        if not is_pattern(pattern):
            raise InvalidPattern(
                f"{pattern!r} is not a pattern: tokens between dots, `*` for one, `>` last for the rest"
            )
        self.pattern = pattern
        self.internal = internal
        tokens = pattern.split(".")
        self._open = tokens[-1] == ">"
        self._tokens = tokens[:-1] if self._open else tokens
        self._reserved = internal or tokens[0] == RESERVED
        self._known: dict[str, bool] = {}

    def accepts(self, type: str) -> bool:
        """Whether events of this type are meant."""
        known = self._known.get(type)
        if known is None:
            known = self._decide(type)
            if len(self._known) >= FILTER_TYPES_CACHED_MAX:
                self._known.clear()
            if len(type) <= FILTER_TYPE_CHARS_MAX:
                self._known[type] = known
        return known

    def types(self, types: list[str]) -> list[bool]:
        """One answer per type, in order."""
        return [self.accepts(type) for type in types]

    def rows(self, types: list[str], index: "bytes | list[int] | tuple[int, ...]") -> list[int]:
        """The rows of a batch that match: `types[index[row]]` is the type of a row."""
        wanted = self.types(types)
        if all(wanted):
            return list(range(len(index)))
        if not any(wanted):
            return []
        if isinstance(index, bytes):
            mask: bytes | list[bool] = index.translate(bytes(wanted) + bytes(256 - len(wanted)))
        else:
            mask = [wanted[place] for place in index]
        return list(compress(range(len(index)), mask))

    def bits(self, types: list[str], index: "bytes | list[int] | tuple[int, ...]") -> int:
        """The rows of a batch that match, as the bits of an int."""
        wanted = self.types(types)
        if all(wanted):
            return (1 << len(index)) - 1
        if not any(wanted):
            return 0
        digits = b"".join([b"1" if one else b"0" for one in wanted])
        if isinstance(index, bytes):
            mask = index.translate(digits + bytes(256 - len(digits)))
        else:
            mask = bytes([digits[place] for place in index])
        return int(mask[::-1], 2)

    def _decide(self, type: str) -> bool:
        if not self._reserved and is_reserved(type):
            return False
        if not is_type(type):
            return False
        tokens = type.split(".")
        if len(tokens) <= len(self._tokens) if self._open else len(tokens) != len(self._tokens):
            return False
        # The lengths were compared above; of an open pattern only the beginning is compared.
        return all(want in ("*", token) for want, token in zip(self._tokens, tokens, strict=False))
