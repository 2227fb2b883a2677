"""Bounds of questions and their answers: how many at once, how much in each, what of the past is kept for them."""

QUESTIONS_AT_ONCE_MAX = 64
"""Questions under way at once; the next one is refused as unavailable."""
QUESTION_BYTES_MAX = 1024 * 1024
"""One question on the socket; a larger one is dropped by ZeroMQ."""
AT_BYTES_MAX = 256
"""The moment of the past that a question is asked as of; a longer one is counted as malformed."""
ANSWERS_QUEUED_MAX = 256
"""Answers that wait for one console to take them; beyond it they are dropped and counted."""
ASKER_PING_MS = 5_000
"""How often a console's connection is pinged, so that one whose process hangs or whose tunnel broke is noticed."""
ASKER_SILENT_MS_MAX = 30_000
"""A console whose connection answers no ping for so long is gone; one that died is, with its connection, at once."""
LISTED_EVENTS_MAX = 5_000
"""Events in one answer to a list of events."""
EXPORT_PAGE_EVENTS_MAX = 5_000
"""Events in one page of an export."""
EXPORT_PAGE_BYTES_MAX = 8 * 1024 * 1024
"""Characters in one page of an export; an event that is longer gets a page of its own."""
CAUSES_MAX = 40
"""Events of the same saga that are shown around one event."""
BARS_MAX = 1_000
"""Bars of one volume picture."""
POSITION_CHARS_MAX = 20
"""Digits of a journal position in a question."""
NEEDS_MAX = 100
"""Lines of NEEDS YOU in one answer; health counts all."""
RATE_SECONDS = 10
"""Over how long a present rate is taken."""
REDRIVE_AT_ONCE_MAX = 5_000
"""Dead letters in one decision to redrive."""
REDRIVE_ORIGINALS_CHARS_MAX = 32 * 1024 * 1024
"""In one decision, of the events of letters that have not all of theirs."""
PAGE_ROWS_MAX = 5_000
"""Rows of one answer, whatever was asked for."""
PASTS_KEPT_MAX = 8
"""States of the past that are kept for whoever looks around there."""
PASTS_PLACES_MAX = 1_000_000
"""Keys in all of them together, of which the newest may have any number: about 200 bytes each, and the values."""
PAST_WALK_ENTRIES_MAX = 5_000
"""A state is kept so many entries before each one that was asked for, so that a walk back has not far to come."""
PAST_NEAR_ENTRIES_MAX = 100_000
"""From further than this a kept state is not gone on from without looking whether there is a nearer one on disk."""
PASTS_IDLE_MS = 600_000
"""How long they are kept when nobody looks back any more."""
PROGRESS_MS = 250
"""How often long work says how far it is."""
SLICE_TYPES_MAX = 10_000
"""Types that are named in the count of a replay's slice; events of others are counted together."""
SLICE_ROWS_AT_ONCE = 4_096
"""Events that a count of a slice takes from the journal at once."""
SLICE_KINDS_REMEMBERED_MAX = 65_536
"""Kinds of events (type, source, rare attributes) that a count of a slice has decided on, and remembers."""
EXPORTS_REMEMBERED_MAX = 64
"""Exports whose number of events is remembered from page to page."""
ORDERS_KEPT_MAX = 8
"""Orders of the saga inbox kept between two questions."""
LOST_NAMED_MAX = 20
"""Partitions named one by one in an answer; the others are counted."""
DIFF_TEXT_CHARS_MAX = 200
"""Of one value in what differs between two states."""
DIFF_FIELDS_MAX = 12
"""Fields named of one value that differs; the others are counted."""
WHATIF_HELD_MAX = 200_000
"""Facts gone and new that are held to find out which of them only moved; beyond it they are counted as gone and new."""
WHATIF_TEXT_CHARS_MAX = 160
"""Of a fact's text in what would have been otherwise."""
SETTINGS_ASKED_MAX = 64
"""Settings in one question."""
EXAMPLES_MAX = 1_000
"""Examples of each kind in one answer, whatever was asked for."""
DIVERGENCE_PLACES_MAX = 20
"""Keys named that a step changed which does not verify."""
