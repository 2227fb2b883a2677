"""Bounds of the processes that run what users wrote: SQL and projections."""

SQL_CHARS_MAX = 65_536
"""One SQL query's text."""
SQL_MS_MAX = 600_000
"""How long one query may run, whatever was asked for."""
SQL_MS_DEFAULT = 60_000
"""How long one query may run when nothing was asked for."""
SQL_ROWS_MAX = 100_000
"""Rows of one query's answer; what is more is cut, and said."""
SQL_ANSWER_BYTES_MAX = 16 * 1024 * 1024
"""Of one query's answer; what is more is cut, and said."""
SQL_WAITING_MAX = 8
"""Queries that wait for the SQL worker, which runs one at a time; the next one is refused as unavailable."""
SQL_MEMORY_MB = 1_024
"""Memory that DuckDB may take in the SQL worker before it spills to disk."""
SQL_PROCESS_MEMORY_MB = 3_072
"""Private memory of the whole SQL worker; the kernel gives it no more, and it ends."""
SQL_SPILL_MB = 4_096
"""What the SQL worker may spill to disk."""
SQL_THREADS_MAX = 4
"""Threads of the SQL worker's DuckDB; at most half of the machine's."""
SQL_NICENESS = 10
"""How far the SQL worker stands back for everyone else."""
SQL_IDLE_MS = 300_000
"""After this long without a question the SQL worker is ended, and its memory is free again."""
WORKER_FRAME_BYTES_MAX = 256 * 1024 * 1024
"""One message between plane and a worker process, of SQL or of a projection."""
SQL_FEED_ROWS_MAX = 10_000
"""Rows of the open segment that are sent to the SQL worker at once."""
SQL_FEED_BYTES_MAX = 8 * 1024 * 1024
"""Payload bytes of the open segment that are sent to the SQL worker at once, one row at least."""
SQL_STATE_ITEMS_MAX = 2_000
"""Keys of a fold's table that are sent to the SQL worker at once, so that encoding them holds nobody up."""
SQL_BATCH_ROWS = 2_048
"""Rows of an answer that the SQL worker takes from DuckDB at once."""
SQL_START_MS_MAX = 20_000
"""How long the SQL worker may take to start."""
PROJECTIONS_MAX = 16
"""Projections of users' own; each class among them has a process."""
PROJECTION_NAME_CHARS_MAX = 64
"""A projection's name."""
PROJECTION_CODE_BYTES_MAX = 1024 * 1024
"""A file that a projection's class is loaded from."""
PROJECTION_MEMORY_MB = 1_024
"""Private memory of a projection's process, its state included; the kernel gives it no more."""
PROJECTION_DUCKDB_MB = 256
"""Of it what DuckDB may take to read a sealed segment."""
PROJECTION_FILE_MB = 16
"""A file that a projection's process writes, what it prints among them."""
PROJECTION_NICENESS = 10
"""How far a projection's process stands back for everyone else."""
PROJECTION_START_MS_MAX = 20_000
"""How long a projection's process may take to start and to load its class."""
PROJECTION_EVENT_MS_MAX = 10_000
"""How long a projection may take over one event, or one row; one that takes longer is ended and quarantined."""
PROJECTION_STARVED_MS_MAX = 300_000
"""The same for one that gets no processor, as all others go first."""
PROJECTION_SLICE_MS = 200
"""How long a projection evolves before it looks whether it is asked something."""
PROJECTION_PACE_MS = 250
"""How often a projection that nobody waits for is brought up to date."""
PROJECTION_DEATHS_MAX = 3
"""How often a projection's process may end at the same place; then it is quarantined."""
PROJECTION_RESTART_MS_MIN = 200
"""Before a projection's process that ended is started again; it doubles with each time that it does not get further."""
PROJECTION_RESTART_MS_MAX = 30_000
"""The longest such wait."""
PROJECTION_ERROR_CHARS_MAX = 300
"""Of a projection's error, as journaled."""
PROJECTION_ROWS_MAX = 100_000
"""Rows of one answer of a projection; what is more is cut, and said."""
PROJECTION_ROWS_DEFAULT = 1_000
"""The same when nothing was asked for."""
PROJECTION_ANSWER_BYTES_MAX = 16 * 1024 * 1024
"""Of one answer of a projection; what is more is cut, and said."""
PROJECTION_WAIT_MS_DEFAULT = 10_000
"""How long a question waits for a projection to come so far, when nothing was asked for."""
PROJECTION_WAIT_MS_MAX = 600_000
"""The same, whatever was asked for."""
