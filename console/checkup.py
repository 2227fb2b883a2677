"""What `doctor` looks at: each check says what it found, how bad that is, and what to do. Nothing is changed."""

import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from console.failures import Failure
from console.fleetdir import Fleet, alive, brokers_of, plane_of, question_url, read
from console.measure import many

NEEDED = ("pyzmq", "lmdb", "duckdb", "pyarrow", "msgspec", "psutil", "typer", "textual")
DISK_BYTES_MIN = 1 << 30
FSYNC_TRIES = 20
FSYNC_MS_MAX = 20.0
OPEN_FILES_MIN = 1024
Finding = dict[str, str]


def examine(fleet: Fleet) -> list[Finding]:
    """All findings, in the order in which one would look. A check that fails itself is a finding too."""
    checks: list[Callable[[Fleet], Finding]] = [
        _python,
        _packages,
        _directory,
        _disk,
        _fsync,
        _files,
        _loopback,
        _terminal,
        _plane,
        _brokers,
        _answers,
        _journal,
    ]
    found = []
    for check in checks:
        try:
            found.append(check(fleet))
        except (OSError, Failure) as error:
            found.append(_finding(check.__name__.strip("_"), "bad", str(error), getattr(error, "hint", "")))
    return found


def _finding(check: str, severity: str, found: str, mend: str = "") -> Finding:
    return {"check": check, "severity": severity, "found": found, "mend": mend}


def _python(_: Fleet) -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return _finding("python", "ok", f"{version}, {sys.executable}")


def _packages(_: Fleet) -> Finding:
    missing, found = [], []
    for name in NEEDED:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return _finding("packages", "bad", f"missing: {', '.join(missing)}", f"pip install {' '.join(missing)}")
    return _finding("packages", "ok", ", ".join(found))


