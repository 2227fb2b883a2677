"""SQL as a question, and the schema that it is about: tables, columns, types and what they mean.

The schema is the contract of `signalbox sql`: the worker makes its views by these names, in this order and of these
types. Instants are TIMESTAMP WITH TIME ZONE in UTC, cut to microseconds; what ends in `_ns` is exact.
"""

from typing import Any, NamedTuple

import msgspec

from controlplane.questions.pages import Ask, Reply

__all__ = [
    "SQL_SCHEMA",
    "AskSql",
    "CancelSql",
    "SqlAnswer",
    "SqlCancelled",
    "SqlColumn",
    "SqlColumnDoc",
    "SqlTableDoc",
]

INSTANT = "TIMESTAMP WITH TIME ZONE"


class SqlColumnDoc(NamedTuple):
    """One documented column."""

    name: str
    type: str
    about: str


class SqlTableDoc(NamedTuple):
    """One documented table."""

    name: str
    about: str
    columns: tuple[SqlColumnDoc, ...]


def _table(name: str, about: str, *columns: tuple[str, str, str]) -> SqlTableDoc:
    return SqlTableDoc(name, about, tuple(SqlColumnDoc(*column) for column in columns))


SQL_SCHEMA = (
    _table(
        "events",
        "every archived event",
        ("position", "UBIGINT", "its place in the journal's order"),
        ("recorded", INSTANT, "when the control plane took it"),
        ("recorded_ns", "BIGINT", "the same, exact"),
        ("partition", "USMALLINT", "where it was appended"),
        ("offset", "UBIGINT", "its place there"),
        ("appended", INSTANT, "when its leader appended it"),
        ("appended_ns", "BIGINT", "the same, exact"),
        ("id", "VARCHAR", ""),
        ("source", "VARCHAR", "who said it"),
        ("type", "VARCHAR", "what happened"),
        ("subject", "VARCHAR", "what it is about"),
        ("saga", "VARCHAR", "correlationid, else subject"),
        ("time", INSTANT, "the publisher's word; NULL where it gave none"),
        ("time_ns", "BIGINT", "the same, exact"),
        ("correlationid", "VARCHAR", ""),
        ("causationid", "VARCHAR", "the event that made it happen"),
        ("traceparent", "VARCHAR", "W3C trace context"),
        ("attributes", "JSON", "the attributes that few events have: attributes->>'$.priority'"),
        ("data", "VARCHAR", "the payload, where it is JSON: data->>'$.total'"),
        ("bytes", "BLOB", "any other payload"),
        ("size", "UINTEGER", "bytes of the payload"),
        ("internal", "BOOLEAN", "lifecycle, dead letters, redriven and signalbox.> events"),
    ),
    _table(
        "facts",
        "what else happened: to the fleet, to sagas, by operators",
        ("position", "UBIGINT", "its place in the journal's order"),
        ("recorded", INSTANT, "the control plane's clock"),
        ("recorded_ns", "BIGINT", "the same, exact"),
        ("cause", "UBIGINT", "the position that made it follow; NULL for an input"),
        ("kind", "VARCHAR", "LeaderElected, BrokerLost, SagaStuck ..."),
        ("fact", "JSON", "all of it: fact->>'$.leader'"),
    ),
    _table(
        "flows",
        "who says what, how often; as of now",
        ("source", "VARCHAR", ""),
        ("type", "VARCHAR", ""),
        ("events", "BIGINT", "ever"),
        ("recent", "BIGINT", "of the last five minutes"),
        ("last", INSTANT, "the second in which its newest event was appended"),
    ),
    _table(
        "sagas",
        "what belongs together, and how far it is; as of now",
        ("saga", "VARCHAR", ""),
        ("state", "VARCHAR", "open, finished, failed"),
        ("severity", "VARCHAR", "ok, warn, bad: how an open one stands"),
        ("step", "VARCHAR", "the type of its last event"),
        ("steps", "BIGINT", "how many events"),
        ("source", "VARCHAR", "who said the last one"),
        ("started", INSTANT, "by its own log's time"),
        ("last", INSTANT, "the same, of its last event"),
        ("waiting_ns", "BIGINT", "since then, while it is open"),
        ("typical_ns", "BIGINT", "the median wait after this step; NULL until known"),
        ("p95_ns", "BIGINT", "the 95th percentile of it; NULL until known"),
        ("importof", "VARCHAR", "the log it was imported from, or empty"),
        ("position", "UBIGINT", "of its last event"),
    ),
    _table(
        "dead_letters",
        "what could not be handled; as of now",
        ("id", "VARCHAR", ""),
        ("dead_group", "VARCHAR", "g-01 ...: those that died alike"),
        ("group", "VARCHAR", "the consumer group it died in"),
        ("reason", "VARCHAR", "max_deliver, expired, terminated ..."),
        ("what", "VARCHAR", "what killed it, its numbers left out"),
        ("error", "VARCHAR", "the last error's text"),
        ("state", "VARCHAR", "waiting, redriving, redriven"),
        ("partition", "USMALLINT", "where the original stands"),
        ("offset", "UBIGINT", "its place there"),
        ("position", "UBIGINT", "of the dead letter in the journal"),
        ("died", INSTANT, ""),
        ("attempts", "BIGINT", "that failed, as far as kept"),
        ("event", "JSON", "the original, as CloudEvents JSON"),
    ),
    _table(
        "ballots",
        "what is put to the vote, and what was decided of late; as of now",
        ("ballot", "VARCHAR", ""),
        ("outcome", "VARCHAR", "open; decided, tied, expired, impossible"),
        ("choice", "VARCHAR", "what was decided; NULL for anything else"),
        ("proposer", "VARCHAR", "who asked"),
        ("question", "VARCHAR", "what is asked"),
        ("quorum", "VARCHAR", "majority, two_thirds, unanimous, weighted"),
        ("voters", "BIGINT", "how many may vote; NULL for anyone"),
        ("votes", "BIGINT", "for an option"),
        ("abstained", "BIGINT", ""),
        ("tally", "JSON", "weight by option: tally->>'$.yes'"),
        ("deadline", INSTANT, "by the control plane's clock; NULL once it is over"),
        ("position", "UBIGINT", "of the proposal, or of what decided it"),
    ),
    _table(
        "leases",
        "who has what, and who waits for it; as of now",
        ("lease", "VARCHAR", ""),
        ("resource", "VARCHAR", ""),
        ("holder", "VARCHAR", "who has it, or wants it"),
        ("state", "VARCHAR", "held, waiting"),
        ("priority", "VARCHAR", "high, medium, low"),
        ("units", "BIGINT", "of the resource's capacity"),
        ("capacity", "BIGINT", ""),
        ("token", "UBIGINT", "the fencing token; NULL while it waits"),
        ("until", INSTANT, "when it ends unless it is renewed, or waits no longer"),
        ("position", "UBIGINT", "of what granted it, or of the request"),
    ),
)
"""The documented schema."""


