"""A fence at a resource: no token after a greater one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import Fence, StaleToken


@given(st.lists(st.integers(-2, 6)), st.integers(0, 3))
def test_what_was_admitted_never_falls(tokens: list[int], greatest: int) -> None:
    fence, admitted = Fence(greatest), [greatest]
    for token in tokens:
        try:
            fence.admit(token)
        except StaleToken as error:
            assert token < max(admitted) or token <= 0
            assert str(token) in str(error) and str(max(admitted)) in str(error)
        else:
            admitted.append(token)
    assert admitted == sorted(admitted)
    assert fence.greatest == admitted[-1]


def test_asking_remembers_nothing() -> None:
    fence = Fence()
    assert fence.admits(9) and fence.admits(3)
    fence.admit(4)
    with pytest.raises(StaleToken):
        fence.admit(3)
