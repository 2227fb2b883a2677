"""Content rules: to whom an event goes by what it is and says, with the explanation of every rule. Pure.

    event ─▶ rules in order: type fits? condition holds? ─▶ recipients of all that match, each once
                              ╰─ a rule with `stop` ends it ─╯    ╰─ none matched, one named its type: the default

A recipient is `agent/NAME`, whose inbox gets it, or `capability:A` (`capability:A B` for one who can do both), of whom
one is chosen. A rule that raises on an event does not match, and says so; those after it are asked all the same.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

import msgspec

from bus.attributes import NO_CAPABLE
from bus.conditions import TOO_DEEP, Condition, View, view_of
from bus.errors import InvalidPattern, InvalidRule
from bus.routinglimits import RECIPIENT_CHARS_MAX, RULE_NAME_CHARS_MAX, RULE_RECIPIENTS_MAX, RULES_MAX
from bus.topic import Filter, check_pattern, is_type

AGENT, CAPABILITY = "agent/", "capability:"


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """One content rule. `types` is a pattern; `when` a condition (see `conditions`), "" for always; `to`: recipients.

    `stop`: where it matches, no further rule is asked.
    """

    name: str
    types: str
    to: tuple[str, ...]
    when: str = ""
    stop: bool = False


class Rules(msgspec.Struct, frozen=True, omit_defaults=True):
    """Rules in order. `default`: recipients of an event whose type a rule names, and which none of them matches.

    `no_capable`: what becomes of work that nobody can do, one of `NO_CAPABLE`; "" is its first.
    """

    rules: tuple[Rule, ...] = ()
    default: tuple[str, ...] = ()
    no_capable: str = ""

    @property
    def patterns(self) -> tuple[str, ...]:
        """Of all types that are named, each once."""
        return tuple(dict.fromkeys(rule.types for rule in self.rules))


Outcome = Literal["matched", "no", "error", "type", "stopped"]


class Verdict(msgspec.Struct, frozen=True, array_like=True):
    """What one rule said of an event: `matched`; `no`: its condition does not hold; `error`, and why; `type`: it is for
    others; `stopped`: an earlier one ended it."""

    rule: str
    outcome: Outcome
    why: str = ""


class Routing(msgspec.Struct, frozen=True):
    """To whom an event goes, each once, in the rules' order. `defaulted`: by none of the rules but the default."""

    recipients: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    defaulted: bool = False

    @property
    def matched(self) -> list[str]:
        """The rules that it goes by."""
        return [one.rule for one in self.verdicts if one.outcome == "matched"]


class Router:
    """Rules, made ready. Raises InvalidRule for what cannot be kept, the first that is wrong."""

    def __init__(self, rules: Rules) -> None:
        check(rules)
        self.rules = rules
        self._types = [Filter(rule.types) for rule in rules.rules]
        self._conditions = [_condition(rule) for rule in rules.rules]

    def names(self, type: str) -> bool:
        """Whether any rule is for events of this type."""
        return any(each.accepts(type) for each in self._types)

    def route(self, type: str, event: bytes | str, deep: bool = False) -> Routing:
        """Where an event of this type, CloudEvents JSON, goes. `deep`: its data is nested deeper than conditions see,
        and does not stand in `event` as it is."""
        found: dict[str, None] = {}
        verdicts: list[Verdict] = []
        view: View | None = TOO_DEEP if deep else None
        named, stopped = False, False
        for rule, types, condition in zip(self.rules.rules, self._types, self._conditions, strict=True):
            if not types.accepts(type):
                verdicts.append(Verdict(rule.name, "type"))
                continue
            named = True
            if stopped:
                verdicts.append(Verdict(rule.name, "stopped"))
                continue
            holds, why = True, ""
            if condition is not None:
                view = view_of(event) if view is None else view
                holds, why = condition.holds(view)
            verdicts.append(Verdict(rule.name, "matched" if holds else "error" if why else "no", why))
            if holds:
                found |= dict.fromkeys(rule.to)
                stopped = rule.stop
        matched = any(one.outcome == "matched" for one in verdicts)
        if named and not matched:
            found = dict.fromkeys(self.rules.default)
        return Routing(tuple(found), tuple(verdicts), named and not matched and bool(found))


