"""Every bound of the bus, its unit last. Each is enforced where it is named, with an error or a visible counter."""

EVENT_BYTES_MAX = 1024 * 1024
"""One event as CloudEvents JSON or in columns."""
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
TAIL_CACHE_BYTES_MAX = 64 * 1024 * 1024
"""Recent records that a broker keeps in memory for followers and readers."""
DISK_RESERVE_BYTES = 256 * 1024 * 1024
"""Room on its disk below which a broker refuses new events with StorageFull."""
