"""A broker that is reached at another address than it listens on: what it tells, and which port it takes again."""

import json
from pathlib import Path

import pytest

from bus.config import is_endpoint, parse
from tests.bus.rig import Process

TOLD = "tcp://127.0.0.1:9"


@pytest.mark.parametrize("url", [TOLD, "tcp://box-1.example.org:65535", "tcp://[::1]:7000"])
def test_an_address_that_can_be_connected_to_is_one(url: str) -> None:
    assert is_endpoint(url)


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:9", "tcp://:9", "tcp://a:0", "tcp://a:65536", "tcp://a", "tcp://*:9", "ipc://x", TOLD + "/"]
)
def test_anything_else_is_wrong_usage(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert not is_endpoint(url)
    if url:
        with pytest.raises(SystemExit) as ended:
            parse(["--dir", "d", "--id", "b1", "--fleet", "f", "--advertise", url])
        assert ended.value.code == 2 and "tcp://HOST:PORT" in capsys.readouterr().err


@pytest.mark.fleet
def test_a_broker_tells_the_address_it_is_reached_at_and_listens_where_it_did(tmp_path: Path) -> None:
    first = Process(tmp_path, "b1", 1, "--advertise", TOLD)
    try:
        listens = first.facts()["listens"]
        assert first.url == TOLD and listens != TOLD
    finally:
        first.kill()
    again = Process(tmp_path, "b1", 1, "--advertise", TOLD)
    try:
        assert json.loads((tmp_path / "b1" / "broker.json").read_text())["listens"] == listens
        assert again.url == TOLD
    finally:
        again.kill()
