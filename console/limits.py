"""Every bound of the console, unit last."""

ERRANDS_MAX = 16
"""Levers and look-ups that may wait for the link at once."""
ROWS_ASKED_MAX = 2_000
"""Rows of one table that are held; beyond, the crumb says so and a filter narrows."""
ROWS_PAGE = 200
"""Rows asked at first, and more at a time when the cursor nears the end."""
TAIL_ROWS = 200
"""Events that the tail holds."""
STEPS_PREVIEWED = 40
"""Newest steps of the saga under the cursor."""
STEPS_SHOWN_MAX = 500
"""Steps of one saga on its own screen."""
LETTERS_SHOWN_MAX = 50
"""Newest dead letters of one group."""
READER_LINES_MAX = 5_000
"""Lines that the reader shows; what is longer is cut, and says so."""
TYPED_CHARS_MAX = 256
"""What may be typed into a prompt."""
NUMBER_TYPED_FROM = 1_000
"""From so many on, a lever asks for the number itself instead of `enter`."""
ANSWER_BYTES_MAX = 64 * 1024 * 1024
"""One answer of the control plane on the socket."""
LINE_BYTES_MAX = 1024 * 1024
"""One line of a log; the bus takes no larger event."""
PLANE_SAID_BYTES_MAX = 64 * 1024
"""What is read of a starting control plane's stderr, its end."""
REJECTS_SAID_MAX = 20
"""Bad lines of an import that are named on stderr; all of them are in the rejects file."""
EXPORT_PAGE = 5_000
"""Events asked for at once by an export."""
SQL_HISTORY_MAX = 1_000
"""Lines of the SQL prompt that are remembered."""
SQL_STDIN_CHARS_MAX = 65_536
"""A query on standard input."""
PARQUET_GROUP_ROWS = 100_000
"""Rows of one row group in an export as Parquet, at least; the last one may have fewer."""
XES_MEMORY_MB = 512
"""Memory that sorting an export as XES may take before it goes to a temporary file."""
XES_ROWS_AT_ONCE = 2_000
"""Events that an export as XES writes at once."""
RULES_FILE_BYTES_MAX = 256 * 1024
"""A file of settings for a what-if."""
RUN_NAME_CHARS_MAX = 64
"""The name of a replay's run; it is part of every id that it publishes."""
REPLAY_CHUNK_EVENTS = 2_000
"""Events of a replay that go out together and are waited for."""
REPLAY_PAGE = 5_000
"""Events of a slice asked for at once."""
REFUSED_SAID_MAX = 20
"""Events that a replay could not publish which are named on stderr; all are counted."""
VIEW_FILE_BYTES_MAX = 65_536
"""A file with the SELECT of a projection."""
MISSING_SHOWN_MAX = 20
"""Stretches of missing events that a table of a rebuilt journal names; JSON names all."""
ROUTE_FILE_BYTES_MAX = 1024 * 1024
"""A file of content rules, or an event that is to be explained."""
