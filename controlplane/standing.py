"""The fleet as a planner sees it: what partitions carry and weigh, and what brokers have room for. Pure."""

from collections.abc import Mapping

from bus.semantic import partitions_of_rule
from controlplane.operations import home_of
from controlplane.placing import Ground, Standing
from controlplane.roster import Figures, partitions_of, plane_of, replica_of, sorted_ids
from controlplane.state import KeyedState


def ground_of(state: KeyedState) -> Ground:
    """What brokers said of themselves with their newest samples."""
    found: dict[str, Figures | None] = {id: state.get("figures", id) for id in sorted_ids(state)}
    known = {id: figures for id, figures in found.items() if figures is not None}
    return Ground(
        {id: figures.room_bytes for id, figures in known.items() if figures.room_bytes >= 0},
        {id: figures.locality for id, figures in known.items() if figures.locality},
    )


def standings_of(state: KeyedState, loads: Mapping[int, int], at_home: bool = False) -> list[Standing]:
    """All partitions by number, with their loads. `at_home`: led by whom they will go home to by themselves."""
    near = localities_of(state)
    found = []
    for p in partitions_of(state):
        led = replica_of(state, p.partition, p.leader)
        size = led.sample.bytes if led is not None else 0
        leader = home_of(state, p) if at_home else p.leader
        found.append(
            Standing(p.partition, p.replicas, leader, loads.get(p.partition, 0), size, near.get(p.partition, ""))
        )
    return found


def localities_of(state: KeyedState) -> dict[int, str]:
    """Where partitions should be led, as the fleet's rules have it; where two rules differ, nowhere in particular."""
    plane, count = plane_of(state), len(partitions_of(state))
    wanted: dict[int, str] = {}
    for rule in plane.rules if count else []:
        for partition in partitions_of_rule(rule, count, plane.slots) if rule.locality else []:
            wanted[partition] = rule.locality if wanted.get(partition, rule.locality) == rule.locality else ""
    return wanted
