"""Every command and every snippet of the README is run, in order, against one fleet of its own.

A `console` block is a session: lines that begin with `$ ` run in the shell, `make`, `export` and what names an example
of the tests in the checkout, the rest in a folder of their own. The lines below one are what it prints, the first of
which must come out (`...` stands for anything). `make test` is this very run and is left out. A `python` block is a
program and must exit 0. The console itself gets a terminal and the key `q`.
"""

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LEFT_OUT = ("make test",)
NEEDS_A_TERMINAL = ("signalbox console",)
COMMAND_SECONDS_MAX = 120


def blocks() -> list[tuple[str, str]]:
    return [(kind, text) for kind, text in BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))]


def commands(session: str) -> Iterator[tuple[str, list[str]]]:
    """Each `$ ` line with the lines that it should print."""
    command, printed = "", list[str]()
    for line in session.splitlines():
        if line.startswith("$ "):
            if command:
                yield command, printed
            command, printed = line[2:].split("  #")[0].rstrip(), []
        elif line.strip():
            printed.append(line)
    if command:
        yield command, printed


@pytest.fixture
def place(tmp_path: Path) -> Iterator[dict[str, str]]:
    environment = {
        **os.environ,
        "SIGNALBOX_DATA_DIR": str(tmp_path / "fleet"),
        "NO_COLOR": "1",
        "COLUMNS": "120",
    }
    environment.pop("SIGNALBOX_URL", None)
    yield environment
    subprocess.run(
        [str(BIN / "signalbox"), "down", "--yes"], env=environment, capture_output=True, timeout=60, check=False
    )


def in_a_terminal(command: str, environment: dict[str, str]) -> int:
    """Runs the command on a pseudo terminal, presses `q` once it has drawn something, and gives its exit code."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        ["bash", "-c", command], stdin=child, stdout=child, stderr=child, env={**environment, "TERM": "xterm-256color"}
    )
    os.close(child)
    seen, pressed, deadline = b"", False, time.monotonic() + 60
    try:
        while time.monotonic() < deadline and process.poll() is None:
            if select.select([parent], [], [], 0.2)[0]:
                try:
                    seen += os.read(parent, 65536)
                except OSError:  # the terminal's other end is closed: the program is gone
                    break
            if not pressed and b"Board" in seen:
                os.write(parent, b"q")
                pressed = True
        return process.wait(timeout=20)
    finally:
        process.kill()
        process.wait()
        os.close(parent)


def expect(printed: list[str], output: str, command: str) -> None:
    """The first line shown must come out: `...` stands for anything, any number for any other."""
    if not printed:
        return
    shown = re.sub(r"[0-9][0-9,]*", "0", printed[0].strip())
    pattern = ".*".join(re.escape(part) for part in shown.split("..."))
    seen = re.sub(r"[0-9][0-9,]*", "0", output)
    assert re.search(pattern, seen), f"`{command}` printed\n{output}\nand not\n{printed[0]}"


@pytest.mark.fleet
@pytest.mark.timeout(600)
def test_the_readme_does_what_it_says(place: dict[str, str], tmp_path: Path) -> None:
    ran = 0
    for kind, text in blocks():
        if kind == "python":
            script = tmp_path / "snippet.py"
            script.write_text(text, encoding="utf-8")
            done = subprocess.run(
                [sys.executable, str(script)], env=place, capture_output=True, text=True, timeout=60, check=False
            )
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
            ran += 1
            continue
        for command, printed in commands(text):
            if command in LEFT_OUT:
                continue
            ran += 1
            if command in NEEDS_A_TERMINAL:
                assert in_a_terminal(command, place) == 0, f"`{command}` did not end well"
                continue
            if command.startswith("export PATH="):
                told = ["bash", "-c", f'{command}; printf %s "$PATH"']
                place["PATH"] = subprocess.run(
                    told, cwd=ROOT, env=place, capture_output=True, text=True, timeout=10, check=True
                ).stdout
                continue
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=ROOT if command.startswith("make ") or "tests/examples/" in command else tmp_path,
                env=place,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS_MAX,
                check=False,
            )
            assert done.returncode == 0, f"`{command}` exits {done.returncode}\n{done.stdout}\n{done.stderr}"
            expect(printed, done.stdout + done.stderr, command)
            if "newsroom.py" in command:
                assert "bench." not in done.stdout, "it shows what went on before it, too"
    assert ran >= 10, "the README shows too little"
