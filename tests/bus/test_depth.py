"""How deep a JSON text is nested, against a plain reading of it."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.depth import is_deeper

values = st.recursive(
    st.none() | st.integers() | st.text('[]{}"\\\\ab'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('[{"\\\\', max_size=3), inner, max_size=3),
    max_leaves=20,
)


def depth(value: Any) -> int:
    inside = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inside is None else 1 + max(map(depth, inside), default=0)


@given(values)
def test_it_is_as_deep_as_it_is(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False).encode()
    assert [is_deeper(text, levels) for levels in range(8)] == [depth(value) > levels for levels in range(8)]


@pytest.mark.parametrize(
    ("text", "deep"),
    [
        (b"[" * 9, True), (b"]" * 9 + b"[" * 9, False), (b'"' + b"[" * 9, False), (b'"\\', False), (b"", False),
        (b'"a" ' + b"[" * 9, True), (b'"\\"' + b"[" * 9, False), (b"[{" * 3, True), (b"[] " * 9, False),
    ],
)  # fmt: skip
def test_of_what_is_no_json_it_is_how_deep_a_decoder_may_come(text: bytes, deep: bool) -> None:
    assert is_deeper(text, 4) is deep


def test_nothing_takes_long() -> None:
    size = 1 << 19
    began = time.process_time()
    for text in (b'"' + b'\\"' * size, b"[" * size, b'"a"' * size, b'\\"' * size):
        is_deeper(b"[" * 5 + text, 4)
    assert time.process_time() - began < 5
