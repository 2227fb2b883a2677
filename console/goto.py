"""What may be typed after `:`: a screen's name, an id, or a setting; and what is suggested while it is typed."""

from dataclasses import dataclass

from console.model import Model
from console.palette import THEME_NAMES
from console.pictures.frame import TABS
from controlplane.questions import Agents, DeadGroups, Events, Sagas

SUGGESTIONS_MAX = 500
_ALSO = {
    "dlq": "dead", "dead letters": "dead", "saga": "sagas", "flow": "flows", "event": "events", "status": "board",
    "broker": "fleet", "brokers": "fleet", "partition": "fleet", "partitions": "fleet",
    "agent": "agents",
}  # fmt: skip
_IDS = ("saga", "dead", "letter", "event", "events", "flow", "broker", "partition", "agent")


@dataclass(frozen=True)
class Place:
    """`kind`: tab, theme, every, quit, what `_IDS` lists; or `say` with words to show."""

    kind: str
    key: str


def place_of(target: str, model: Model) -> Place:
    """Where a target leads. An id may stand alone when the model knows it, or is told by its form."""
    text = target.strip()
    name = _ALSO.get(text.casefold(), text.casefold())
    for tab in TABS:
        if name == tab.casefold():
            return Place("tab", name)
    if text.startswith("agent/"):
        return Place("agent", text.removeprefix("agent/"))
    kind, colon, key = text.partition(":")
    if colon and kind in _IDS:
        number = key.strip().removeprefix("p")
        if kind == "partition":
            return (
                Place(kind, str(int(number)))
                if number.isdecimal()
                else Place("say", f"{key} is no partition, as p07 is")
            )
        return Place(kind, key)
    word, _, rest = text.partition(" ")
    if word in ("broker", "partition") and rest:
        return place_of(f"{word}:{rest.strip()}", model)
    if word in ("saga", "dlq", "event", "agent") and rest:
        return Place("dead" if word == "dlq" else word, rest.removeprefix("show ").strip())
    return _setting(word, rest.strip()) or _known(text, model)


def _setting(word: str, value: str) -> Place | None:
    if word in ("q", "quit"):
        return Place("quit", "")
    if word == "theme":
        return Place("theme", value) if value in THEME_NAMES else Place("say", f"themes are {', '.join(THEME_NAMES)}")
    if word == "every":
        number = value.removesuffix("s").strip()
        fits = number.replace(".", "", 1).isascii() and number.replace(".", "", 1).isdigit()
        return Place("every", number) if fits else Place("say", "every wants seconds, as in: every 2s")
    return None


def _known(text: str, model: Model) -> Place:
    sagas, groups = model.body("sagas", Sagas), model.body("dead", DeadGroups)
    board = model.board
    known_sagas = {row.saga for row in (*(sagas.rows if sagas else ()), *(board.sagas if board else ()))}
    status = board.status if board is not None else None
    if status is not None and text not in known_sagas:
        if any(broker.id == text for broker in status.brokers):
            return Place("broker", text)
        number = text.removeprefix("p")
        if text != number and any(f"{p.partition:02d}" == number.zfill(2) for p in status.partitions):
            return Place("partition", str(int(number)))
    agents = model.body("agents", Agents)
    if text not in known_sagas and agents and any(row.agent == f"agent/{text}" for row in agents.rows):
        return Place("agent", text)
    if text.startswith("@") or (len(text) == 36 and text.count("-") == 4 and text not in known_sagas):
        return Place("event", text)
    if text.startswith("g-") or (groups is not None and any(group.id == text for group in groups.rows)):
        return Place("dead", text)
    return Place("saga", text)


def suggestions(model: Model) -> list[str]:
    """Screens, settings, and the ids that stand in the newest answers."""
    names = [tab.casefold() for tab in TABS]
    names += [f"theme {name}" for name in THEME_NAMES] + ["every 2s", "quit"]
    board = model.board
    if board is not None:
        names += [row.saga for row in board.sagas] + [group.id for group in board.dead]
        names += [broker.id for broker in board.status.brokers]
        names += [f"p{partition.partition:02d}" for partition in board.status.partitions]
    sagas, groups, events = model.body("sagas", Sagas), model.body("dead", DeadGroups), model.body("events", Events)
    names += [row.saga for row in sagas.rows] if sagas else []
    names += [group.id for group in groups.rows] if groups else []
    names += [row.id for row in events.rows] if events else []
    agents = model.body("agents", Agents)
    names += [f"agent {row.agent.removeprefix('agent/')}" for row in agents.rows] if agents else []
    return list(dict.fromkeys(names))[:SUGGESTIONS_MAX]
