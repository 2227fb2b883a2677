"""Bounds of the folds: what follows from one input, what state is kept, and from when on something is a finding."""

CASCADE_FACTS_MAX = 150_000
"""Facts that may follow from one input; a fold that says more is quarantined. All tasks may come back and go out."""
FOLLOWED_DEPTH_MAX = 128
"""Arrays and objects within each other in an event that folds are given whole; a deeper one they see as a row only."""
TIMERS_FIRED_MAX = 2_000
"""Deadlines that fire at one input; the rest fires at the next one."""
QUARANTINE_ERROR_CHARS_MAX = 300
"""Of a fold's error, as journaled."""
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
LATELY_GROUPS_MAX = 5
"""Removed groups named in one line of LATELY; the others are counted."""
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
DEAD_LOOK_CHARS_MAX = 64_000
"""Of an error's text, in looking for the line that says what killed: half from its beginning, half from its end."""
DEAD_LINE_CHARS_MAX = 1_000
"""Of that line, before what differs each time is left out of it."""
SCHEMAS_MAX = 10_000
"""Payload schemas, all versions of all types."""
SCHEMAS_BYTES_MAX = 32 * 1024 * 1024
"""Their JSON together."""
SCHEMAS_PAGE_BYTES = 512 * 1024
"""JSON in one page that a client is told; stays under CALL_BYTES_MAX of the bus."""
