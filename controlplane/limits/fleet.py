"""Bounds of what runs the fleet: brokers, elections, moves of leaderships and replicas."""

CLOCK_SKEW_MS_MAX = 5_000
"""A broker's clock that is further than this from the plane's is a finding; beyond it times of two brokers mislead."""
EXIT_POLL_MS = 200
"""How often the process table is asked for an exit where the kernel cannot tell it."""
LAST_WORDS_BYTES_MAX = 2_000
"""The end of a broker's log that is read to say why it ended."""
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
SAMPLE_MS = 1_000
"""How often brokers are asked for their figures."""
SAMPLE_IDLE_MS = 4_000
"""How often an unchanged broker's sample is journaled, as a sign of life; well below BROKER_SILENT_MS_MAX."""
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
ARCHIVED_MS = 1_000
"""How often brokers are told how far the journal has archived, which is what their retention may let go of."""
