"""What properties of the bus draw from: legal events, and values for their attributes."""

from hypothesis import strategies as st

from bus.attributes import INTEGER_MAX, INTEGER_MIN, NAMES
from bus.event import Event
from bus.rfc3339 import NANOSECONDS_MAX, NANOSECONDS_MIN

printable = st.characters(exclude_categories=("Cc", "Cs"))
texts = st.text(printable, min_size=1, max_size=12)
tokens = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters=".*>"), min_size=1, max_size=5)
types = st.lists(tokens, min_size=1, max_size=4).map(".".join)
instants = st.integers(NANOSECONDS_MIN, NANOSECONDS_MAX)
maybe_text = st.none() | texts
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(printable, max_size=4), inner, max_size=3),
    max_leaves=8,
)
payloads = st.none() | st.binary(max_size=20) | json_values
extension_names = st.from_regex(r"[a-z0-9]{1,10}", fullmatch=True).filter(lambda name: name not in NAMES)
extension_values = st.text(printable, max_size=8) | st.integers(INTEGER_MIN, INTEGER_MAX) | st.booleans()
capabilities = st.text(printable, min_size=1, max_size=6).map(
    lambda text: "".join("_" if each.isspace() else each for each in text)
)
offsets = st.integers(0, NANOSECONDS_MAX)

events = st.builds(
    Event,
    type=types,
    source=texts,
    id=texts,
    subject=maybe_text,
    time=st.none() | instants,
    data=payloads,
    datacontenttype=maybe_text,
    dataschema=maybe_text,
    partitionkey=maybe_text,
    correlationid=maybe_text,
    causationid=maybe_text,
    traceparent=maybe_text,
    tracestate=maybe_text,
    deps=st.none() | st.dictionaries(offsets, offsets, min_size=1, max_size=3),
    priority=st.sampled_from([None, "high", "medium", "low"]),
    requires=st.none() | st.lists(capabilities, min_size=1, max_size=3),
    expirytime=st.none() | instants,
    extensions=st.dictionaries(extension_names, extension_values, max_size=3),
)
