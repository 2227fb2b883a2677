"""SQL by operators, in a process of its own: `python -m controlplane.sql`.

    console ──AskSql──▶ plane (desk) ──Check──▶ worker (database): one SELECT? which tables?
                                     ◀─Checked─
                              ──Feed, State──▶ what is new since the last question, and only of those tables
                              ──Run──▶ DuckDB in memory, sealed segments attached read-only
                                     ◀─Answered─

The worker has its own memory limit and low priority, and is ended, not asked, when a query is cancelled or takes too
long: nothing that runs in it can hold up a commit. It sees the journal through views of a documented schema
(`questions.SQL_SCHEMA`). Three walls stand around a query: the parsed statement is one SELECT over these views
(`statement`), DuckDB is locked without access to anything outside (`database`), and each query runs in a transaction
that only reads.
"""
