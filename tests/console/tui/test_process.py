"""The console as a process: arguments, a real terminal, a control plane on a socket, and a clean end."""

import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator

import pytest
import zmq

from console.__main__ import glyphs_doubtful
from controlplane.questions import MAGIC, decode_question, encode
from tests.console import frozen

WAIT_S = 30.0


@pytest.fixture
def plane() -> Iterator[str]:
    """A socket that answers from the story of trouble."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router, stop = context.socket(zmq.ROUTER), threading.Event()
    router.linger = 0
    port = router.bind_to_random_port("tcp://127.0.0.1")
    link = frozen.trouble()

    def serve() -> None:
        while not stop.is_set():
            if router.poll(50):
                peer, magic, number, question = router.recv_multipart()
                if magic == MAGIC:
                    router.send_multipart([peer, MAGIC, number, encode(link.ask(decode_question(question)))])
        router.close()

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"tcp://127.0.0.1:{port}"
    stop.set()
    thread.join()
    context.term()


@contextlib.contextmanager
def on_terminal(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The console on a terminal of its own, 120 × 36."""
    near, far = pty.openpty()
    termios.tcsetwinsize(far, (36, 120))
    env = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", **environment}
    process = subprocess.Popen(
        [sys.executable, "-m", "console", *arguments], stdin=far, stdout=far, stderr=far, env=env
    )
    os.close(far)
    try:
        yield process, near
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(WAIT_S)
        os.close(near)


def read_until(near: int, wanted: bytes) -> bytes:
    """What the terminal got, up to and with `wanted`."""
    got, deadline = b"", time.monotonic() + WAIT_S
    while wanted not in got:
        ready, _, _ = select.select([near], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"{wanted!r} did not come; the last was {got[-300:]!r}"
        got += os.read(near, 65_536)
    return got


def end(process: subprocess.Popen[bytes], near: int) -> bytes:
    """What came until the process had ended."""
    got = b""
    with contextlib.suppress(OSError):  # Linux says EIO once the far side is closed
        while data := os.read(near, 65_536):
            got += data
    process.wait(WAIT_S)
    return got


def test_the_console_shows_a_fleet_and_q_gives_the_terminal_back(plane: str) -> None:
    with on_terminal("--url", plane, "--context", "prod-eu") as (process, near):
        read_until(near, b"refuses publishes")
        os.write(near, b"3")
        read_until(near, b"report-4702")
        os.write(near, b"q")
        rest = end(process, near)
        assert process.returncode == 0
        assert b"\x1b[?1049l" in rest, "the screen from before is back"


def test_ctrl_c_leaves_too_and_without_colour_none_is_sent(plane: str) -> None:
    with on_terminal("--url", plane, NO_COLOR="1") as (process, near):
        shown = read_until(near, b"refuses publishes")
        os.write(near, b"\x03")
        shown += end(process, near)
        assert process.returncode == 0
        assert b"38;2;" not in shown and b"48;2;" not in shown


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP])
def test_an_end_from_outside_gives_the_terminal_back_too(plane: str, ending: signal.Signals) -> None:
    with on_terminal("--url", plane) as (process, near):
        read_until(near, b"refuses publishes")
        process.send_signal(ending)
        rest = end(process, near)
        assert process.returncode == 0
        assert b"\x1b[?1049l" in rest


def test_ascii_sends_no_glyph(plane: str) -> None:
    with on_terminal("--url", plane, "--ascii", "--theme", "contrast") as (process, near):
        shown = read_until(near, b"refuses publishes")
        os.write(near, b"q")
        shown += end(process, near)
        assert process.returncode == 0
        assert not set("●▲■◐○◆▸━─┄▌▁▇█") & set(shown.decode("utf-8", "replace"))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=WAIT_S, stdin=subprocess.DEVNULL
    )


def test_without_a_terminal_it_says_what_to_do_instead() -> None:
    result = run("-m", "console", "--url", "tcp://127.0.0.1:9")
    assert result.returncode == 2
    assert "signalbox status" in result.stderr


def test_wrong_arguments_are_told_before_anything_heavy_is_loaded() -> None:
    script = (
        "import sys\nfrom console.__main__ import main\n"
        "try: main(['--nonsense'])\nexcept SystemExit as end: code = end.code\n"
        "print(code, [m for m in ('textual', 'rich', 'zmq', 'msgspec') if m in sys.modules])"
    )
    assert run("-c", script).stdout == "2 []\n"


@pytest.mark.parametrize(
    ("language", "doubtful"), [("ja_JP.UTF-8", True), ("zh_CN.UTF-8", True), ("en_GB.UTF-8", False)]
)
def test_glyphs_are_doubted_where_they_may_take_two_cells(
    language: str, doubtful: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("locale.getencoding", lambda: "UTF-8")
    monkeypatch.setenv("LC_ALL", language)
    assert glyphs_doubtful() is doubtful
