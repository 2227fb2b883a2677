"""Bytes with their length before them, as the plane and its worker processes send them to each other. Pure."""

from collections.abc import Callable

import msgspec

from controlplane.errors import WorkerEnded
from controlplane.limits import WORKER_FRAME_BYTES_MAX

LENGTH_BYTES = 4
_encoder = msgspec.msgpack.Encoder()


def framed(body: bytes) -> bytes:
    """Any bytes with their length before them."""
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def encode(frame: msgspec.Struct) -> bytes:
    """One of the structs that plane and worker say to each other, as MessagePack, with its length before it."""
    return framed(_encoder.encode(frame))


def read(receive: Callable[[int], bytes]) -> bytes:
    """The next frame's bytes. `receive(n)` gives 1 to n bytes, none at the end; then WorkerEnded is raised."""
    length = int.from_bytes(_exactly(receive, LENGTH_BYTES), "big")
    if length > WORKER_FRAME_BYTES_MAX:
        raise WorkerEnded(f"a frame of {length:,} bytes is larger than {WORKER_FRAME_BYTES_MAX:,}")
    return _exactly(receive, length)


def _exactly(receive: Callable[[int], bytes], count: int) -> bytes:
    parts: list[bytes] = []
    while count:
        part = receive(count)
        if not part:
            raise WorkerEnded("the other end is gone")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
