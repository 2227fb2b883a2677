"""Every bound of routing, its unit last; part of `limits`."""

RULES_MAX = 256
"""Content rules in force at once."""
RULE_NAME_CHARS_MAX = 64
"""A content rule's name."""
RULE_RECIPIENTS_MAX = 16
"""Recipients of one content rule, or of the default."""
RECIPIENT_CHARS_MAX = 500
"""One recipient's text."""
CONDITION_CHARS_MAX = 1_000
"""A condition's text."""
CONDITION_DEPTH_MAX = 12
"""Brackets within brackets in a condition."""
CONDITION_LOOPS_MAX = 4
"""Macros in a condition that go through a list; none of them stands in another one."""
CONDITION_DATA_BYTES_MAX = 64 * 1024
"""An event's data, as JSON, that a condition is shown; with more the condition does not hold, and says so."""
CONDITION_LOOPED_BYTES_MAX = 16 * 1024
"""The same for a condition that goes through a list."""
CONDITION_SQUARED_BYTES_MAX = 4 * 1024
"""The same for one that names `data` again for each item: what it costs grows with the square."""
CONDITION_DATA_DEPTH_MAX = 32
"""Objects and arrays within each other in data that a condition is shown."""
CHOICE_SCAN_MAX = 4_096
"""Agents that are looked at, one after the other, when neither of the two that were drawn has room."""
CHOICE_TOLD_MAX = 8
"""Losers of a choice that are told of, best first."""