class AskSql(Ask, frozen=True):
    """One SELECT over `SQL_SCHEMA`. `token` names it for `CancelSql`; 0 is the plane's own limit."""

    sql: str
    token: str = ""
    timeout_ms: int = 0
    rows: int = 0


class SqlColumn(msgspec.Struct):
    """A column of an answer and its DuckDB type."""

    name: str
    type: str


class SqlAnswer(Reply):
    """What a SELECT gave. `rows` is MessagePack: an array of rows, each an array of values in the columns' order.

    Integers stand as integers while they fit 64 bits, else as decimal text; decimals, instants, dates, times and
    intervals stand as text; blobs as bytes; lists, structs and maps as arrays and maps.
    """

    columns: list[SqlColumn]
    rows: msgspec.Raw
    count: int
    cut: str = ""
    """Why there are rows that are not in the answer; "" when it is whole."""
    took_ns: int = 0
    journal_from: int = 0
    """Where it is about events or facts: those up to this position are gone, as retention let go of them."""

    def values(self) -> list[list[Any]]:
        """The rows."""
        return msgspec.msgpack.decode(self.rows, type=list[list[Any]])


class CancelSql(Ask, frozen=True):
    """End the query of this token."""

    token: str


class SqlCancelled(Reply):
    """`found`: it was still waiting or running."""

    found: bool
