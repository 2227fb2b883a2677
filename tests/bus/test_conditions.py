"""Conditions of content rules: what they see, what is refused before it is kept, and that they come out alike."""

import inspect
import json
import subprocess
import sys
import time
from typing import Any

import pytest

from bus.conditions import Condition, view_of
from bus.errors import InvalidRule
from bus.routinglimits import (
    CONDITION_CHARS_MAX,
    CONDITION_DATA_BYTES_MAX,
    CONDITION_LOOPED_BYTES_MAX,
    CONDITION_SQUARED_BYTES_MAX,
)


def event(data: Any = None, **attributes: Any) -> bytes:
    told = {"specversion": "1.0", "id": "e-1", "source": "agent/shop", "type": "order.created"} | attributes
    return json.dumps(told if data is None else told | {"data": data}).encode()


def holds(text: str, data: Any = None, **attributes: Any) -> tuple[bool, str]:
    return Condition(text).holds(view_of(event(data, **attributes)))


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("data.total > 1000", {"total": 1001}),
        ("data.total > 1000.5", {"total": 1000.75}),
        ("event.type == 'order.created' && event.source.startsWith('agent/')", {}),
        ("has(data.total) && data.total > 1", {"total": 2}),
        ("!has(data.total)", {}),
        ("data.items.exists(i, i.price > 10)", {"items": [{"price": 3}, {"price": 11}]}),
        ("data.items.all(i, i in ['a', 'b'])", {"items": ["a", "b", "a"]}),
        ("data.items.filter(i, i > 1).size() == 2", {"items": [1, 2, 3]}),
        ("'translate' in event.requires", None),
        ("event.subject == '' && event.priority == ''", None),
        ("data == null", None),
        ("data.text.matches('^a+$')", {"text": "aaa"}),
        ("timestamp(event.time) > timestamp('2024-01-01T00:00:00Z')", None),
        ("data.name == 'x // y'", {"name": "x // y"}),
        ('data.name == "it\'s"', {"name": "it's"}),
        ("data.list[1] == 2 && data['list'].size() == 2", {"list": [1, 2]}),
    ],
)
def test_what_holds(text: str, data: Any) -> None:
    assert holds(text, data, requires="translate write", time="2025-01-01T00:00:00Z") == (True, "")


@pytest.mark.parametrize(
    ("text", "data", "why"),
    [
        ("data.total > 1000", {}, "there is no total"),
        ("data.total > 1000", {"total": "many"}, "does not go together: > of string, int64"),
        ("data.total", {"total": 3}, "comes out as int, neither true nor false"),
        ("data.items.exists(i, i > 1)", {"items": {"a": 1}}, "data.items is no list"),
        ("data.items.exists(i, i > 1)", {}, "data.items is no list"),
        ("data.a", 3, ""),
    ],
)
def test_what_raises_does_not_hold_and_says_why(text: str, data: Any, why: str) -> None:
    found, told = holds(text, data)
    assert not found and (told == why if why else told)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "is empty"),
        ("data.total >", "cannot be kept"),
        ("x" * (CONDITION_CHARS_MAX + 1), "characters"),
        ("(" * 20 + "true" + ")" * 20, "brackets"),
        ("[" * 20 + "1" + "]" * 20 + " == []", "brackets"),
        ("data.a.exists(x, data.b.exists(y, x == y))", "inside of a macro"),
        ("data.a.exists(x, x.matches('a'))", "inside of a macro"),
        ("data.a.map(x, x).exists(y, y)", "a list that is named"),
        ("[1, 2].exists(y, y == data.n)", "a list that is named"),
        (" && ".join("data.a.exists(x, x == 1)" for _ in range(5)), "goes through lists"),
        ("data.name == 'x", "string without an end"),
        ("true // and so on", "comment"),
        ("now() > 3", "'now'"),
        ("payload.total > 3", "'payload.total'"),
        ("__import__('os')", "'__import__'"),
        ("data" + ".a" * 400 + " == 1", "recursion"),
    ],
)
def test_what_is_refused_before_it_is_kept(text: str, part: str) -> None:
    with pytest.raises(InvalidRule, match="when") as refused:
        Condition(text)
    assert part in str(refused.value)


def test_large_and_deep_data_is_not_shown() -> None:
    assert "bytes" in holds("true", "x" * (CONDITION_DATA_BYTES_MAX + 1))[1]
    assert holds("size(data) > 5", "x" * (CONDITION_LOOPED_BYTES_MAX + 1)) == (True, "")
    assert "macro" in holds("data.exists(x, x == 1)", [0] * CONDITION_LOOPED_BYTES_MAX)[1]
    deep: Any = 1
    for _ in range(33):
        deep = [deep]
    assert "nested" in holds("true", deep)[1]
    assert holds("true", deep[0]) == (True, "")
    deepest = view_of(b'{"data": ' + b"[" * 5_000 + b"]" * 5_000 + b"}")
    assert "nested" in Condition("true").holds(deepest)[1]
    assert "legible" in Condition("true").holds(view_of(b"no json"))[1]


