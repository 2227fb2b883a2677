"""A saga as a page, where it needs no fleet."""

import msgspec

from console.commands.pages import saga_page
from controlplane.questions import Saga, SagaStep, Told
from tests.console import frozen


def test_a_finished_sagas_last_step_took_nothing_that_is_known() -> None:
    steps = [SagaStep(n, f"e{n}", "order.paid", "shop", n * 10**9, took, 0, n) for n, took in ((1, 10**9), (2, 0))]
    for state, shown in (("finished", "–"), ("failed", "–"), ("open", "0s")):
        row = msgspec.structs.replace(frozen.trouble().story.sagas[0], state=state)
        body = Saga(row, steps, [], [])
        page = saga_page(body, Told(0, 0, body))
        took = next(column for column in page.columns if column.name == "took")
        assert [took.of(step) for step in steps] == ["1.0s", shown]
