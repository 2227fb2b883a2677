"""`python -m tests.bench [NAME ...]`: run all the measurements, or the ones named (some run only if named)."""

import importlib
import pkgutil
import statistics
import sys
from collections.abc import Sequence

import tests.bench


def report(name: str, values: Sequence[float], unit: str, note: str = "") -> None:
    """One line: the median, then least and greatest of all the runs, and how it was measured."""
    middle = statistics.median(values)
    span = f"[{min(values):,.1f} - {max(values):,.1f}] n={len(values)}"
    print(f"{name:<58} {middle:>14,.1f} {unit:<9} {span} {note}", flush=True)


def main(wanted: Sequence[str]) -> int:
    """Runs the named measurements; 2 if a name is unknown."""
    known = [
        module.name
        for module in pkgutil.iter_modules(tests.bench.__path__)
        if not (module.ispkg or module.name.startswith(("_", "test_")))
    ]
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        print(
            f"no measurement {', '.join(unknown)}; there are (peers: make bench-peers): {', '.join(known)}",
            file=sys.stderr,
        )
        return 2
    for name in wanted or known:
        module = importlib.import_module(f"tests.bench.{name}")
        if hasattr(module, "run") and (wanted or not getattr(module, "ONLY_IF_NAMED", False)):
            module.run(report)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
