"""Every bound of the bus, its unit last. Each is enforced where it is named, with an error or a visible counter.

Those of agents' calls stand in `calls`; they are names of this package, too.
"""

from bus.limits.calls import *

EVENT_BYTES_MAX = 1024 * 1024
"""One event as CloudEvents JSON or in columns, its payload and all its texts."""
OWN_EVENT_BYTES_MAX = 3 * 1024 * 1024
"""The same, in columns, of what brokers and the control plane publish: dead letters, and what is redriven, have more to
say than the event that they are of."""
LETTER_EVENT_BYTES_MAX = 2 * 1024 * 1024
"""The event in a dead letter, as CloudEvents JSON; of a larger one what is long is left out, its data too."""
LETTER_TEXT_BYTES_MAX = 16 * 1024
"""An attribute that a dead letter says beside its event, or keeps of one of which it leaves out what is longer."""
LETTER_DEPTH_MAX = 126
"""Arrays and objects within each other in the event of a dead letter; the data of a deeper one is in it as bytes, so
that the letter, two deeper, can be read whole by everyone."""
EVENT_AHEAD_MS_MAX = 3_600_000
"""How far an event's `time` may be ahead of the leader's clock; further is a clock that is wrong."""
BATCH_EVENTS_MAX = 500
"""Events in one batch; the client cuts there."""
BATCH_BYTES_MAX = 4 * 1024 * 1024
"""One batch's body."""
FRAME_BYTES_MAX = 16 * 1024 * 1024
"""One multipart message, all frames together; larger ones are dropped by the socket."""
FRAME_PARTS_MAX = 256
"""Frames in one multipart message."""
PARTITIONS_MAX = 4096
SLOTS = 4096
"""Slots a key falls into; fixed at a fleet's birth."""
RESERVED_PARTITIONS = 1
"""Partitions behind the public ones that are the plane's own: the copy of its journal."""
PARTITIONS_DEFAULT = 12
"""Partitions of a new fleet."""
REPLICATION_FACTOR_MAX = 3
"""Replicas a new partition gets, if there are as many brokers."""
REPLICA_LAG_MS_MAX = 2_000
"""A replica that has not acked for longer than this is not in sync."""
SESSION_PING_MS = 2_000
"""An opener that has said nothing for so long says Ping."""
SESSION_SILENT_MS_MAX = 15_000
"""A peer silent for longer than this is taken for gone, and its session ends."""
SESSIONS_MAX = 4_096
"""Sessions of one broker; the next Hello is refused."""
PEER_NAME_CHARS_MAX = 200
"""The name a peer gives itself in Hello."""
STORE_BYTES_MAX = 64 * 1024 * 1024 * 1024
"""The address space a broker's store may take; its file grows as it fills."""
TAIL_CACHE_BYTES_MAX = 48 * 1024 * 1024
"""Recent records that a broker keeps in memory for followers and readers."""
TAIL_ENTRY_BYTES = 768
"""What a record in memory takes beside its bytes: its decoded header and its place."""
DISK_RESERVE_BYTES = 256 * 1024 * 1024
"""Room on its disk below which a broker refuses new events with StorageFull."""
FILTER_TYPES_CACHED_MAX = 16_384
"""Distinct types a pattern remembers its answer for; beyond it the memory is emptied and starts again."""
TRIE_MATCHES_CACHED_MAX = 65_536
"""Distinct types, and subscriptions that they lead to, which a trie remembers; then it is emptied and starts again."""
PATTERN_CHARS_MAX = 1_024
"""A pattern that is subscribed to."""
PATTERN_TOKENS_MAX = 64
"""Tokens of a pattern that is subscribed to; each may be a node of a trie."""
EXTENSIONS_MAX = 64
"""Extension attributes of one event."""
RECORD_HEAD_BYTES = 4 * 1024
"""Read first of a stored record when only its header is wanted; longer headers cost a second read."""
CONNECT_MS_MAX = 5_000
"""How long `connect()` looks for a broker that answers."""
HELLO_MS_MAX = 3_000
"""A broker that has not answered Hello by then is taken for silent, and is tried again."""
REDIAL_MS_MIN = 20
"""First wait before a broker is dialled again; it doubles up to REDIAL_MS_MAX."""
REDIAL_MS_MAX = 1_000
"""Longest wait before a broker is dialled again."""
REFRESH_MS = 250
"""While a partition has no leader that answers, the topology is asked for again this often."""
CLOSE_LINGER_MS = 250
"""What a closing client still waits for its last frames to leave."""
LINK_RECONNECT_MS = 3_600_000
"""What ZeroMQ is told to wait before it connects again by itself: longer than any lost session keeps its socket."""
LINK_FRAMES_QUEUED_MAX = 4_096
"""Multipart messages queued in a client's socket; when it is full the session is given up and opened anew."""
LINK_FRAMES_PER_TURN_MAX = 64
"""Multipart messages a client takes from one socket before it lets other tasks run."""
LANE_BATCHES_IN_FLIGHT_MAX = 8
"""Unanswered batches of one producer in one partition."""
PUBLISH_MS_MAX = 30_000
"""How long a publish is retried before it fails, unless the call says otherwise."""
PUBLISH_RETRY_MS_MIN = 5
"""First wait after a partition refused; it doubles up to PUBLISH_RETRY_MS_MAX."""
PUBLISH_RETRY_MS_MAX = 250
"""Longest wait before a refused batch is sent again."""
PUBLISH_BUFFER_BYTES_MAX = 32 * 1024 * 1024
"""Encoded batches that a client holds, waiting and unanswered together; `publish_many` waits at it."""
PUBLISH_WAITING_EVENTS_MAX = 65_536
"""Events of concurrent `publish` calls that wait to be batched; the next call waits."""
PUBLISH_SLICE_EVENTS_MAX = 2_000
"""Events that `publish_many` prepares before it lets other tasks run."""
PUBLISH_FRAME_BYTES_MAX = 8 * 1024 * 1024
"""Batch bodies in one Publish, unless one batch alone is larger."""
WATCH_CREDIT_BYTES = 1024 * 1024
"""Records of one partition that may be on their way to one `read`."""
FOLLOW_CREDIT_BYTES = 2 * 1024 * 1024
"""Records of one partition that may be on their way to a record follower."""
WATCH_RETRIES_MAX = 5
"""Corrupt or ill-fitting answers in a row, without progress, before a reader fails."""
IN_FLIGHT_EVENTS_MAX = 65_536
"""The greatest `in_flight` of a subscription: deliveries that are out and not settled."""
SETTLE_ITEMS_MAX = 1_000
"""Settlements in one Settle frame that are said one by one."""
SETTLE_ACKS_MAX = 8_192
"""Events in one Settle frame that are acked as runs of offsets; as many as a group has in flight at one partition."""
ITERATE_EVENTS_MAX = 500
"""Deliveries that an iteration gives out before it lets other tasks run, though more are at hand."""
SETTLE_MS_MAX = 30_000
"""How long a settlement is retried before it fails with OutcomeUnknown."""
LEAVE_MS_MAX = 2_000
"""How long a closing subscription waits for its last settlements to be answered."""
GROUP_IN_FLIGHT_MAX = 8_192
"""Events of one group and partition that are read and not settled; the group reads no further before some are."""
GROUP_PAGE_OFFSETS_MAX = 4_096
"""Offsets that one page of a group's committed state spans, so that a log of nonsense makes no numbers without end."""
GROUP_HISTORY_MAX = 10
"""Failed attempts of an event that are kept, the last ones."""
GROUP_ERROR_CHARS_MAX = 1_000
"""The text of a nack or terminate; more is cut off."""
GROUP_FAILED_PER_DELTA_MAX = 1_000
"""Events of a group whose failed attempts go into one record; the rest goes into the next."""
GROUP_NAME_CHARS_MAX = 200
"""The name of a group or of a member."""
GROUP_MEMBERS_MAX = 1_000
"""Members of one group at one partition."""
GROUPS_PER_PARTITION_MAX = 1_000
"""Groups that are defined on one partition."""
GROUP_DELIVER_ATTEMPTS_MAX = 100
"""The greatest `max_deliver`."""
GROUP_DELAY_MS_MAX = 7 * 24 * 3_600 * 1_000
"""The longest `ack_wait` and the longest delay of a nack."""
GROUP_REPORT_MS = 1_000
"""For so long a new leader lets members report what they hold before it delivers anything itself."""
GROUP_PASSED_EVENTS_MAX = 10_000
"""Events passed by the filter before a group's advance is logged though nothing else happened."""
GROUP_LOANS_SPARED = 256
"""Settled loans of a group that may stand among the others before their list is gone through."""
GROUP_SETTLES_WAITING_MAX = 65_536
"""Settle frames of one group and partition whose answer waits for a commit; more are refused."""
GROUP_REMOVALS_WAITING_MAX = 1_000
"""Removals at one partition of groups that are not there whose answer waits for a commit; more are refused."""
GROUP_RECENT_EVENTS_MAX = 8_192
"""Settled events a leader remembers, to know a repeated settlement from a stale one."""
FILTER_TYPE_CHARS_MAX = 1_024
"""Longer types are matched afresh each time instead of being remembered."""
HEARTBEAT_MS = 250
"""A leader that has nothing to ship says so to each follower this often."""
SHIP_RETRY_MS = 1_000
"""Records in flight to a follower are sent again when nothing was acked for so long."""
SHIP_RECORDS_MAX = 128
"""Records in one ship; stays under FRAME_PARTS_MAX."""
SHIP_BYTES_MAX = 4 * 1024 * 1024
"""Records in one ship, together; a larger single record travels alone."""
SHIP_WINDOW_RECORDS_MAX = 1_024
"""Records in flight to one follower of one partition."""
SHIP_WINDOW_BYTES_MAX = 16 * 1024 * 1024
"""Bytes in flight to one follower of one partition."""
UNCOMMITTED_RECORDS_MAX = 16_384
"""Records a leader appends beyond its high watermark before it refuses."""
AWAITED_SECTIONS_MAX = 65_536
"""Publishes of one partition, sent again or not, whose answer waits for a commit; more are refused."""
PRODUCERS_MAX = 1_000
"""Producers remembered per partition; the one unused longest is forgotten first."""
GIVEN_IDS_MAX = 32_768
"""Ids that publishers gave, remembered per partition at 32 bytes each: those of the events appended last."""
GIVEN_ID_HOURS_MAX = 24
"""How long before the newest one the oldest of those may have been appended."""
GIVEN_PAGE_IDS = 2_048
"""Given ids that are written down together; a note writes the pages that have new ones, not the whole window."""
PRODUCER_OUTCOMES_MAX = 64
"""Batches remembered per producer and partition; a client keeps at most so many in flight to one partition."""
STORE_BYTES_MIN = 1024 * 1024
"""The least a broker's store may be allowed to take."""
TURN_FRAMES_MAX = 512
"""Multiparts taken from one socket in one turn of a broker's loop."""
TURN_BYTES_MAX = 32 * 1024 * 1024
"""Bytes taken from one socket in one turn; the turn ends with the multipart that passes it."""
PEER_RECEIVE_FRAMES_MAX = 128
"""Messages of one peer waiting at a broker's socket; then TCP holds the peer back."""
PEER_SEND_FRAMES_MAX = 4_096
"""Messages waiting for one peer; a peer that lets them pile up higher has its session ended."""
PEER_SEND_BYTES_MAX = 128 * 1024 * 1024
"""Bytes that one peer was sent and has not read; a peer that lets them pile up higher has its session ended."""
PEER_UNREAD_BYTES = 32 * 1024 * 1024
"""Records for watches wait while a peer has so many bytes, or more, to read."""
PEER_PING_BYTES = 1024 * 1024
"""After so many bytes a peer is asked whether it has read them."""
LINK_RETRY_MS = 200
"""A leader greets a follower again so long after their session ended."""
LINK_GREETING_MS_MAX = 3_000
"""A follower that has not welcomed its leader for so long is greeted anew."""
WATCHES_PER_SESSION_MAX = 4_096
"""Watches of one session; PARTITIONS_MAX, so that one session may watch everything."""
WATCH_CREDIT_BYTES_MAX = 64 * 1024 * 1024
"""Credit of one watch; more is cut to this."""
WATCH_PASSED_MS = 10
"""A watch that wants to know is told so often, at most, what was passed without a matching event."""
WATCH_PASSED_EVENTS_MAX = 10_000
"""Events passed without a matching one of which the slow round of all watches tells a reader."""
WATCH_NEWCOMER_RECORDS_MAX = 16_384
"""A watch that begins so far behind, or less, is looked after together with all others that come."""
WATCH_NEWCOMERS_TURN_RECORDS_MAX = 512
"""Records that a broker looks through for newcomers in one turn."""
WATCH_ROUND_MS = 5
"""The slow round comes to the next watch so often."""
READ_BYTES_MAX = 1024 * 1024
"""Records in one Records message, but one record at least."""
READ_RECORDS_MAX = 200
"""Records looked at for one Records message."""
TURN_READ_BYTES_MAX = 8 * 1024 * 1024
"""Records sent to all watches in one turn; the others go on in the next."""
TURN_WAIT_MS_MAX = 100
"""A broker's loop looks up at least so often."""
APPLIED_RECORDS_MAX = 2_048
"""Committed records of a partition after which producer windows and groups are written down, for a quick restart."""
STORAGE_RETRY_MS = 1_000
"""How often a broker looks at its disk's room, and tries again after its store was full."""
FIGURES_SAMPLES_MAX = 4_096
"""Latencies kept for a percentile between two samples; beyond it each newer one displaces an older one."""
TOPOLOGY_NODES_MAX = 1_024
"""Brokers in a topology."""
SEAT_REPLICAS_MAX = 16
"""Replicas of one partition."""
FAREWELL_MS = 500
"""How long a closing broker lets its last frames leave."""
PRODUCER_BYTES_MAX = 16
"""A producer id: 128 bits."""
READ_OVERHEAD_BYTES = 4 * 1024
"""What passing through one watch counts in a turn, beside the bytes that it sends."""
GROUP_READ_BYTES = 256 * 1024
"""Records that a group is read at once."""
GROUP_TURN_READ_BYTES_MAX = 4 * 1024 * 1024
"""Records that all groups of a broker are read in one turn; the rest waits for the next."""
GROUP_SAMPLE_READ_BYTES_MAX = 4 * 1024 * 1024
"""Records that all groups of a broker are looked through for one sample; the rest waits for the next."""
GROUP_SAMPLE_READ_BYTES_MIN = 4 * 1024
"""What a group that is looked through for a sample counts as at least: so many groups are, and no more."""
GROUP_SAMPLE_MEMBERS_MAX = 32
"""Members of a group at one partition that a sample names; the rest is counted."""
GROUP_TURN_DEAD_MAX = 200
"""Dead letters that a broker appends in one turn."""
GROUP_RECORD_BYTES_MAX = 1024 * 1024
"""Deltas of a partition's groups in one record, unless one alone is larger."""
GROUP_GATHER_MS = 5
"""For so long at most an ack waits to be logged because a record of this broker's groups is not committed yet."""
GROUP_RETRY_MS = 50
"""After a refused append of groups' changes, the next try."""
GROUP_CUT_GAP_ROWS_MAX = 8
"""Rows of a record that lie closer than this go to a member in one piece."""
GROUP_CUT_DIVISOR = 4
"""A member is sent a whole record when it gets this part of its events, or more; less is cut out of it."""
GROUP_CUT_RECORDS_MAX = 16
"""Decoded records that are kept at hand for cutting."""
GROUP_MEMBERSHIPS_PER_SESSION_MAX = 65_536
"""Groups times partitions that one session may be a member of."""
KEY_HOMES_CACHED_MAX = 65_536
"""Keys whose partition one `publish_many` remembers; beyond it the memory is emptied and starts again."""
GROUP_BURIED_EVENTS_MAX = 1_000
"""Dead letters' events that a group's state remembers, the last ones."""
STORAGE_PROBE_BYTES = 256 * 1024
"""What a store that was full must take before its broker works again."""
COMPLAINT_MS = 1_000
"""A broker logs malformed frames at most so often; all of them are counted."""
READ_STALL_MS_MAX = 30_000
"""A read with an end to it fails when none of its partitions brings anything for so long."""
CREDIT_BASE_PARTS = 4
"""A subscription lends each partition this fraction of its even share of `in_flight` before there is demand."""
CREDIT_CHUNKS = 4
"""While a subscription has deliveries at hand, it lends credit in this fraction of `in_flight`, or more."""
CREDIT_PATIENCE_MS = 20
"""When nothing has been delivered to a subscription for so long, it lends credit in pieces of any size."""
PUBLISH_GATHER_EVENTS = 128
"""Events of concurrent `publish` calls to one partition, or one broker, that leave though others are unanswered."""
PUBLISH_GATHER_FRAMES = 2
"""Frames of such calls that one broker may have unanswered before others gather."""
PUBLISH_GATHER_MS = 4
"""For so long at most an event waits because its broker has not answered for other partitions."""
GROUP_LOOKAHEAD_EVENTS = 1_000
"""A group delivers an urgent event before others only if it lies at most so far behind the oldest that is ready."""
GROUP_OLDEST_TURN = 8
"""Every so many picks among events of different priorities the oldest is taken, whatever its priority."""
GROUP_PARKED_KEYS_MAX = 10_000
"""Keys that a group has parked; beyond it the key that was parked first goes on."""
HOLDBACK_EVENTS_MAX = 65_536
"""Events that one ordered `read` holds back before it stops asking the partitions that are ahead."""
HOLDBACK_ASIDE_MAX = 1_000
"""Events with a gap before them that a causal `read` set aside and keeps at hand, the last ones."""
LATENESS_MS_MAX = 24 * 3_600 * 1_000
"""The greatest `lateness` of an ordered `read`."""
OPEN_FILES_WANTED = 8_192
"""Open files that a broker or a plane asks its system for: SESSIONS_MAX sockets, and room for everything else."""
SEMANTIC_RULES_MAX = 256
"""Rules of a semantic partitioning; every topology carries them."""
SEMANTIC_TEXT_CHARS_MAX = 128
"""Of a rule's prefix, group and locality."""
SLOTS_MAX = 65_536
"""Slots that a topology may say a fleet was born with."""
REPLICA_NOTE_RECORDS_MAX = 256
"""Records by which a high watermark that is written down may be behind; a restart reads so many headers more."""
EXTENT_RECORDS_MAX = 4_096
"""Records of a partition that opening a store counts one by one, to know how many bytes it holds."""
TRIM_TURN_RECORDS_MAX = 256
"""Records that retention removes in one turn of a broker."""
TRIM_TURN_BYTES_MAX = 8 * 1024 * 1024
"""Bytes of records after which a turn removes no more, but one record at least."""
RETENTION_LOOK_MS = 1_000
"""How often a broker looks for records that retention lets go of."""
RETENTION_WARN_DIVISOR = 10
"""Groups are warned of what retention lets go of within this fraction of its age or bytes."""
RETENTION_BYTES_MIN = 64 * 1024
"""The least bytes of a partition that retention may be told to keep."""
BEGIN_BYTES_MAX = 12 * 1024 * 1024
"""Producer windows, groups and given ids, sent instead of trimmed records; stays under FRAME_BYTES_MAX."""
RETENTION_LOOK_RECORDS_MAX = 16_384
"""Records of a partition that one look of retention finds to be too many; the rest goes after the next look."""
COPY_BYTES_MAX = 1024 * 1024 * 1024
"""The copy of the journal on one broker; its oldest records go first."""
COPY_STORE_DIVISOR = 16
"""The part of a broker's store that the copy may take at most."""
COPY_SECONDS_MAX = 90 * 24 * 3600
"""Older records of the copy go."""
WAL_BYTES_MAX = 16 * 1024 * 1024
"""Each of the two files of a store's write-ahead log; a turn that does not fit goes to the tree at once."""
WAL_BYTES_MIN = 64 * 1024
"""The least of such a file, where the store itself is small: a sixteenth of it."""
WAL_GROWTH_BYTES = 1024 * 1024
"""A file of the write-ahead log grows by so much, until it has its size."""
FLUSH_BYTES = 8 * 1024 * 1024
"""Records that gather in the write-ahead log before the tree takes them in one transaction."""
FLUSH_RECORDS = 4_096
"""The same as a number of records."""
BUNDLE_MESSAGES_MAX = 32
"""Messages that one turn says to one peer in one frame."""
BUNDLE_BYTES_MAX = 2 * 1024 * 1024
"""Blobs in such a frame, unless one message alone has more."""
TEST_FLEET_BYTES_MAX = 256 * 1024 * 1024
"""Records that a fleet in memory takes before it refuses more."""
SCHEMA_BYTES_MAX = 64 * 1024
"""One payload schema, as JSON."""
SCHEMA_REFRESH_MS = 30_000
"""What a client knows of schemas is asked for again when it is older and something is published."""
SCHEMA_ASK_MS_MAX = 1_000
"""How long a client waits for the control plane to tell it the schemas; then it goes on without."""
SCHEMA_TRIES_MAX = 8
"""How often a version is tried for that others take first."""
SCHEMAS_COMPILED_MAX = 1_024
"""Schemas that a client keeps ready to check payloads with."""
