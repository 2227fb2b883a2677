"""docs/testing.md is true: its tests are run as they stand there."""

from pathlib import Path

import bus
from tests.bus.testing.pages import blocks, run


async def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    told = [run(block, tmp_path, bus=bus) for block in blocks("testing.md")]
    tests = [test for names in told for name, test in names.items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        await test()
