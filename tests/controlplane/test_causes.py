"""What killed: one line that names the exception, the same whatever ids, paths, numbers and strings it came with."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.causes import telling_line, what_killed
from controlplane.limits import DEAD_LINE_CHARS_MAX, DEAD_WHAT_CHARS_MAX

TRACE = """Traceback (most recent call last):
  File "/home/a/work/run.py", line 31, in <module>
    total = sum(rows)
{raised}"""


@pytest.mark.parametrize(
    ("error", "what"),
    [
        ("line 12: bad token at 3", "line N: bad token at N"),
        ("no agent 019a8c1e-77b2-7c21-9a40-5f1e0c3d2b11", "no agent …"),
        ("object at 0x7f00ab12", "object at …"),
        ("exitcode: 1 (execution failed)\nCode output: x", "exitcode: N (execution failed)"),
        ("Traceback (most recent call last):\n  File x, line 3\nKeyError: 'a17'\n", "KeyError: …"),
        ("", "max_deliver"),
        ("  \n ", "max_deliver"),
        ("NameError: name 'search_web' is not defined", "NameError: name … is not defined"),
        ("AttributeError: 'NoneType' object has no attribute 'text'", "AttributeError: … object has no attribute …"),
        (
            "FileNotFoundError: [Errno 2] No such file or directory: 'a b.csv'",
            "FileNotFoundError: [Errno N] No such file or directory: …",
        ),
        ("tesseract is not installed or it's not in your PATH", "tesseract is not installed or it's not in your PATH"),
        ("ToolFailed: KeyError: 'slots'", "KeyError: …"),
        ("ToolFailed: unknown language", "ToolFailed: unknown language"),
        ("Task: geopy.exc.GeocoderUnavailable: no route", "geopy.exc.GeocoderUnavailable: no route"),
        ("404 Client Error for url: https://a.example/x?y=1", "N Client Error for url: …"),
        ("cannot read /var/lib/x/y.json: permission denied", "cannot read …: permission denied"),
        ("cannot read C:\\data\\y.json now", "cannot read … now"),
        ("ValueError: bad\n  expected 3\n  got 4", "ValueError: bad"),
        ("took 1.5 s, 12:30:01, at 2026-01-02", "took N s, N, at N"),
        ("use an 0o prefix", "use an 0o prefix"),
        ("read/write failed on either/or", "read/write failed on either/or"),
        (f"{'a' * 40} is no commit", "… is no commit"),
        ("0 0 0 12 failed", "N failed"),
        ("expired at 2026-03-01T12:00:00Z", "expired"),
        ("expired at 2026-03-01T12:00:00.125+02:00", "expired"),
        ("TimeoutError: silent since 2026-03-01 12:00:00,125: given up", "TimeoutError: silent: given up"),
        ("no row of 2026-03-01T12:00Z, nor of 2026-03-01T12:00:01Z", "no row of …, nor of …"),
        ("at 2026-03-01T12:00:00Z", "at …"),
    ],
)
def test_what_killed_leaves_out_what_differs_each_time(error: str, what: str) -> None:
    assert what_killed("max_deliver", error) == what


def test_the_last_traceback_names_its_exception_whatever_was_printed_after_it() -> None:
    first = TRACE.format(raised="KeyError: 'a'\n")
    chained = first + "\nDuring handling of the above exception, another exception occurred:\n\n"
    text = "ToolFailed: " + chained + TRACE.format(raised="cv2.error: resize failed\nthen it printed this\nand that\n")
    assert telling_line(text) == "cv2.error: resize failed"
    assert what_killed("r", text) == "cv2.error: resize failed"


def test_a_traceback_without_its_end_falls_back_to_a_line() -> None:
    assert what_killed("r", TRACE.format(raised="")) == "Traceback (most recent call last):"
    assert what_killed("r", "Traceback (most recent call last):") == "Traceback (most recent call last):"


@given(st.text(max_size=300), st.text(max_size=20))
def test_any_text_has_a_cause_that_is_short_and_one_line(error: str, reason: str) -> None:
    what = what_killed(reason, error)
    assert what == reason if not error.strip() else 0 < len(what) <= DEAD_WHAT_CHARS_MAX
    assert what == reason or len(what.splitlines()) == 1
    assert len(telling_line(error)) <= DEAD_LINE_CHARS_MAX


names = st.text(st.characters(categories=["Ll", "Lu", "Nd"]), min_size=1, max_size=12)


@given(names, names, st.integers(0, 10**9), st.integers(0, 10**9), st.uuids(), st.uuids())
def test_causes_are_the_same_whatever_differs(one: str, two: str, n: int, m: int, u: object, v: object) -> None:
    def cause(name: str, number: int, id: object) -> str:
        text = f"KeyError: '{name}' of {id} at offset {number} in /tmp/{name}/x.py, see http://{name}.example/{number}"
        return what_killed("r", TRACE.format(raised=text))

    assert cause(one, n, u) == cause(two, m, v) == "KeyError: … of … at offset N in …, see …"


HOSTILE = [
    "a." * 500_000, "'" * 1_000_000, "\"'`" * 333_333, "1." * 500_000, "/" * 1_000_000, "a://" * 250_000,
    "\n" * 1_000_000, "… " * 500_000, "N " * 500_000, "Error: " * 150_000,
    "Traceback (most recent call last)\n" * 30_000, "0x" * 500_000, "f" * 1_000_000,
    "A:\\" * 333_333, "a-" * 500_000, "‘“" * 500_000,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:8]))
def test_a_hostile_megabyte_takes_a_moment(text: str) -> None:
    begun = time.process_time()
    assert what_killed("r", text)
    assert what_killed("r", text.replace("\n", "\nx"))
    assert time.process_time() - begun < 1.0
