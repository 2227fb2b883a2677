"""Signalbox beside other systems' own servers, in one run: `make bench-peers` (`make bench-peers BENCH="--help"`).

One round measures every peer once, one after another: its servers are started for its turn, on loopback and free ports,
in a directory that goes afterwards, and ended after it. Rounds are repeated, and the medians compared, so that what the
machine does besides falls on all alike. Every peer publishes from one process and consumes in another, with the client
that its users have, batching and windows as in its own benchmarks; `durable` says what its ack is worth. Latency is
open-loop for all (`console.bench.pace`), counted from when an event was due.
"""