def _nearest(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _directory(fleet: Fleet) -> Finding:
    there = _nearest(fleet.data_dir)
    if not os.access(there, os.W_OK | os.X_OK):
        return _finding("directory", "bad", f"{there} may not be written", "Give it to this user, or use --data-dir.")
    state = "has a fleet" if (fleet.data_dir / "fleet.json").exists() else "has no fleet yet"
    return _finding("directory", "ok", f"{fleet.data_dir} {state}")


def _disk(fleet: Fleet) -> Finding:
    free = shutil.disk_usage(_nearest(fleet.data_dir)).free
    said = f"{free / 1e9:.1f} GB free"
    return (
        _finding("disk", "ok", said) if free >= DISK_BYTES_MIN else _finding("disk", "warn", said, "Make room there.")
    )


def _fsync(fleet: Fleet) -> Finding:
    """Every ack waits for one of these."""
    took = []
    with tempfile.TemporaryFile(dir=_nearest(fleet.data_dir)) as file:
        for _ in range(FSYNC_TRIES):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    median = sorted(took)[FSYNC_TRIES // 2]
    said = f"{median:.2f} ms in the middle, {max(took):.2f} ms at worst"
    if median > FSYNC_MS_MAX:
        return _finding("fsync", "warn", said, "Acks will be slow; a local SSD is better.")
    return _finding("fsync", "ok", said)


def _files(_: Fleet) -> Finding:
    import resource

    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < OPEN_FILES_MIN:
        return _finding("open files", "warn", f"at most {soft}", f"ulimit -n {OPEN_FILES_MIN}")
    return _finding("open files", "ok", f"at most {soft:,}")


def _loopback(_: Fleet) -> Finding:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return _finding("loopback", "ok", f"ports are free, {probe.getsockname()[1]} for one")


def _terminal(_: Fleet) -> Finding:
    encoding = (sys.stdout.encoding or "").lower()
    columns, rows = shutil.get_terminal_size()
    said = f"{os.environ.get('TERM', 'none')}, {columns}×{rows}, {encoding or 'no encoding'}"
    if "utf" not in encoding:
        return _finding("terminal", "warn", said, "The console will draw in ASCII; set a UTF-8 locale for its glyphs.")
    return _finding("terminal", "ok", said)


def _plane(fleet: Fleet) -> Finding:
    if fleet.url:
        return _finding("control plane", "ok", f"named by SIGNALBOX_URL: {fleet.url}")
    plane = plane_of(fleet)
    if plane is not None:
        return _finding("control plane", "ok", f"pid {plane['pid']}, epoch {plane.get('epoch')}, {plane.get('url')}")
    if read(fleet.data_dir / "plane.json") is not None:
        return _finding("control plane", "warn", "it ended without saying so", "signalbox up")
    return _finding("control plane", "unknown", "not running", "signalbox up")


def _brokers(fleet: Fleet) -> Finding:
    folders = sorted((fleet.data_dir / "brokers").glob("*/broker.json"))
    if not folders:
        return _finding("brokers", "unknown", "none here", "signalbox up")
    dead = [path.parent.name for path in folders if not alive(read(path))]
    up = [str(record["id"]) for record in brokers_of(fleet)]
    if not up:
        return _finding("brokers", "unknown", f"{', '.join(dead)} not running", "signalbox up")
    if dead:
        return _finding("brokers", "warn", f"up: {', '.join(up)}; not running: {', '.join(dead)}", "signalbox status")
    return _finding("brokers", "ok", f"up: {', '.join(up)}")


def _answers(fleet: Fleet) -> Finding:
    if not fleet.url and plane_of(fleet) is None:
        return _finding("answers", "unknown", "nobody to ask", "signalbox up")
    from console.commands.asking import ask
    from controlplane.questions import AskStatus, Status

    began = time.perf_counter()
    status, _ = ask(Fleet(fleet.data_dir, fleet.url), AskStatus(), Status)
    took = (time.perf_counter() - began) * 1000
    well = f"{question_url(fleet)} in {took:.0f} ms: {status.controlplane.state}, {many(len(status.brokers), 'broker')}"
    plane = status.controlplane
    if plane.why:
        mend = "Make room there; it goes on by itself." if plane.state == "full" else f"See {plane.data_dir}/plane.log."
        return _finding("answers", "bad", f"{well}; {plane.why}", mend)
    unled = sum(1 for partition in status.partitions if not partition.leader)
    if unled:
        return _finding(
            "answers",
            "warn",
            f"{well}; {many(unled, 'partition has', 'partitions have')} no leader",
            "signalbox status",
        )
    return _finding("answers", "ok", well)


def _journal(fleet: Fleet) -> Finding:
    """A running plane tells of its journal and the copy; of one at rest every segment is read whole."""
    if fleet.url or plane_of(fleet) is not None:
        return _live_journal(fleet)
    if not any((fleet.data_dir / "journal").glob("[0-9]*")):
        return _finding("journal", "unknown", "none here", "signalbox up")
    from console.commands.rebuilding import ask

    looked = ask(fleet.data_dir, "--look")
    if looked["unsound"]:
        said = "; ".join(f"{name}: {why}" for name, why in looked["unsound"].items())
        return _finding("journal", "bad", said, "signalbox doctor --rebuild-journal --dry-run")
    return _finding("journal", "ok", f"{many(len(looked['sound']), 'segment holds', 'segments hold')} together")


def _live_journal(fleet: Fleet) -> Finding:
    from console.commands.asking import ask
    from controlplane.questions import AskStatus, Status

    status, _ = ask(Fleet(fleet.data_dir, fleet.url), AskStatus(), Status)
    plane = status.controlplane
    said = f"{plane.journal_bytes / 1e6:.1f} MB, positions {plane.journal_from + 1:,} to {plane.position:,}"
    if plane.journal_why:
        return _finding("journal", "warn", f"{said}; {plane.journal_why}", "signalbox status")
    if plane.copy_why:
        return _finding("journal", "warn", f"{said}; its copy stands still: {plane.copy_why}", "signalbox status")
    return _finding("journal", "ok", f"{said}; its copy has those up to {plane.copied:,}")
