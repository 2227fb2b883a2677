"""Read models of a user's own, each in a process of its own: `python -m controlplane.projecting`.

    from controlplane.projecting import Projection

    class Totals(Projection):
        pattern = "order.>"

        def evolve(self, state, event):
            state[event.subject] = state.get(event.subject, 0) + event.data["total"]

    add, rebuild ─▶ fact ─▶ fold `projections` ─▶ desk ─▶ a runner and a worker for each class
                                                   │  Sealed: files that the worker reads by itself, read-only
      AskProjection ─▶ waits for its position ─────┤  Evolve: what is newer, piece by piece
                                                   ╰─ Rows: what it holds there

It sees the events of its pattern one by one in the journal's order, from the first one on; built again it comes to the
same state, if it is a function of them. It is the user's own code, and no sandbox: its process has its own bound on
memory, and on the time that one event may take, and no file of the plane open to write. What raises, hangs or dies is
ended and quarantined, by a fact that names the event; the plane and the other projections go on.

Code is loaded where the plane runs, by its own user: a module that its Python finds, or a file that nobody else may
write. Which one it was is in the fact, by its SHA-256: a file that has changed is used when the projection is added or
rebuilt, and not before.
"""

from controlplane.projecting.projection import Happened as Happened
from controlplane.projecting.projection import Projection as Projection

__all__ = ["Happened", "Projection"]
