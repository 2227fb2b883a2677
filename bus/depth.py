"""How deep a JSON text is nested, told by its bytes alone. Pure.

A decoder that is full of calls already gives up sooner than one that is called from the top: where processes have to
come to the same end, how deep is too deep cannot be left to it.
"""

import re
from array import array
from itertools import accumulate

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.S)
"""A string; one without an end goes on to the end of the text."""
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_OTHERS = bytes(set(range(256)) - set(b"[{]}"))


def is_deeper(text: bytes, levels: int) -> bool:
    """Whether arrays and objects stand more than `levels` >= 0 deep in each other. Of what is no JSON, true if a
    decoder could come that deep before it finds out."""
    if text.count(b"[") + text.count(b"{") <= levels:
        return False
    steps = array("b", _STRING.sub(b"", text).translate(_STEPS, _OTHERS))
    return max(accumulate(steps), default=0) > levels
