"""`event export`: the archive as CloudEvents JSON lines in journal order, page by page, up to the moment asked."""

from collections.abc import Callable, Iterator

from console.commands.asking import LONG_ANSWER_S, body_of, told
from console.limits import EXPORT_PAGE
from console.link import Link
from controlplane.questions import AskExport, At, Exported


def pages(
    link: Link,
    internal: bool = False,
    pattern: str = ">",
    on_progress: Callable[[int, int], None] | None = None,
    at: At | None = None,
) -> Iterator[list[str]]:
    """Lines without their ends. The first page waits until everything the brokers hold is archived. Raises Failure.

    With `at` only what was archived at that moment, and nothing is waited for.

    `on_progress(done, total)` is called with each page.
    """
    after, up_to, done = 0, None, 0
    while True:
        question = AskExport(after=after, up_to=up_to, internal=internal, pattern=pattern, limit=EXPORT_PAGE)
        page = body_of(told(link, question, LONG_ANSWER_S, at=at), Exported)
        done += len(page.lines)
        if on_progress is not None:
            on_progress(done, page.total)
        yield page.lines
        if page.done:
            return
        after, up_to = page.after, page.up_to
