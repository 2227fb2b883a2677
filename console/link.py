"""The console's only socket: asks the control plane one question at a time and waits for its answer.

Safe to share between threads: one asks, the others wait their turn. `close` ends a wait at once, from any thread. After
an answer that did not come the socket is thrown away, so that a late answer can never be taken for another's.
"""

import os
import threading
import time
from collections.abc import Callable

import msgspec
import zmq

from console.limits import ANSWER_BYTES_MAX
from controlplane.questions import MAGIC, At, Progress, Question, Told, decode_told, encode


class NoAnswer(Exception):
    """The control plane did not answer; the message says why, and what was tried."""


class Link:
    """A line to the control plane at `url` (`tcp://host:port`). Connects when first asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._turn = threading.Lock()
        self._socket: zmq.Socket[bytes] | None = None
        self._number = 0
        self._closed = threading.Event()
        self._wake_read, self._wake_write = os.pipe()

    def ask(
        self,
        question: Question,
        timeout: float = 5.0,
        on_progress: Callable[[Progress], None] | None = None,
        at: At | None = None,
    ) -> Told:
        """The answer, as it was `at` a moment of the past when one is given; a `Refusal` is one too. Raises NoAnswer.

        `timeout` is in seconds, counted anew from each `Progress` that comes meanwhile.
        """
        with self._turn:
            if self._closed.is_set():
                raise NoAnswer("this link is closed")
            self._number += 1
            number = self._number.to_bytes(8, "big")
            socket = self._open()
            moment = [] if at is None else [encode(at)]
            try:
                socket.send_multipart([MAGIC, number, encode(question), *moment], flags=zmq.NOBLOCK)
                return self._wait(socket, number, timeout, on_progress)
            except (zmq.ZMQError, NoAnswer) as error:
                self._drop()
                if isinstance(error, NoAnswer):
                    raise
                raise NoAnswer(f"{self.url}: {error}") from error

    def close(self) -> None:
        """Give the socket back; a question under way ends with NoAnswer."""
        if self._closed.is_set():
            return
        self._closed.set()
        os.write(self._wake_write, b"!")
        with self._turn:
            self._drop()
            os.close(self._wake_read)
            os.close(self._wake_write)

    def __enter__(self) -> "Link":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> "zmq.Socket[bytes]":
        if self._socket is None:
            # A context of its own: closing this link must not wait for anybody else's sockets.
            socket = zmq.Context().socket(zmq.DEALER)
            socket.linger = 0
            socket.maxmsgsize = ANSWER_BYTES_MAX
            socket.connect(self.url)
            self._socket = socket
        return self._socket

    def _drop(self) -> None:
        if self._socket is not None:
            context = self._socket.context
            self._socket.close()
            context.term()
            self._socket = None

    def _wait(
        self,
        socket: "zmq.Socket[bytes]",
        number: bytes,
        timeout: float,
        on_progress: Callable[[Progress], None] | None,
    ) -> Told:
        poller = zmq.Poller()
        poller.register(socket, zmq.POLLIN)
        poller.register(self._wake_read, zmq.POLLIN)
        deadline = time.monotonic() + timeout
        while True:
            ready = dict(poller.poll(max(0, round((deadline - time.monotonic()) * 1000))))
            if self._closed.is_set():
                raise NoAnswer("this link was closed meanwhile")
            if socket not in ready:
                raise NoAnswer(f"the control plane at {self.url} did not answer within {timeout:g} s")
            parts = socket.recv_multipart()
            if len(parts) != 3 or parts[0] != MAGIC:
                raise NoAnswer(f"{self.url} answers, but not as a control plane does")
            if parts[1] != number:
                continue
            try:
                told = decode_told(parts[2])
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise NoAnswer(f"the control plane at {self.url} speaks another version: {error}") from error
            if not isinstance(told.body, Progress):
                return told
            deadline = time.monotonic() + timeout
            if on_progress is not None:
                on_progress(told.body)
