"""Every bound of the control plane, its unit last; each is enforced where it is named, and says so or is counted."""

TURN_EVENTS_MAX = 5_000
"""Events that one turn of the plane takes from the recorder, so that facts wait one commit."""
SEGMENT_ROWS_MAX = 500_000
"""Event rows of a journal segment after which the next one is due."""
READINGS_KEPT_MAX = 4
"""Connections to the journal's segments that are kept, with their views, for the next question."""
REPLAY_EVENTS_MAX = 20_000
"""Events fetched from the journal at once while it is replayed."""
CLOCK_SKEW_MS_MAX = 5_000
"""A broker's clock that is further than this from the plane's is a finding; beyond it times of two brokers mislead."""
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
SAGAS_MAX = 500_000
"""Sagas remembered; beyond it the ones silent for longest are forgotten, finished ones first, and counted."""
SAGAS_FORGOTTEN_AT_ONCE = 8_192
"""Sagas that are forgotten together when there are too many."""
SAGA_SAMPLES_MIN = 20
"""Gaps after a step that must have been seen before anything is called stuck there."""
SAGA_FLOOR_MS = 5_000
"""A live saga is not called stuck before it has waited this long, unless a threshold is set."""
SAGA_IMPORT_FLOOR_MS = 1_000
"""The same for an imported one: a log published all at once, without times of its own, is not full of stuck sagas."""
SAGA_REVIEW_MS = 60_000
"""How often a waiting saga is judged again, as what is usual changes."""
SAGA_STEPS_LEARNED_MAX = 20_000
"""Kinds of step whose gaps are learned; further ones are not judged."""
FLOWS_MAX = 20_000
"""Flows told apart; what comes after is counted as one flow, `others`."""
FLOW_SECONDS_MAX = 300
"""How long per-second samples of flows and groups are kept."""
RECORDER_EVENTS_MAX = 40_000
"""Events that wait for the journal; with more the recorder takes nothing from the brokers."""
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
BROKER_START_MS_MAX = 15_000
"""A broker that has not answered this long after it was to start is lost."""
BROKER_SILENT_MS_MAX = 8_000
"""A broker without a sample for longer than this leads nothing until it is heard again."""
RESTART_BACKOFF_MS_MIN = 200
"""Before the first restart of a lost broker; it doubles with each attempt."""
RESTART_BACKOFF_MS_MAX = 30_000
"""The longest wait before a restart."""
RESTART_STABLE_MS = 60_000
"""A broker that was up for this long begins at the first attempt again."""
OFFER_MS_MAX = 200
"""How long answers to an offer are awaited when a leader was lost."""
OFFER_FIRST_MS_MAX = 2_000
"""The same when nobody led before: then balance is worth the wait."""
ELECTION_GRACE_MS = 3_000
"""How long a partition waits for replicas that are starting before it goes on without them."""
ELECTION_RETRY_MS_MAX = 8_000
"""The longest wait before an offer that too few answered is made again; it doubles from one second.

No longer than BROKER_SILENT_MS_MAX: who has not answered by then is silent, and being heard again makes an offer anew.
"""
TURN_FACTS_MAX = 500
"""Facts that one turn takes."""
STALL_MS_MAX = 2_000
"""The plane's loop asleep for longer than this beyond its time is journaled as PlaneResumed."""
TURN_MS_MAX = 10_000
"""A turn that takes longer, its commit included, is said to stand still, in the log and in what health answers."""
TURN_WATCH_MS = 1_000
"""How often it is looked whether turns come to their ends."""
FULL_RETRY_MS = 500
"""How often a commit is tried again while the disk is full."""
SEAT_SETTLE_MS = 3_000
"""After an election, how long a broker's sample may still tell of the time before it."""
GREETING_MS_MAX = 3_000
"""How long a broker's Welcome is awaited."""
ADOPT_MS_MAX = 5_000
"""How long a live broker's broker.json is awaited before it counts as lost."""
ANNOUNCED_POLL_MS = 10
"""How often the broker.json of a broker that is starting is looked for."""
REGREET_MS = 200
"""How long after the end of a session a live broker is greeted again."""
JOIN_DIAL_MS = 500
"""How often a broker that was joined at an address, and does not answer there, is dialled again."""
HALT_MS_MAX = 5_000
"""How long a broker that was told to end may take before it is told with more force."""
PUBLISHING_AT_ONCE_MAX = 256
"""Events of intents that are published at once; the others wait their turn."""
EFFECT_RETRY_MS_MIN = 200
"""Before an effect that failed is tried again; it doubles with each attempt."""
EFFECT_RETRY_MS_MAX = 5_000
"""The longest wait between two attempts of an effect."""
LOG_BYTES_MAX = 16 * 1024 * 1024
"""The plane's log; a full one is kept as plane.log.1, and a new one begun."""
SAMPLE_MS = 1_000
"""How often brokers are asked for their figures."""
SAMPLE_IDLE_MS = 4_000
"""How often an unchanged broker's sample is journaled, as a sign of life; well below BROKER_SILENT_MS_MAX."""
RECORDER_RETRY_MS = 500
"""After the recorder failed it follows again from where it stands."""
FINISH_MS_MAX = 10_000
"""How long the last turn of a plane may take when it ends, and the last answers after it."""
SLOT_MS = 15_000
"""The step of what is kept of the past for pictures: vitals, score, volume."""
HISTORY_SLOTS_MAX = 1_440
"""Such steps that are kept: six hours."""
INCIDENTS_MAX = 200
"""Of these six hours, the newest, in one picture."""
GROUPS_MAX = 1_000
"""Consumer groups whose figures are kept."""
AGENTS_MAX = 10_000
"""Agents that are known; further ones are counted as unknown."""
DEAD_LETTERS_MAX = 20_000
"""Dead letters kept with their events; beyond it redriven ones are forgotten first, then the oldest, and counted."""
DEAD_LETTER_BYTES_MAX = 64 * 1024 * 1024
"""Of all their events together."""
DEAD_KINDS_MAX = 1_000
"""Kinds of death told apart; what comes after is one kind, `others`."""
DEAD_WHAT_CHARS_MAX = 100
"""Of an error's text, in naming what killed."""
DEAD_ERROR_CHARS_MAX = 4_000
"""Of an error's text, as kept."""
DEAD_ATTEMPTS_MAX = 50
"""Attempts kept of one dead letter, newest."""
LATELY_MAX = 200
"""Happenings kept for LATELY."""
LATELY_MERGE_MS = 10_000
"""Happenings of one kind within this time are told as one."""
BEHIND_WARN_MS = 10_000
"""A group whose oldest waiting event is older than this is late."""
BEHIND_BAD_MS = 120_000
"""A group whose oldest waiting event is older than this is very late."""
RECORDER_BEHIND_EVENTS = 50_000
"""Events that the journal may be behind the brokers before it is said."""
FSYNC_SLOW_MS = 100
"""A broker whose fsync takes longer at its 99th percentile is slow."""
NEW_DEATH_MS = 600_000
"""A dead letter is new for this long."""
NEEDS_MAX = 100
"""Lines of NEEDS YOU in one answer; health counts all."""
STRETCH_STEPS_MAX = 1_000
"""Steps held back after a plane's start until it is known which folds made them."""
RATE_SECONDS = 10
"""Over how long a present rate is taken."""
REDRIVE_AT_ONCE_MAX = 5_000
"""Dead letters in one decision to redrive."""
PAGE_ROWS_MAX = 5_000
"""Rows of one answer, whatever was asked for."""
BARS_MAX = 1_000
"""Bars of one picture, whatever was asked for."""
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
LAG_MS = 1_000
"""How often the recorder's lag is looked at."""
LAG_EVENTS_MIN = 1_000
"""A lag below this many events is not journaled: it is gone with the next turn."""
INPUT_EVENTS_MAX = 2_000
"""Events of consecutive records that become one input: as many as the loop can take in without a noticeable pause."""
ORDERS_KEPT_MAX = 8
"""Orders of the saga inbox kept between two questions."""
DEAD_LOOK_CHARS_MAX = 64_000
"""Of an error's text, in looking for the line that says what killed: half from its beginning, half from its end."""
DEAD_LINE_CHARS_MAX = 1_000
"""Of that line, before what differs each time is left out of it."""
CALM_MS_MIN = 10_000
"""How long nothing may have happened to the fleet before leaderships are moved for the sake of balance."""
MOVE_REST_MS_MIN = 1_000
"""Between two moves of one partition's leadership; it doubles while the moves come to nothing."""
MOVE_REST_MS_MAX = 60_000
"""The longest such rest."""
CAUGHT_UP_RECORDS_MAX = 64
"""A replica in sync that lacks no more records than this may be made leader: it gets them, or another is elected."""
RESTART_STEP_MS_MAX = 120_000
"""How long a rolling restart waits for one broker, to give its leaderships away or to be back in sync; then it ends."""
HALT_AGAIN_MS = 15_000
"""After this long a broker that was to end is told again."""
RULES_FILE_BYTES_MAX = 256 * 1024
"""A file of partition rules."""
PLANNED_MOVES_MAX = 1_024
"""Moves in one plan of rebalancing."""
LOAD_SECONDS = 120
"""Over how long the load of partitions is summed, for plans."""
ADAPTIVE_LOOK_MS = 5_000
"""How often an adaptive fleet looks at its load."""
ADAPTIVE_EVENTS_MIN = 1_200
"""Events within `LOAD_SECONDS`, below which an adaptive fleet does not judge: ten a second."""
ADAPTIVE_SKEW = 1_200
"""Thousandths of the mean that the busiest broker leads, from which on an adaptive fleet is skewed."""
ADAPTIVE_EVEN = 1_150
"""Thousandths of the mean below which it no longer is."""
ADAPTIVE_SKEWED_MS_MIN = 30_000
"""How long it must have been skewed before it moves anything."""
ADAPTIVE_GAIN_MIN = 50
"""Thousandths of the mean that a plan must take off the busiest broker to be worth it."""
ADAPTIVE_REST_MS = 120_000
"""The cool-down after a plan, before the next one: until the load was measured anew."""
ADAPTIVE_PLAN_MS_MAX = 600_000
"""How long a plan of an adaptive fleet's own may take before it is given up."""
ADAPTIVE_TOLD_MS_MIN = 300_000
"""How long it must have been skewed before health says so."""
ADAPTIVE_MOVES_MAX = 16
"""Moves in one plan that an adaptive fleet makes by itself."""
REPLICAS_UNEVEN_MAX = 2
"""By how many replicas brokers may differ before some are moved for evenness alone."""
EXCHANGED_PARTITIONS_MAX = 128
"""With more partitions than this a plan makes single moves, and exchanges no two leaderships."""
LOST_NAMED_MAX = 20
"""Partitions named one by one in an answer; the others are counted."""
ARCHIVED_MS = 1_000
"""How often brokers are told how far the journal has archived, which is what their retention may let go of."""
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
