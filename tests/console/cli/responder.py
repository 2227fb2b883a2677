"""A control plane's question socket without a control plane: answers from a function, in a thread of this process."""

import os
import threading
from collections.abc import Callable, Iterable

import msgspec
import psutil
import zmq

from controlplane.questions import MAGIC, At, Question, Told, decode_at, decode_question, encode

Answer = Told | bytes | None | list["Told | bytes"]


class Responder:
    """Answers each question with what `answer` gives for it: one `Told` or several, raw bytes, or None for silence."""

    def __init__(self, answer: Callable[[Question], Answer]) -> None:
        self.answer = answer
        self.asked: list[Question] = []
        self.moments: list[At | None] = []
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        self.url = f"tcp://127.0.0.1:{port}"
        self._end_read, self._end_write = os.pipe()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        os.write(self._end_write, b"!")
        self._thread.join()
        os.close(self._end_read)
        os.close(self._end_write)

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._end_read, zmq.POLLIN)
        while True:
            ready = dict(poller.poll())
            if self._end_read in ready:
                break
            peer, magic, number, body, *moment = self._socket.recv_multipart()
            assert magic == MAGIC
            question = decode_question(body)
            self.asked.append(question)
            self.moments.append(decode_at(moment[0]) if moment else None)
            given = self.answer(question)
            replies: Iterable[Told | bytes] = given if isinstance(given, list) else [given] if given is not None else []
            for reply in replies:
                data = reply if isinstance(reply, bytes) else encode(reply)
                self._socket.send_multipart([peer, MAGIC, number, data])
        self._socket.close()
        self._context.term()


def plane_file(url: str) -> bytes:
    """`plane.json` as if this process were the control plane."""
    started = psutil.Process().create_time()
    return msgspec.json.encode({"pid": os.getpid(), "started": started, "url": url, "epoch": 1, "uuid": "u"})
