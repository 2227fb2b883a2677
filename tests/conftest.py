"""Flags of the whole suite: `--long` for the full form of long proofs, `--rewrite` to record transcripts anew."""

import os
import signal
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a script's background job has it; what tests start would inherit it, and could not be interrupted.
    signal.signal(signal.SIGINT, signal.default_int_handler)

if sys.dont_write_bytecode:
    # As images of containers have it: each of a thousand processes would compile all that it imports, which takes more
    # processor than what it was started for. The sources stay clean all the same: it is kept where builds are.
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(Path(__file__).parents[1] / "build" / "bytecode")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix

# The same examples twice, whatever else the machine is doing; `--long` looks for new ones, and for more.
settings.register_profile("same-twice", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=250)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the full form of long proofs too")
    parser.addoption("--rewrite", action="store_true", help="write what the machines answer into tests/transcripts")


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("search" if config.getoption("--long") else "same-twice")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    skip = pytest.mark.skip(reason="the full form of a proof; run it with --long")
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(skip)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test of text that UTF-8 cannot carry has logged would end the run when it fails: workers send reports."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether proofs run in their full form."""
    return bool(request.config.getoption("--long"))


@pytest.fixture(scope="session")
def rewrite(request: pytest.FixtureRequest) -> bool:
    """Whether transcripts are recorded anew instead of compared."""
    return bool(request.config.getoption("--rewrite"))
