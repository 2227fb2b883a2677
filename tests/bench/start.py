"""How long a person waits for the command line: `signalbox --help` as a whole process."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

RUNS = 9


def took(command: list[str]) -> float:
    """Wall milliseconds of one whole process; raises if it fails."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return (time.perf_counter() - began) * 1000


def run(report: Callable[..., None]) -> None:
    """Measures `--help`, warm, beside a bare interpreter."""
    signalbox = str(Path(sys.executable).parent / "signalbox")
    took([signalbox, "--help"])
    report("python -c pass", [took([sys.executable, "-c", "pass"]) for _ in range(RUNS)], "ms", "the floor")
    report("signalbox --help", [took([signalbox, "--help"]) for _ in range(RUNS)], "ms", "target 150")
