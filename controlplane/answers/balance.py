"""How a fleet uses its partitions, and why they move by themselves or do not: for AskPartitions and AskStatus."""

from bus.semantic import ADAPTIVE, partitions_of_rule
from controlplane import adaptive
from controlplane.decisions import AdaptivePaused, AdaptiveResumed
from controlplane.fold import World
from controlplane.operations import plan_of
from controlplane.questions import Operate, Operated, Partitioning, Refusal, RuleRow
from controlplane.roster import partitions_of, plane_of


def partitioning(world: World, now: int) -> Partitioning:
    """The strategy, its rules, the newest look at the load, and what holds it back."""
    fleet = world["fleet"]
    plane, watch = plane_of(fleet), adaptive.watch_of(world["adaptive"])
    count = len(partitions_of(fleet))
    rules = [
        RuleRow(rule.prefix, rule.group, rule.width, rule.locality, partitions_of_rule(rule, count, plane.slots))
        for rule in (plane.rules if count else [])
    ]
    held = adaptive.held_by(world, now) or "a plan is due"
    paused = adaptive.paused_of(world["adaptive"]) is not None
    return Partitioning(plane.strategy, rules, watch.busiest, watch.share / 1_000, watch.skewed, paused, held)


def pause(world: World, ask: Operate, now: int) -> tuple[AdaptivePaused | None, Operated | Refusal]:
    """Nothing moves by itself any more; a plan that was made so is given up."""
    refused = _not_adaptive(world)
    if refused is not None:
        return None, refused
    if adaptive.paused_of(world["adaptive"]) is not None:
        return None, Refusal("usage", "it is paused already", "signalbox partition rebalance --resume")
    plan = plan_of(world["fleet"])
    given_up = plan.moves if plan is not None and not plan.ended and plan.by == ADAPTIVE else []
    touched = [f"p{move.partition:02d}" for move in given_up] or ["moves of its own"]
    return AdaptivePaused(ask.by, ask.reason), Operated(ask.verb, touched, ask.dry_run, 0)


def resume(world: World, ask: Operate, now: int) -> tuple[AdaptiveResumed | None, Operated | Refusal]:
    """Partitions may move by themselves again."""
    refused = _not_adaptive(world)
    if refused is not None:
        return None, refused
    if adaptive.paused_of(world["adaptive"]) is None:
        return None, Refusal("usage", "it is not paused", "signalbox partition list says why nothing moves")
    return AdaptiveResumed(ask.by, ask.reason), Operated(ask.verb, ["moves of its own"], ask.dry_run, 0)


def _not_adaptive(world: World) -> Refusal | None:
    strategy = plane_of(world["fleet"]).strategy
    if strategy == ADAPTIVE:
        return None
    message = f"partitioning is {strategy}: nothing moves by itself"
    return Refusal("usage", message, "signalbox up --partitioning adaptive, when it is started next")
