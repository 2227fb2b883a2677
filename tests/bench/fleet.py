"""Whole commands on a whole fleet: start, status, the demo, and the largest log at hand in, out and proved."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SIGNALBOX = str(Path(sys.executable).parent / "signalbox")
LOGS = Path(__file__).parents[2].parent / "shared" / "data" / "process_logs"
RUNS = 5
COMMAND_S = 300


def took(*arguments: object) -> float:
    """Seconds of one whole command; raises if it fails."""
    began = time.perf_counter()
    subprocess.run(
        [SIGNALBOX, *map(str, arguments)], check=True, capture_output=True, timeout=COMMAND_S, stdin=subprocess.DEVNULL
    )
    return time.perf_counter() - began


def archived(folder: Path, wanted: int) -> None:
    """Wait until the plane has archived so many."""
    while True:
        line = [SIGNALBOX, "status", "-o", "json", "--data-dir", str(folder)]
        status = json.loads(subprocess.run(line, check=True, capture_output=True, timeout=COMMAND_S).stdout)
        if status["counts"]["events"] >= wanted:
            return


def run(report: Callable[..., None]) -> None:
    """Prints seconds, and events per second of the import."""
    report("demo, headless, full speed", [took("demo", "--headless") for _ in range(2)], "s", "target 15")
    with tempfile.TemporaryDirectory(prefix="signalbox-bench-") as place:
        folder = Path(place) / "data"
        here = ("--data-dir", folder)
        report("up --detach, three brokers", [took("up", "--detach", *here)], "s")
        try:
            took("status", *here)
            report("status", [1000 * took("status", *here) for _ in range(RUNS)], "ms", "target 300")
            log = LOGS / "bpic2012.jsonl.gz"
            if not log.exists():
                print(f"{log} is not here: no import of it")
                return
            began = time.perf_counter()
            acked = took("event", "import", log, *here)
            archived(folder, 262_200)
            whole = time.perf_counter() - began
            report("import bpic2012, all 262,200 acked", [acked], "s")
            report("import bpic2012, all archived", [whole], "s", "target 15")
            report("export of it", [took("event", "export", "--out", Path(place) / "out.jsonl", *here)], "s")
            report("replay verify of it", [took("replay", "verify", *here)], "s")
        finally:
            took("down", "--yes", *here)
