"""What the folds cost: a real log through all of them, digests included, and the answers at its end."""

import gc
import sys
from collections.abc import Callable, Sequence
from time import perf_counter

from controlplane.answers import Extras, answer
from controlplane.facts import Rows
from controlplane.fold import Fold, Heart
from controlplane.plane import folds
from controlplane.questions import AskBoard, AskFlows, AskSagas, Question
from tests.controlplane.logs import DATA_VARIABLE, NOW, batches, data_folder

LOG = "process_logs/bpic2012.jsonl.gz"
AIM = "aim under 8"
RUNS = 3
BATCH_GAP_NS = 10_000_000
Report = Callable[[str, Sequence[float], str, str], None]


def measured(chosen: list[Fold], size: int) -> tuple[Heart, float]:
    """A heart that took the log in batches of `size`, and the microseconds that an event cost."""
    rows = list(batches(LOG, "bpic2012", size))
    for number, each in enumerate(rows):
        each.appended = [NOW + number * BATCH_GAP_NS] * len(each)
    heart = Heart(chosen)
    gc.collect()
    gc.freeze()
    begun = perf_counter()
    for number, each in enumerate(rows):
        heart.step(each, NOW + number * BATCH_GAP_NS)
    took = perf_counter() - begun
    gc.unfreeze()
    return heart, took / sum(map(len, rows)) * 1e6


def run(report: Report) -> None:
    """All folds together for three sizes of batches, each fold by itself, and each answer at the log's end."""
    if not (data_folder() / LOG).exists():
        print(f"skipped: {LOG} is not here; set {DATA_VARIABLE}", file=sys.stderr)
        return
    heart = Heart(folds())
    for size in (50, 500, 5_000):
        taken = [measured(folds(), size) for _ in range(RUNS)]
        heart = taken[-1][0]
        report(f"all folds and digests, batches of {size:,}", [cost for _, cost in taken], "µs/event", AIM)
    for fold in folds():
        if Rows in fold.follows and fold.name != "history":
            report(f"  {fold.name} alone, batches of 500", [measured([fold], 500)[1]], "µs/event", "")
    asked: tuple[Question, ...] = (AskBoard(), AskFlows(), AskSagas(), AskSagas(state="stuck"))
    for question in asked:
        times = []
        for _ in range(RUNS):
            begun = perf_counter()
            answer(question, heart, heart.recorded, Extras())
            times.append((perf_counter() - begun) * 1e3)
        report(f"answer to {question}"[:58], times, "ms", "after 262,200 events, 13,087 open sagas")
