"""Dispatch: content rules, who is chosen of several, and a journal that regenerates itself."""

from typing import Any

from bus.router import Rule, Rules
from controlplane.deadletters import letters_of
from controlplane.facts import (
    EventRouted,
    RoutesSet,
    RuleFailed,
    SettingSet,
    TaskDropped,
)
from controlplane.fold import Heart
from controlplane.timeline import verify
from tests.controlplane.dispatching import (
    ONLY,
    Agents,
    facts_of,
    lifecycle,
    settled,
    some_folds,
    work,
)

# ------------------------------------------------------------------------------------------------- rules


def test_rules_send_events_to_agents_and_to_whoever_can() -> None:
    fleet = Agents()
    fleet.joins("checker", can=["review"])
    fleet.joins("auditor", can=["audit"])
    fleet.rule(
        Rule("large", "order.created", ("capability:review", "agent/auditor"), "data.total > 1000"),
        Rule("odd", "order.>", ("agent/auditor",), "data.total % 2 == 1"),
        default=("agent/clerk",),
    )
    fleet.say(work(1, type="order.created", data={"total": 2_001}))
    mail = fleet.taken()
    assert sorted(one["type"] for one in mail) == ["agent.inbox.auditor", "agent.inbox.checker"]
    assert {rule for one in mail for rule in one["data"]["decision"]["rules"]} == {"large", "odd"}
    for one in mail:
        fleet.settles(one)
    fleet.say(work(2, type="order.created", data={"total": 2}))
    assert [one["type"] for one in fleet.taken()] == ["agent.inbox.clerk"], "the default"
    fleet.say(work(3, type="invoice.created", data={"total": 5_000}))
    assert fleet.taken() == [], "no rule names it"


def test_an_agent_that_is_named_and_able_gets_one_copy() -> None:
    fleet = Agents()
    fleet.joins("a", "b", can=["review"])
    fleet.rule(Rule("r", "order.>", ("agent/a", "capability:review")))
    fleet.say(work(1, ["review"], type="order.created"))
    assert [one["type"] for one in fleet.taken()] == ["agent.inbox.a"]


def test_mail_to_an_agent_by_name_is_sent_whether_it_is_there_or_not() -> None:
    fleet = Agents()
    fleet.rule(Rule("r", "order.>", ("agent/away",)))
    fleet.say(work(1, type="order.created"))
    (mail,) = fleet.taken()
    assert mail["type"] == "agent.inbox.away" and fleet.count("out") == 1
    fleet.settles(mail, "failed", error="boom")
    assert fleet.taken() == []
    fleet.wait(2)
    (again,) = fleet.taken()
    assert again["data"]["attempt"] == 2
    fleet.settles(again, "refused")
    assert [letter["data"]["reason"] for letter in fleet.letters] == ["refused"]


def test_a_rule_that_raises_does_not_match_and_says_so_once() -> None:
    fleet = Agents()
    fleet.rule(Rule("r", "order.>", ("agent/a",), "data.total > 1000"), Rule("s", "order.>", ("agent/b",)))
    first = fleet.say(work(1, type="order.created", data={}))
    second = fleet.say(work(2, type="order.created", data={}))
    assert [one["type"] for one in fleet.taken()] == ["agent.inbox.b"] * 2
    (fact,) = facts_of(first, RuleFailed)
    assert fact.rule == "r" and "total" in fact.why
    assert list(facts_of(second, RuleFailed)) == []
    fleet.rule(Rule("r", "order.>", ("agent/a",), "has(data.total) && data.total > 1000"))
    assert fleet.state.get("rule", "r") is None


def test_after_a_change_of_rules_only_the_new_ones_hold() -> None:
    fleet = Agents()
    fleet.rule(Rule("r", "order.>", ("agent/a",)))
    fleet.say(work(1, type="order.created"))
    fleet.rule(Rule("r", "invoice.>", ("agent/b",)))
    fleet.say(work(2, type="order.created"), work(3, type="invoice.created"))
    assert [one["type"] for one in fleet.taken()] == ["agent.inbox.a", "agent.inbox.b"]
    routed = [fact for step in fleet.steps for fact in facts_of(step, EventRouted)]
    assert [fact.version for fact in routed] == [1, 2]


# ------------------------------------------------------------------------------------------------- who is chosen


def test_the_less_loaded_of_two_gets_it() -> None:
    fleet = Agents()
    fleet.joins("a", "b", places=8)
    fleet.beats("a", queue=6, in_flight=2)
    fleet.asks("work")
    (fact,) = fleet.dispatched()
    assert fact.agent == "agent/b" and fact.losers[0].agent == "agent/a"
    assert fact.losers[0].load == 1_000 > fact.load == 0 and fact.score < fact.losers[0].score


