"""A data directory whose control plane is a `Responder`, and `cli`, which runs one command line in this process."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from console.cli import run
from controlplane.questions import AskBoard, AskStatus, Question, Told
from tests.console import frozen
from tests.console.cli.responder import Answer, Responder, plane_file


@dataclass
class Result:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def no_fleet_of_mine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever fleet, settings or colours the person has who runs the tests, commands do not find them."""
    for name in ("SIGNALBOX_URL", "SIGNALBOX_DATA_DIR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    def call(*arguments: str) -> Result:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Result(code, said.out, said.err)

    return call


@pytest.fixture
def responder() -> Iterator[Callable[[Callable[[Question], Answer]], Responder]]:
    made: list[Responder] = []

    def make(answer: Callable[[Question], Answer]) -> Responder:
        made.append(Responder(answer))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def fleet_of(
    tmp_path: Path, responder: Callable[[Callable[[Question], Answer]], Responder]
) -> Callable[[Callable[[Question], Answer]], Path]:
    """A data directory whose plane answers so."""

    def make(answer: Callable[[Question], Answer]) -> Path:
        folder = tmp_path / "fleet"
        folder.mkdir()
        (folder / "plane.json").write_bytes(plane_file(responder(answer).url))
        return folder

    return make


@pytest.fixture
def trouble(fleet_of: Callable[[Callable[[Question], Answer]], Path]) -> Path:
    """The fleet of the frozen story in which broker b5 is dead."""
    return fleet_of(story_teller(frozen.trouble()))


@pytest.fixture
def empty(fleet_of: Callable[[Callable[[Question], Answer]], Path]) -> Path:
    """A fleet without an event."""
    return fleet_of(story_teller(frozen.empty()))


def story_teller(story: frozen.Frozen) -> Callable[[Question], Answer]:
    """The story's answers; its status is the one on its Board."""

    def answer(question: Question) -> Told:
        if isinstance(question, AskStatus):
            told = story.ask(AskBoard())
            return Told(told.position, told.recorded, told.body.status)  # type: ignore[union-attr]
        return story.ask(question)

    return answer


def telling(body: object) -> Callable[[Question], Answer]:
    """Always this body."""
    return lambda _question: Told(7, 1_700_000_000_000_000_000, body)  # type: ignore[arg-type]
