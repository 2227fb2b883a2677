"""A full disk under the journal: ingest stops and says so, brokers ack on, and with room it goes on by itself."""

import subprocess
from pathlib import Path

import pytest

from tests.chaos.fulldisk import MOMENTS, command, is_possible
from tests.chaos.live import ROOT

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(600)]


@pytest.mark.skipif(not is_possible(), reason="no mount namespace of one's own on this machine")
def test_a_full_disk_at_any_instant_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    ended = subprocess.run(
        command(tmp_path / "data"), cwd=ROOT, capture_output=True, text=True, timeout=580, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr[-4000:]
    assert ended.stdout.count("full at ") == len(MOMENTS), ended.stdout
