"""Bounds of the journal: its segments and snapshots, how it is read again, its copy, what it keeps."""

SEGMENT_ROWS_MAX = 500_000
"""Event rows of a journal segment after which the next one is due."""
READINGS_KEPT_MAX = 4
"""Connections to the journal's segments that are kept, with their views, for the next question."""
REPLAY_EVENTS_MAX = 20_000
"""Events fetched from the journal at once while it is replayed."""
REPLAY_STEPS_MAX = 2_000
"""Steps fetched from the journal at once while it is replayed."""
JOURNAL_MEMORY_MB = 2_048
"""Memory that DuckDB may take before it spills to disk."""
STRETCH_STEPS_MAX = 1_000
"""Steps held back after a plane's start until it is known which folds made them."""
SNAPSHOT_ENTRIES_MAX = 50_000
"""Journal entries after which the folds' state is written down: what a restart or a look back has to read again."""
SNAPSHOT_STEPS_MAX = 5_000
"""The same in steps, as a step costs something however small it is; an idle fleet takes about an hour for so many."""
SNAPSHOT_CHAIN_MAX = 32
"""Every so many snapshots one is whole; the others hold what changed since the one before."""
SNAPSHOT_BLOCK_KEYS = 2_048
"""Keys that are encoded at once: the loop waits for so many at most."""
SNAPSHOT_BYTES_MAX = 2 * 1024 * 1024 * 1024
"""A snapshot's file; a larger one is not read."""
SNAPSHOTS_KEPT_MAX = 512
"""Snapshots that are kept; beyond it every second chain of the older half goes: the past gets coarser with age."""
REFOLD_TOLD_MS = 2_000
"""How often the log says how far a plane that starts has read its journal."""
REFOLD_FIRST_ENTRIES_MAX = 200_000
"""Entries that a plane whose folds have changed folds again before it begins; with more it begins without them."""
REFOLD_NEAR_ENTRIES_MAX = 2_000
"""Entries of which a turn waits until they are folded again, for what was missing to come in."""
SEGMENT_READY_PERCENT = 75
"""How full a segment is when the next one is made ready, so that going over to it costs nothing."""
SEALING_MEMORY_MB = 384
"""Memory that sealing a segment may take before it spills to disk."""
SEALING_RETRY_MS = 30_000
"""After this long a segment that could not be sealed, for want of room, say, is tried again."""
SEALING_NICE = 19
"""The priority of the sealing process: whatever else there is goes first."""
REPLAY_SEALED_EVENTS_MAX = 100_000
"""Events fetched at once from a sealed segment, which is sorted otherwise than it is replayed: each fetch reads all."""
REPLAY_SEALED_STEPS_MAX = 20_000
"""Steps fetched at once from a sealed segment."""
SEGMENTS_SEALED_MAX = 64
"""Sealed segments that stay DuckDB's; older ones become Parquet, which takes less room and is slower to look into."""
COPY_MS = 2_000
"""How long steps gather before they go to the journal's copy."""
COPY_STEPS_MAX = 2_000
"""Steps in one chunk of the copy."""
COPY_CHUNK_BYTES_MAX = 3 * 1024 * 1024
"""Facts and intents in one chunk; it stays under the bus's BATCH_BYTES_MAX."""
COPY_RAW_BYTES_MAX = 256 * 1024 * 1024
"""What a chunk may come to when it is unpacked; a larger one is damaged."""
COPY_LOOK_BACK_EVENTS = 64
"""Events of the copy that are read at once to find where it ends."""
COPY_PACE = 3
"""While it is far behind, the copy rests this many times as long as it worked."""
BEYOND_TOLD_MS = 24 * 3_600_000
"""How long it is a finding that the journal's copy had more than the journal."""
COPY_STANDS_MS = 30_000
"""A copy that has stood still for longer is a finding."""
SEGMENTS_UNSEALED_MAX = 4
"""Elders that wait to be sealed; with more the newest segment goes on beyond `SEGMENT_ROWS_MAX`."""
RETENTION_LOOK_MS = 60_000
"""How often it is looked whether a segment of the journal is due to be let go of."""
SEGMENTS_LEFT_MIN = 2
"""The newest segments stay whatever their age and size: the one that is written, and the one before."""
INSERT_VALUES_MAX = 64
"""Values of a table's rows up to which a turn writes them as values; more go by way of Arrow."""
AHEAD_BYTES = 4 * 1024 * 1024
"""The write-ahead log's file: when the turns in it come to this, the journal takes them before any other is stepped."""
AHEAD_TURN_BYTES_MAX = 512 * 1024
"""Bytes of a turn's events up to which it is written ahead; a larger one has effects once DuckDB has it."""
AHEAD_TURNS_MAX = 64
"""Turns that the journal takes in one transaction, and that the heart may be ahead of it."""
AHEAD_GATHER_MS = 50
"""How long turns that are written ahead may gather before the journal takes them, while nobody waits for it."""
