"""The presence table of a broker: entries live as long as their session, and every bound is an answer."""

import pytest

from bus import limits, wire
from tests.bus.rig import Peer
from tests.bus.stage import Stage, staged

URL = "tcp://127.0.0.1:4000"


def present(stage: Stage, peer: Peer, name: str, *capabilities: str, url: str = URL) -> wire.Message:
    message = wire.Present(peer.number(), wire.Answerer(name, url, list(capabilities)))
    return stage.ask(peer, message, wire.Message)


def whereis(stage: Stage, peer: Peer, target: str) -> list[tuple[str, str]]:
    located = stage.ask(peer, wire.Whereis(peer.number(), target), wire.Located)
    return [(one.name, one.url) for one in located.answerers]


def leave(stage: Stage, peer: Peer) -> None:
    """Say Bye, and turn until the broker has heard it."""
    before = len(stage.broker.peers.sessions)
    peer.write(peer.session.bye("closing", "done"))
    for _ in range(100):
        stage.broker.turn()
        if len(stage.broker.peers.sessions) < before:
            return
    raise AssertionError("the Bye was not heard")


def test_an_entry_is_found_by_name_and_capability_and_replaced_and_withdrawn() -> None:
    with staged() as stage:
        agent, asker = stage.peer(), stage.peer()
        assert isinstance(present(stage, agent, "agent/a", "see", "hear"), wire.Presented)
        assert whereis(stage, asker, "agent/a") == whereis(stage, asker, "see") == [("agent/a", URL)]
        present(stage, agent, "agent/a", "hear", url="tcp://127.0.0.1:4001")
        assert whereis(stage, asker, "see") == []
        assert whereis(stage, asker, "hear") == [("agent/a", "tcp://127.0.0.1:4001")]
        agent.say(wire.Absent("agent/a"))
        agent.say(wire.Absent("agent/a"))
        assert whereis(stage, agent, "agent/a") == [] and len(stage.broker.presence) == 0


def test_entries_go_with_their_session_and_with_no_other() -> None:
    with staged() as stage:
        one, two, asker = stage.peer(), stage.peer(), stage.peer()
        present(stage, one, "agent/a", "see")
        present(stage, two, "agent/a", url="tcp://127.0.0.1:4001")
        two.say(wire.Absent("agent/b"))
        assert [url for _, url in whereis(stage, asker, "agent/a")] == ["tcp://127.0.0.1:4001", URL], "the latest first"
        leave(stage, two)
        assert whereis(stage, asker, "agent/a") == [("agent/a", URL)]
        leave(stage, one)
        assert whereis(stage, asker, "agent/a") == whereis(stage, asker, "see") == []
        assert len(stage.broker.presence) == 0


def test_a_name_goes_before_capabilities_of_the_same_text() -> None:
    with staged() as stage:
        agent = stage.peer()
        present(stage, agent, "agent/a", "both")
        assert whereis(stage, agent, "both") == [("agent/a", URL)]
        present(stage, agent, "both")
        assert whereis(stage, agent, "both") == [("both", URL)]


def test_what_is_refused() -> None:
    with staged() as stage:
        agent = stage.peer()
        many = [f"c{number}" for number in range(limits.PRESENCE_CAPABILITIES_MAX + 1)]
        for refused, code in (
            (present(stage, agent, "agent/a", url="tcp://10.0.0.1:4000"), "AccessDenied"),
            (present(stage, agent, "signalbox/plane"), "AccessDenied"),
            (present(stage, agent, ""), "InvalidCall"),
            (present(stage, agent, "x" * 201), "InvalidCall"),
            (present(stage, agent, "agent/a", "\n"), "InvalidCall"),
            (present(stage, agent, "agent/a", *many), "ProtocolError"),
        ):
            assert isinstance(refused, wire.Fault) and refused.code == code
        assert len(stage.broker.presence) == 0


def test_the_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PRESENCE_MAX", 4)
    monkeypatch.setattr(limits, "PRESENCE_PER_SESSION_MAX", 3)
    monkeypatch.setattr(limits, "LOCATED_MAX", 2)
    with staged() as stage:
        one, two = stage.peer(), stage.peer()
        for number in range(3):
            assert isinstance(present(stage, one, f"agent/{number}", "see"), wire.Presented)
        assert isinstance(present(stage, two, "agent/4"), wire.Presented)
        for peer, name, why in ((one, "agent/3", "in this session"), (two, "agent/5", "are known here")):
            refused = present(stage, peer, name)
            assert isinstance(refused, wire.Fault) and refused.code == "Busy" and why in refused.message
        assert isinstance(present(stage, one, "agent/0", "see"), wire.Presented), "what is known may be said again"
        assert [name for name, _ in whereis(stage, two, "see")] == ["agent/0", "agent/2"]
