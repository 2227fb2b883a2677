"""Sessions by transcript: an opener, a listener, and the wires between them, which a `> command` may cut or delay.

| command | does |
|---|---|
| open [resumes] | a new opener session on the same socket says Hello; `resumes`: names the one before |
| ping N, pong N | the opener, the listener says it |
| up, down | the next frame in that direction arrives; `lose up` drops it instead, `twice up` delivers it twice |
| forget | the listener restarts: it knows no session |
| silence MS | time passes; who is silent too long is ended by the listener; the opener pings when it is due |

`--rewrite` writes what the machines say now into the files; read the diff before keeping it.
"""

from collections import deque
from pathlib import Path
from typing import Any

import pytest

from bus import wire
from bus.errors import ProtocolError
from bus.session import Greeted, Heard, Refused, Session, Sessions
from tests.transcripts import check, files

FILES = files("session")
MS = 1_000_000


class Stage:
    """One peer of one listener; session ids count from 1."""

    def __init__(self) -> None:
        self.now = 0
        self.listener = Sessions("fleet")
        self.opener = Session(0)
        self.far: Session | None = None
        self.wires: dict[str, deque[list[bytes]]] = {"up": deque(), "down": deque()}

    def run(self, line: str) -> list[str]:
        verb, *words = line.split()
        said = getattr(self, f"do_{verb}")(*words)
        return [*said, f"  opener {self.opener.state.value}, listener knows {sorted(s.id for s in self.listener)}"]

    def do_open(self, resumes: str = "") -> list[str]:
        before = self.opener.id
        self.opener = Session(before + 1, now=self.now)
        hello = self.opener.hello(role="client", name="c", resumes=before if resumes else 0, now=self.now)
        self.wires["up"].append(hello)
        return []

    def do_ping(self, token: str) -> list[str]:
        return self.say("up", self.opener, wire.Ping(int(token)))

    def do_pong(self, token: str) -> list[str]:
        if self.far is None:
            return ["listener has nobody to say it to"]
        return self.say("down", self.far, wire.Pong(int(token)))

    def do_up(self) -> list[str]:
        return self.arrive("up", self.wires["up"].popleft())

    def do_down(self) -> list[str]:
        return self.arrive("down", self.wires["down"].popleft())

    def do_lose(self, way: str) -> list[str]:
        return [f"lost {show(self.wires[way].popleft())}"]

    def do_twice(self, way: str) -> list[str]:
        self.wires[way].appendleft(self.wires[way][0])
        return self.run_both(way)

    def run_both(self, way: str) -> list[str]:
        return [line for _ in range(2) for line in self.arrive(way, self.wires[way].popleft())]

    def do_forget(self) -> list[str]:
        self.listener, self.far = Sessions("fleet"), None
        return []

    def do_silence(self, ms: str) -> list[str]:
        self.now += int(ms) * MS
        said = []
        ping = self.opener.ping_due(self.now)
        if ping is not None:
            self.wires["up"].append(ping)
            said.append("opener pings")
        for session in self.listener.silent(self.now):
            self.wires["down"].append(self.listener.end(session, "closing", "silent"))
            said.append(f"listener ends session {session.id}")
        return said

    def say(self, way: str, session: Session, message: wire.Message) -> list[str]:
        try:
            self.wires[way].append(session.send(message, now=self.now))
        except ProtocolError as error:
            return [f"refused: {error}"]
        return []

    def arrive(self, way: str, parts: list[bytes]) -> list[str]:
        return self.arrive_up(parts) if way == "up" else self.arrive_down(parts)

    def arrive_up(self, parts: list[bytes]) -> list[str]:
        arrival = self.listener.receive(b"peer", parts, self.now)
        if isinstance(arrival, Heard):
            return [f"listener hears {show(parts)}"]
        if isinstance(arrival, Greeted):
            self.far = arrival.session
            welcome = wire.Welcome("fleet", "b1", "store", arrival.protocol, [], "anonymous", 0, None)
            self.wires["down"].append(arrival.session.send(welcome))
            replaced = f", in place of session {arrival.replaced.id}" if arrival.replaced else ""
            resumes = f", resuming {arrival.hello.resumes}" if arrival.hello.resumes else ""
            return [f"listener greets session {arrival.session.id}{resumes}{replaced}"]
        return self.refused(arrival)

    def refused(self, arrival: Refused) -> list[str]:
        if arrival.frames:
            self.wires["down"].append(arrival.frames)
        ended = f", session {arrival.ended.id} ended" if arrival.ended else ""
        answer = f", answers {show(arrival.frames)}" if arrival.frames else ""
        return [f"listener refuses: {arrival.why}{answer}{ended}"]

    def arrive_down(self, parts: list[bytes]) -> list[str]:
        try:
            received = self.opener.receive(parts, self.now)
        except ProtocolError as error:
            self.wires["up"].append(self.opener.bye(self.opener.bye_code, "see code"))
            return [f"opener says Bye {self.opener.bye_code}: {error}"]
        return [f"opener hears {show(parts)}" if received else f"opener drops {show(parts)}: another session's"]


def show(parts: list[bytes]) -> str:
    """A frame in a few words."""
    frame = wire.decode(parts)[0]
    message: Any = frame.message
    what = type(message).__name__
    if isinstance(message, wire.Ping | wire.Pong):
        what += f" {message.token}"
    if isinstance(message, wire.Bye):
        what += f" {message.code} (due {message.expected})"
    return f"{frame.session}:{frame.sequence} {what}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_machines_say_what_the_transcript_says(path: Path, rewrite: bool) -> None:
    check(path, Stage().run, rewrite)


def test_there_are_transcripts() -> None:
    assert len(FILES) >= 4
