"""Every bound of the control plane, its unit last; each is enforced where it is named, and says so or is counted."""

TURN_EVENTS_MAX = 5_000
"""Events that one turn of the plane takes from the recorder, so that facts wait one commit."""
SEGMENT_ROWS_MAX = 500_000
"""Event rows of a journal segment after which the next one is due."""
REPLAY_EVENTS_MAX = 20_000
"""Events fetched from the journal at once while it is replayed."""
QUESTIONS_AT_ONCE_MAX = 64
"""Questions under way at once; the next one is refused as unavailable."""
QUESTION_BYTES_MAX = 1024 * 1024
"""One question on the socket; a larger one is dropped by ZeroMQ."""
ANSWERS_QUEUED_MAX = 256
"""Answers that wait for one console to take them; beyond it they are dropped and counted."""
EXIT_POLL_MS = 200
"""How often the process table is asked for an exit where the kernel cannot tell it."""
LAST_WORDS_BYTES_MAX = 2_000
"""The end of a broker's log that is read to say why it ended."""
CASCADE_FACTS_MAX = 20_000
"""Facts that may follow from one input; a fold that says more is quarantined."""
TIMERS_FIRED_MAX = 2_000
"""Deadlines that fire at one input; the rest fires at the next one."""
QUARANTINE_ERROR_CHARS_MAX = 300
"""Of a fold's error, as journaled."""
REPLAY_STEPS_MAX = 2_000
"""Steps fetched from the journal at once while it is replayed."""
JOURNAL_MEMORY_MB = 2_048
"""Memory that DuckDB may take before it spills to disk."""
