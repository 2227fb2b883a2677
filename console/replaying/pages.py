"""A replay as people read it: what it will do, and what became of it. Pure."""

from console.measure import SECOND, age, clock, day, many, rate, size
from console.output import Page
from console.replaying.plan import Order, Replayed

WHY = {
    "plane": "the plane's own",
    "lifecycle": "of agents' lifecycles",
    "redriven": "redriven copies",
    "replayed": "of earlier replays",
    "expired": "expired",
}
TYPES_SHOWN = 8
GROUPS_SHOWN = 8


def where_of(result: Replayed) -> str:
    """Where to, in words."""
    return {
        "file": "stdout" if result.where == "-" else f"the file {result.where}",
        "prefix": f"{result.where}> on this fleet",
        "shadow": f"a shadow fleet in {result.where}",
        "live": "the LIVE types of this fleet",
    }[result.to]


def left_out_text(left_out: dict[str, int]) -> str:
    """Which were left out."""
    return ", ".join(f"{events:,} {WHY.get(why, why)}" for why, events in left_out.items())


def plan_text(order: Order, result: Replayed) -> str:
    """What is about to happen, or would in a dry run."""
    verb = "would replay" if result.dry_run else "replay"
    lines = [f"{verb} exactly {many(result.events, 'event')} to {where_of(result)}, as run {result.run}"]
    lines.append(f"  {_types(result)}")
    lines.append(f"  positions {result.first:,} to {result.last:,}, {_span(result)}, {size(result.bytes)}")
    lines.append(f"  {_times(result)}; {_pace(result)}")
    if stops := _stops(order, result.events):
        lines.append(f"  stops {stops}")
    if result.left_out:
        lines.append(f"  left out: {left_out_text(result.left_out)}")
    return "\n".join(lines + [f"  {line}" for line in _consequences(result)])


def _types(result: Replayed) -> str:
    shown = [f"{type} {events:,}" for type, events in list(result.types.items())[:TYPES_SHOWN]]
    more = len(result.types) - len(shown)
    if more > 0 or result.other_types:
        shown.append(f"and {many(more, 'more type')}" if not result.other_types else "and many more types")
    return ", ".join(shown)


def _span(result: Replayed) -> str:
    first, last = result.appended
    return f"appended {day(first)} {clock(first)} to {day(last)} {clock(last)} UTC"


def _times(result: Replayed) -> str:
    return "times are made new" if result.restamp else "times are kept"


def _pace(result: Replayed) -> str:
    if result.seconds_planned is None:
        return "at full speed"
    by = "as they were appended" if result.clock == "appended" else "by the events' own times"
    return f"×{result.speed:g} of the pace {by}: {age(int(result.seconds_planned * SECOND))}"


def _stops(order: Order, events: int) -> str:
    """Where it stops before its end, as it was told to; "" when it does not."""
    stops = []
    if 0 < order.limit < events:
        stops.append(f"after {order.limit:,} of them")
    if order.stop_position is not None:
        stops.append(f"behind position {order.stop_position:,}")
    if order.stop_instant is not None:
        stops.append(f"behind {day(order.stop_instant)} {clock(order.stop_instant)} UTC")
    return " or ".join(stops)


def _consequences(result: Replayed) -> list[str]:
    lines = []
    if result.to == "prefix":
        lines.append(
            f"subjects, correlations and keys get {result.where} too: no saga that is there moves, and new ones are "
            f"judged as those of an import"
        )
    if result.to == "live":
        lines.append("▲ LIVE: whoever listens acts on them once more, and the sagas they belong to move")
    elif result.live:
        lines.append("▲ LIVE: other events may have types under it; whoever listens to those gets these as well")
    if result.to in ("prefix", "live"):
        shown = [f"{each.group} ({each.pattern}) {each.events:,}" for each in result.receivers[:GROUPS_SHOWN]]
        more = len(result.receivers) - len(shown)
        shown += [f"and {more:,} more"] if more > 0 else []
        lines.append(f"{'▲ ' if shown else ''}groups that listen: {', '.join(shown) or 'none'}")
    if result.to != "file" and result.events > result.remembered:
        lines.append(
            f"▲ a partition remembers its last {many(result.remembered, 'id')}: if this run stops, go on from where it "
            f"was, not from the beginning"
        )
    return lines


def result_text(result: Replayed) -> str:
    """What became of it."""
    whole = result.ended in ("done", "stopped") and not result.refused
    done = result.published + result.duplicates
    value, unit = rate(done / max(result.seconds, 1e-3))
    verb = {"done": "replayed", "stopped": "stopped as told after", "interrupted": "interrupted after"}.get(
        result.ended, "failed after"
    )
    said = f"{'●' if whole else '▲'} {verb} {done:,} of {many(result.events, 'event')} to {where_of(result)} "
    said += f"in {result.seconds:.1f} s ({value} {unit}), as run {result.run}"
    if result.duplicates:
        said += f"\n  {many(result.duplicates, 'of them was', 'of them were')} there already, and not appended again"
    if result.refused:
        said += f"\n  {many(result.refused, 'was', 'were')} refused, and passed over: see above"
    if result.reached:
        said += f"\n  up to position {result.reached:,}"
    if result.go_on:
        said += f"\n  to go on: {result.go_on}"
    if result.to == "shadow":
        said += f"\n  signalbox status --data-dir {result.where}    signalbox down --yes --data-dir {result.where}"
    elif result.to == "prefix":
        said += f"\n  signalbox event tail '{result.where}>' --start earliest"
    return said


def page(result: Replayed, text: str) -> Page:
    """In every format."""
    return Page(result, [result], above=text)
