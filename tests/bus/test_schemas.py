"""A schema made ready, whoever wrote it: nothing outside of it is fetched or read."""

import socket
from pathlib import Path

import pytest

from bus.errors import InvalidSchema
from bus.schemas import Checker, registration


def test_a_hand_made_registration_makes_nobody_fetch(tmp_path: Path) -> None:
    (tmp_path / "there.json").write_text('{"type": "integer"}')
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        for there in (f"http://127.0.0.1:{server.getsockname()[1]}/x", (tmp_path / "there.json").as_uri()):
            for schema in ({"$ref": there}, {"$schema": there}, {"$defs": {"a": {"$ref": there}}, "$ref": "#/$defs/a"}):
                told = registration({"type": "a.b", "version": 1, "compatibility": "none", "schema": schema})
                assert told is not None
                with pytest.raises(InvalidSchema, match=r"own parts|dialects"):
                    Checker(told.schema)
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize("there", ["http://127.0.0.1:9/x", "file:///etc/hostname"])
def test_what_refers_in_another_way_is_refused_by_the_second_lock(there: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.schemas._check_refs", lambda part: None)
    with pytest.raises(InvalidSchema, match="its own parts only, and this one to"):
        Checker({"$ref": there})


def test_what_is_nested_too_deep_is_no_schema() -> None:
    deep: dict[str, object] = {}
    for _ in range(5_000):
        deep = {"not": deep}
    with pytest.raises(InvalidSchema, match="too deep"):
        Checker(deep)
