"""The only list of folds. Those that read others come after them."""

from bus.schemas import REGISTERED
from controlplane.adaptive import Adaptive
from controlplane.ballots import Ballots
from controlplane.deadletters import TYPE as DEAD_LETTER
from controlplane.deadletters import DeadLetters
from controlplane.dispatch import Dispatch
from controlplane.fleet import Fleet
from controlplane.flows import Flows
from controlplane.fold import Fold
from controlplane.groups import Groups
from controlplane.health import Health
from controlplane.history import History
from controlplane.lately import Lately
from controlplane.leases import Leases
from controlplane.ledger import Ledger
from controlplane.outbox import Outbox
from controlplane.projections import Projections
from controlplane.registry import Registry
from controlplane.sagas import Sagas
from controlplane.schemas import Schemas

FOLLOWED_TYPES = (DEAD_LETTER, "agent.lifecycle.*", "ballot.*", "lease.*", "dispatch.*", REGISTERED)
"""Patterns of the types whose whole events folds want (`Rows.followed`), beside events that ask to be dispatched and
those that content rules name (`named`)."""


def folds() -> list[Fold]:
    """Fresh folds, in order."""
    return [
        Fleet(),
        Outbox(),
        Flows(),
        Groups(),
        Sagas(),
        DeadLetters(),
        Registry(),
        Dispatch(),
        Schemas(),
        Ledger(),
        Projections(),
        Adaptive(),
        Ballots(),
        Leases(),
        Lately(),
        Health(),
        History(),
    ]


def versions() -> dict[str, int]:
    """The versions of the folds, by name."""
    return {fold.name: fold.version for fold in folds()}