def test_the_quicker_and_the_more_reliable_get_more() -> None:
    fleet = Agents()
    fleet.joins("quick", "slow", "bad", places=1)
    for _ in range(60):
        fleet.beats("quick", "slow", "bad")
        fleet.asks("work")
        for mail in fleet.taken():
            name = mail["type"].rpartition(".")[2]
            if name == "bad":
                fleet.settles(mail, "failed", took_ms=10)
            else:
                took_ms = 50 if name == "quick" else 500
                fleet.settles(mail, took_ms=took_ms, after_ms=took_ms)
        for mail in fleet.taken():
            took_ms = 50 if mail["type"].endswith("quick") else 500
            fleet.settles(mail, took_ms=took_ms, after_ms=took_ms)
    firsts = [fact.agent for fact in fleet.dispatched() if fact.attempt == 1]
    assert firsts.count("agent/quick") > firsts.count("agent/slow")
    assert firsts[30:].count("agent/bad") <= firsts[30:].count("agent/slow") + 2
    last = [fact for fact in fleet.dispatched() if fact.agent == "agent/quick"][-1]
    assert 40_000 < last.expected_us < 80_000 and last.reliability == 1_000


def test_a_sticky_key_goes_where_it_went_before() -> None:
    fleet = Agents()
    fleet.joins(*"abcdefgh", places=50)
    went = {}
    for round in range(5):
        for key in ("k1", "k2", "k3"):
            fleet.asks("work", sticky=key)
            (mail,) = fleet.taken()
            assert went.setdefault(key, mail["type"]) == mail["type"], round
    fleet.leaves(went["k1"].rpartition(".")[2])
    fleet.taken()
    fleet.asks("work", sticky="k1")
    assert fleet.taken()[0]["type"] != went["k1"]
    fleet.asks("work", sticky=True, subject="case-1")
    first = fleet.taken()[0]["type"]
    fleet.asks("work", sticky=True, subject="case-1")
    assert fleet.taken()[0]["type"] == first and fleet.dispatched()[-1].sticky


# ------------------------------------------------------------------------------------------------- the journal


def test_verify_says_the_same_again() -> None:
    fleet = Agents(rules=Rules((Rule("r", "order.>", ("agent/a", "capability:work"), "data.n > 2"),)))
    fleet.joins("a", "b", "c", places=2)
    for n in range(12):
        fleet.asks("work", sticky="k" if n % 3 else "")
        fleet.say(work(100 + n, type="order.created", data={"n": n}))
        for mail in fleet.taken()[::2]:
            fleet.settles(mail, ("handled", "failed", "refused")[n % 3])
    fleet.wait(40)
    fleet.joins("a", "b", "c", places=2)
    assert fleet.count("handled") and fleet.count("failed") and fleet.count("returned")
    verdict = verify(fleet.steps, some_folds(*ONLY))
    assert verdict.divergence == ""
    assert verdict.digest == fleet.heart.digest().hex()


def test_dead_letters_are_like_those_of_brokers() -> None:
    import bus

    fleet = Agents()
    fleet.tell(SettingSet("dispatch.no_capable", "dead-letter"))
    fleet.asks("translate")
    fleet.say(bus.from_json(_named(fleet.letters[0])))
    (letter,) = letters_of(fleet.heart.states["deadletters"])
    assert (letter.group, letter.reason, letter.state) == ("dispatch", "no_capable", "waiting")


def _named(event: dict[str, Any]) -> bytes:
    import json

    return json.dumps(event).encode()


def test_a_heart_copied_in_the_middle_goes_on_alike() -> None:
    fleet = Agents()
    fleet.joins("a", "b")
    fleet.asks("work")
    twin = Agents(fleet.heart.copy())
    twin.now, twin.end = fleet.now, fleet.end
    for one in (fleet, twin):
        one.asks("work", id="same")
        one.say(lifecycle("a", "left", {"incarnation": "a-1"}))
    assert fleet.heart.digest() == twin.heart.digest()
    assert isinstance(fleet.heart, Heart)


def test_a_dropped_task_is_said_once() -> None:
    fleet = Agents()
    fleet.tell(SettingSet("dispatch.attempts", "1"))
    fleet.joins("a")
    fleet.asks("work")
    (mail,) = fleet.taken()
    step = fleet.say(settled(mail, "failed"), settled(mail, "failed"))
    assert len(list(facts_of(step, TaskDropped))) == 1 and len(fleet.letters) == 1


def test_no_rules_are_of_version_0() -> None:
    fleet = Agents()
    fleet.tell(RoutesSet(1, Rules((Rule("r", "a.>", ("agent/a",)),))))
    assert fleet.state.get("rules", "rules").version == 1
