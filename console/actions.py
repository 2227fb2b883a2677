"""One registry of what the operator can do: from it come the key bindings, the footer, the help and the palette.

A screen lists the names of its actions; `DO` is what every screen has. A lever changes the fleet: it is drawn brighter,
and is locked while the control plane does not answer. What is not built has no entry.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Action:
    """`keys` as Textual names them, `shown` as the footer prints them, `label` in the footer, `help` in a sentence."""

    name: str
    keys: str
    shown: str
    label: str
    help: str
    lever: bool = False


_ALL = (
    Action("open", "enter", "enter", "open", "open what the cursor is on"),
    Action("down", "j,down", "j", "down", "cursor down"),
    Action("up", "k,up", "k", "up", "cursor up"),
    Action("move", "", "j k", "move", "move the cursor; the arrows do too"),
    Action("first", "g,home", "g", "first", "to the first row"),
    Action("last", "G", "G", "last", "to the last row"),
    Action("page_down", "pagedown", "pgdn", "page down", "a page down"),
    Action("page_up", "pageup", "pgup", "page up", "a page up"),
    Action("next_part", "tab", "tab", "next part", "to the next part of the screen"),
    Action("previous_part", "shift+tab", "shift+tab", "part before", "to the part before"),
    Action("back", "escape", "esc", "back", "back; clears a filter first"),
    Action("mark", "space", "space", "mark", "mark the row, for levers that act on many"),
    Action("sort", "O", "O", "sort", "sort by the next column; worst first is the first"),
    Action("state", "b", "b", "by state", "rows in the next state only, then all of them"),
    Action("next", "n", "n", "next", "the next row of the list, opened"),
    Action("redrive", "r", "r", "redrive", "deliver dead letters again to the group they died in", True),
    Action(
        "quarantine", "Q", "Q", "quarantine", "dispatch agents no more work; those that are quarantined: release", True
    ),
    Action("filter", "slash", "/", "filter", "show matching rows; /!word hides them, /-f letters is fuzzy"),
    Action("go", "colon", ":", "go", "go to a screen or an id; also theme NAME, every SECONDS"),
    Action("copy", "c", "c", "copy", "copy the row's name to the clipboard"),
    Action("copy_command", "C", "C", "copy command", "copy the command that says the same, or that mends the row"),
    Action("json", "y", "y", "json", "the answer as JSON, copied too"),
    Action("freeze", "u", "u", "freeze", "hold the picture still; again to go on"),
    Action("again", "ctrl+r", "ctrl+r", "refresh", "ask now; reconnect at once"),
    Action("earlier", "comma", ",", "earlier", "a step back in time: a sixteenth of a bar, a second at least"),
    Action("later", "full_stop", ".", "later", "a step on in time"),
    Action(
        "bar_back", "less_than_sign", "<", "bar back", "a bar of the time bar back; click it or drag to go anywhere"
    ),
    Action("bar_on", "greater_than_sign", ">", "bar on", "a bar on; the wheel over the time bar does both"),
    Action("incident_before", "left_curly_bracket", "{", "flag before", "to the incident before, flagged ▲ or ■"),
    Action("incident_after", "right_curly_bracket", "}", "next flag", "to the next incident"),
    Action("instant", "t", "t", "go back to", "to an instant: 14:03, -5m, 2026-03-01T12:00:00Z or a position"),
    Action("live", "end", "end", "back to live", "back to the present; there already, to the last row"),
    Action("keys", "question_mark", "?", "help", "this page"),
    Action("palette", "ctrl+p", "ctrl+p", "palette", "every command by name"),
    Action("leave", "q,ctrl+q,ctrl+c", "q", "quit", "leave the console; the fleet goes on"),
)
ACTIONS: dict[str, Action] = {action.name: action for action in _ALL}
EVERYWHERE = (
    "down", "up", "first", "last", "page_down", "page_up", "open", "back", "go", "copy", "copy_command",
    "json", "freeze", "again", "earlier", "later", "bar_back", "bar_on", "incident_before", "incident_after", "instant",
    "live", "keys", "palette", "leave",
)  # fmt: skip
"""Actions of every screen, in the order of the help."""
FOOTERS: dict[str, tuple[str, ...]] = {
    "board": ("open", "move", "next_part", "copy", "copy_command", "go", "freeze"),
    "flows": ("open", "sort", "filter", "mark", "copy_command", "json", "freeze"),
    "sagas": ("open", "mark", "state", "sort", "filter", "copy_command", "json"),
    "saga": ("back", "next", "move", "open", "copy_command", "json", "freeze"),
    "dead": ("open", "mark", "redrive", "sort", "filter", "copy_command", "json"),
    "letters": ("back", "open", "mark", "redrive", "filter", "copy_command", "json"),
    "health": ("open", "move", "copy_command", "json", "freeze"),
    "events": ("open", "filter", "freeze", "move", "json", "copy", "copy_command"),
    "event": ("back", "copy", "copy_command", "json"),
    "fleet": ("open", "next_part", "move", "sort", "filter", "copy_command", "json", "freeze"),
    "partition": ("back", "next", "move", "open", "copy_command", "json", "freeze"),
    "agents": ("open", "mark", "quarantine", "state", "sort", "filter", "copy_command", "json"),
    "agent": ("back", "next", "quarantine", "move", "open", "copy_command", "json", "freeze"),
}
"""What each screen's last line shows, dearest first."""


def footer_keys(
    screen: str, past: bool = False, called: Mapping[str, str] | None = None
) -> list[tuple[str, str, bool]]:
    """`(key, what, lever)` for a screen's footer; in the past the keys of time come first.

    `called`: labels by the names of actions that do something else to what the cursor is on than mostly.
    """
    called = called or {}
    names = [name for name in FOOTERS[screen] if not (past and name == "freeze")]
    own = [(ACTIONS[name].shown, called.get(name, ACTIONS[name].label), ACTIONS[name].lever) for name in names]
    if past:
        return [(", .", "step", False), ("{ }", "incident", False), ("t", "go to", False), *own]
    return [*own, (", .", "look back", False)]


def of_screen(screen: str) -> list[Action]:
    """Every action that works on a screen: its own first, then what works everywhere."""
    own = [name for name in FOOTERS[screen] if name not in EVERYWHERE]
    return [ACTIONS[name] for name in (*own, *EVERYWHERE)]


def command(kind: str, key: str) -> str:
    """The command line that shows the same thing; without a key the list of such."""
    if not key and kind in ("saga", "agent"):
        return f"signalbox {kind} list"
    if not key and kind in ("dead", "letter"):
        return "signalbox dlq list"
    quoted = (
        key
        if key.replace("-", "").replace("_", "").replace(".", "").isalnum()
        else "'" + key.replace("'", "'\\''") + "'"
    )
    words = {
        "saga": f"saga show {quoted}",
        "dead": f"dlq show {quoted}",
        "letter": f"dlq show {quoted}",
        "event": f"event show {quoted}",
        "agent": f"agent show {quoted}",
        "agents": "agent list",
        "flow": "flow list",
        "health": "health show",
    }
    return "signalbox " + words.get(kind, "status")