@lru_cache(maxsize=16)
def router_of(rules: Rules) -> Router:
    """The router of some rules, made once."""
    return Router(rules)


def capability(requires: Iterable[str]) -> str:
    """The recipient that stands for whoever can do all of these."""
    return CAPABILITY + " ".join(sorted(set(requires)))


def needs_of(recipient: str) -> tuple[str, ...]:
    """The capabilities that a recipient stands for, sorted; () for an agent."""
    return tuple(recipient[len(CAPABILITY) :].split(" ")) if recipient.startswith(CAPABILITY) else ()


def normal(recipient: str) -> str:
    """A recipient as it is kept: capabilities sorted, each once. Raises InvalidRule for what is none."""
    if len(recipient) > RECIPIENT_CHARS_MAX:
        raise InvalidRule("to", f"names a recipient of {len(recipient)} characters; {RECIPIENT_CHARS_MAX} are possible")
    if recipient.startswith(AGENT) and is_type("agent.inbox." + recipient[len(AGENT) :]):
        return recipient
    if recipient.startswith(CAPABILITY):
        needs = recipient[len(CAPABILITY) :].split()
        if needs and all(is_type("capability." + need) for need in needs):
            return capability(needs)
    raise InvalidRule("to", f"names {recipient!r}; a recipient is agent/NAME or capability:NAME")


def normalised(rules: Rules) -> Rules:
    """The same as it is kept. Raises InvalidRule."""
    kept = []
    for rule in rules.rules:
        try:
            kept.append(msgspec.structs.replace(rule, to=tuple(dict.fromkeys(map(normal, rule.to)))))
        except InvalidRule as error:
            raise InvalidRule(error.field, error.why, rule.name) from None
    try:
        default = tuple(dict.fromkeys(map(normal, rules.default)))
    except InvalidRule as error:
        raise InvalidRule("default", error.why) from None
    found = Rules(tuple(kept), default, rules.no_capable)
    check(found)
    return found


def check(rules: Rules) -> None:
    """Raises InvalidRule for what cannot be kept, but for conditions, which `Router` makes ready."""
    if len(rules.rules) > RULES_MAX:
        raise InvalidRule("rules", f"are {len(rules.rules)}; {RULES_MAX} are possible")
    seen: set[str] = set()
    for rule in rules.rules:
        name = rule.name
        if not name or len(name) > RULE_NAME_CHARS_MAX or not name.isprintable() or name != name.strip():
            raise InvalidRule("name", f"{name[:80]!r}: 1 to {RULE_NAME_CHARS_MAX} printable characters")
        if name in seen:
            raise InvalidRule("name", "is there twice", name)
        seen.add(name)
        try:
            check_pattern(rule.types)
        except InvalidPattern as error:
            raise InvalidRule("types", str(error), name) from None
        _check_recipients("to", rule.to, name)
        if not rule.to:
            raise InvalidRule("to", "names nobody", name)
    _check_recipients("default", rules.default)
    if rules.no_capable not in ("", *NO_CAPABLE):
        raise InvalidRule("no_capable", f"is {rules.no_capable[:80]!r}; it is one of {', '.join(NO_CAPABLE)}")


def _check_recipients(field: str, recipients: tuple[str, ...], rule: str = "") -> None:
    if len(recipients) > RULE_RECIPIENTS_MAX:
        raise InvalidRule(field, f"names {len(recipients)}; {RULE_RECIPIENTS_MAX} are possible", rule)


def _condition(rule: Rule) -> Condition | None:
    try:
        return Condition(rule.when) if rule.when else None
    except InvalidRule as error:
        raise InvalidRule(error.field, error.why, rule.name) from None
