"""A plane that folds again what has changed: the screens say so, and those whose answers are there go on."""

from controlplane.questions import AskBoard, Body, Question, Refusal
from tests.console import frozen
from tests.console.frozen import Frozen
from tests.console.story import Story
from tests.console.tui.seat import seat

WHY = "this needs the fold registry, and registry is folded again: 300 of 1,000 entries"


class Rebuilding(Frozen):
    """The Board is refused, nothing else."""

    def body(self, question: Question, story: Story | None = None) -> Body:
        if isinstance(question, AskBoard):
            return Refusal("unavailable", WHY, "Ask again in a moment.")
        return super().body(question, story)


async def test_a_board_that_is_refused_says_why_and_other_screens_are_drawn() -> None:
    async with seat(Rebuilding(frozen.trouble().story)) as at:
        told = " ".join(at.text.split())
        assert "registry is folded again: 300 of" in told and "Ask again in a moment." in told
        await at.press("3")
        assert "inbox" in at.text
