"""The window of handled events against a naive one."""

from hypothesis import given
from hypothesis import strategies as st

from bus.agents.seen import DONE, NEW, RUNNING, Key, Seen, key_of
from bus.event import Event

keys = st.builds(Key, st.sampled_from("ab"), st.sampled_from("xyz"))
steps = st.lists(st.tuples(st.sampled_from(["begin", "done", "failed"]), keys), max_size=60)


@given(steps, st.integers(1, 4))
def test_it_is_a_list_of_the_last_ones_that_were_done(told: list[tuple[str, Key]], most: int) -> None:
    seen, running, done = Seen(most), set[Key](), list[Key]()
    for what, key in told:
        if what == "begin":
            wanted = RUNNING if key in running else DONE if key in done else NEW
            assert seen.begin(key) == wanted
            if wanted == NEW:
                running.add(key)
        elif key in running:
            seen.end(key, done=what == "done")
            running.discard(key)
            done = [*done, key][-most:] if what == "done" else done
        assert len(seen) == len(done)


def test_one_that_failed_is_no_duplicate() -> None:
    seen, key = Seen(), key_of(Event(type="a", source="s", id="1"))
    assert seen.begin(key) == NEW and seen.begin(key) == RUNNING
    seen.end(key, done=False)
    assert seen.begin(key) == NEW
    seen.end(key, done=True)
    assert seen.begin(key) == DONE
    assert seen.begin(key_of(Event(type="b", source="other", id="1"))) == NEW, "ids are a source's own"