def test_how_deep_is_too_deep_does_not_depend_on_who_asks() -> None:
    """Depths that a decoder with few calls on its stack can do, and one with many cannot."""

    def beneath(calls: int, deep: bytes) -> str:
        return beneath(calls - 1, deep) if calls else view_of(deep).why

    room = sys.getrecursionlimit() - len(inspect.stack(0)) - 100
    for levels in (32, 33, 150, 900, 980, 2_000):
        deep = b'{"id": "e", "data": ' + b'[{"a":' * (levels // 2) + b"[" * (levels % 2) + b"1"
        deep += b"]" * (levels % 2) + b"}]" * (levels // 2) + b"}"
        why = "" if levels <= 32 else "data is nested more than 32 deep"
        assert [beneath(calls, deep) for calls in (0, room)] == [why, why]


def test_the_most_that_may_be_asked_is_soon_answered() -> None:
    """Each macro's body compares all of the data, for each item of a list as long as may be."""
    data = {"items": [1] * (CONDITION_SQUARED_BYTES_MAX // 4)}
    one = "data.items.exists(x, data.items == [x] || 2 in data.items)"
    began = time.process_time()
    assert Condition(" || ".join([one] * 4)).holds(view_of(event(data))) == (False, "")
    assert time.process_time() - began < 2
    data = {"items": [1] * (CONDITION_LOOPED_BYTES_MAX // 4)}
    view = view_of(event(data))
    assert "bytes" in Condition(one).holds(view)[1]
    began = time.process_time()
    assert Condition(" || ".join(["data.items.exists(x, x == 2)"] * 2)).holds(view) == (False, "")
    assert Condition(" || ".join(["data.items.exists(x, x == 2)"] * 4)).holds(view) == (
        False,
        "it goes round too often",
    )
    assert time.process_time() - began < 2
    assert Condition("data.items.exists(x, x == 1) && data.items[0] == 1").holds(view) == (True, "")


HOSTILE = """
import sys, threading
sys.path.insert(0, {root!r})
from bus.conditions import Condition
from bus.errors import InvalidRule
texts = ["!" * 990 + "true", "-" * 990 + "1 == 1", "true?" * 150 + "true" + ":true" * 150,
         "data" + ".a" * 490 + " == 1",
         " && ".join(["true"] * 140), "1" + "+1" * 490 + " == 3", "{{" * 12 + "}}" * 12, "data" + "[0]" * 330 + " == 1",
         "'" + "\\\\" * 900 + "' == ''", "data.matches('" + "(a{{99}})" * 90 + "')",
         "data.matches('" + "(" * 400 + "')",
         "\\x00 == 1", "1e999 > 0.0", "9" * 900 + " == 1", "size(size(size(size(data)))) == 1", "a.b.c.d", "1/0 == 1"]
def run():
    from bus.conditions import view_of
    view = view_of(b'{{"data": {{"a": [1]}}}}')
    for text in texts:
        try:
            Condition(text).holds(view)
        except InvalidRule:
            pass
    print("lived")
threading.stack_size(512 * 1024)
thread = threading.Thread(target=run)
thread.start()
thread.join()
"""


def test_no_text_ends_the_process() -> None:
    """On a stack as small as threads have anywhere; what is long and deep at once is within the bounds, or refused."""
    from pathlib import Path

    script = HOSTILE.format(root=str(Path(__file__).parents[2]))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and done.stdout.strip() == "lived", done.stderr[-2000:]


def test_it_comes_out_alike_in_every_process() -> None:
    """Maps have another order in each: nothing that is told depends on it."""
    script = (
        "import sys, json; from bus.conditions import Condition, view_of\n"
        "data = {f'k{n}': n for n in range(40)} | {'list': [{'b': 1, 'a': 2}, {'a': 2, 'b': 1}]}\n"
        "view = view_of(json.dumps({'data': data}).encode())\n"
        "for text in ('data.list[0] == data.list[1]', 'data.k3 + data > 4', 'data > 3', 'size(data) == 41',"
        " \"'k7' in data\", 'data.nope', 'data.list.exists(x, x.z == 1)', 'string(data) == \"\"'):\n"
        "    print(Condition(text).holds(view))\n"
    )
    told = {
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True).stdout
        for _ in range(4)
    }
    assert len(told) == 1 and "True" in next(iter(told))
