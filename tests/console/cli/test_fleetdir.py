"""Which fleet is meant, and what is said when it is not there."""

import json
import os
import socket
import subprocess
from pathlib import Path

import msgspec
import pytest

from console.failures import Failure, Unreachable, Usage
from console.fleetdir import alive, brokers_of, plane_of, question_url, resolve
from console.planeprocess import KEEPS_ALL, Partitioning, Retention, command, is_ready
from tests.console import story_calm
from tests.console.cli.responder import plane_file

ROOT = Path(__file__).resolve().parents[3]


def test_a_flag_beats_the_environment_beats_settings_beats_the_default(monkeypatch, tmp_path: Path) -> None:
    assert resolve().data_dir == tmp_path / "state" / "signalbox"
    user = tmp_path / "config" / "signalbox"
    user.mkdir(parents=True)
    (user / "config.toml").write_text('data_dir = "/of/user"')
    assert resolve().data_dir == Path("/of/user")
    Path("signalbox.toml").write_text('data_dir = "here"')
    assert resolve().data_dir == tmp_path / "here"
    monkeypatch.setenv("SIGNALBOX_DATA_DIR", "/of/env")
    assert resolve().data_dir == Path("/of/env")
    monkeypatch.setenv("SIGNALBOX_URL", "tcp://127.0.0.1:7")
    assert resolve().url == "tcp://127.0.0.1:7"
    named = resolve(Path("flag"))
    assert (named.data_dir, named.url) == (tmp_path / "flag", "")


def test_the_same_holds_for_how_partitions_are_used(monkeypatch, tmp_path: Path) -> None:
    assert Partitioning.of().flags() == []
    user = tmp_path / "config" / "signalbox"
    user.mkdir(parents=True)
    (user / "config.toml").write_text('partitioning = "semantic"\npartition_rules = "mine.toml"')
    assert Partitioning.of() == ("semantic", user / "mine.toml", "")
    Path("signalbox.toml").write_text('partition_rules = "here.toml"\nlocality = "eu"')
    assert Partitioning.of() == ("semantic", tmp_path / "here.toml", "eu")
    monkeypatch.setenv("SIGNALBOX_PARTITIONING", "adaptive")
    assert Partitioning.of() == ("adaptive", tmp_path / "here.toml", "eu")
    line = command(tmp_path, partitioning=Partitioning.of("hash", Path("flag.toml"), "us"))
    assert line[-3:] == ["--partitioning=hash", f"--partition-rules={tmp_path / 'flag.toml'}", "--locality=us"]


def test_the_same_holds_for_how_much_is_kept(monkeypatch, tmp_path: Path) -> None:
    assert Retention.of() == KEEPS_ALL and KEEPS_ALL.flags() == []
    user = tmp_path / "config" / "signalbox"
    user.mkdir(parents=True)
    (user / "config.toml").write_text('journal_retention_seconds = 86400\nretention_bytes = "5"')
    assert Retention.of() == (0, 5, 86_400, 0)
    Path("signalbox.toml").write_text("retention_bytes = 7\nretention_seconds = 9")
    assert Retention.of() == (9, 7, 86_400, 0)
    monkeypatch.setenv("SIGNALBOX_RETENTION_SECONDS", "11")
    monkeypatch.setenv("SIGNALBOX_JOURNAL_RETENTION_BYTES", "13")
    assert Retention.of() == (11, 7, 86_400, 13)
    line = command(tmp_path, retention=Retention.of(seconds=0, journal_seconds=2))
    assert line[-3:] == ["--retention-bytes=7", "--journal-retention-seconds=2", "--journal-retention-bytes=13"]


@pytest.mark.parametrize("value", ["-1", "true", "1.5", '"soon"', '"٣"'])
def test_a_number_that_is_none_is_named(value: str) -> None:
    Path("signalbox.toml").write_text(f"retention_seconds = {value}")
    with pytest.raises(Usage, match=r"signalbox\.toml: retention_seconds"):
        Retention.of()


def test_a_number_in_the_environment_that_is_none_is_named(monkeypatch) -> None:
    monkeypatch.setenv("SIGNALBOX_RETENTION_SECONDS", "soon")
    with pytest.raises(Usage, match="SIGNALBOX_RETENTION_SECONDS"):
        Retention.of()


@pytest.mark.parametrize("text", ["data_dir = 5", "data_dir ="])
def test_settings_that_make_no_sense_are_named(text: str) -> None:
    Path("signalbox.toml").write_text(text)
    with pytest.raises(Usage, match=r"signalbox\.toml"):
        resolve()


def test_what_is_said_of_a_fleet_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="no fleet in"):
        question_url(resolve(tmp_path / "none"))
    (tmp_path / "fleet.json").write_text("{}")
    with pytest.raises(Unreachable, match="is not running"):
        question_url(resolve(tmp_path))


def test_a_pid_that_was_used_again_is_not_the_plane(tmp_path: Path) -> None:
    record = json.loads(plane_file("tcp://127.0.0.1:7"))
    assert alive(record)
    assert not alive(record | {"started": record["started"] - 100})
    assert not alive(record | {"pid": -1})
    assert not alive({"pid": "x"})
    (tmp_path / "fleet.json").write_text("{}")
    (tmp_path / "plane.json").write_text(json.dumps(record | {"started": 5.0}))
    with pytest.raises(Unreachable, match="is not running"):
        question_url(resolve(tmp_path))


def test_brokers_that_outlived_their_plane_are_mentioned(tmp_path: Path) -> None:
    (tmp_path / "fleet.json").write_text("{}")
    (tmp_path / "brokers" / "b1").mkdir(parents=True)
    (tmp_path / "brokers" / "b1" / "broker.json").write_bytes(plane_file("tcp://127.0.0.1:7"))
    with pytest.raises(Unreachable, match="1 of its brokers go on") as found:
        question_url(resolve(tmp_path))
    assert f"`signalbox up --data-dir {tmp_path}`" in found.value.hint


def test_the_command_that_starts_a_fleet_names_its_directory_unless_it_is_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("SIGNALBOX_DATA_DIR", raising=False)
    monkeypatch.delenv("SIGNALBOX_URL", raising=False)
    for folder, line in (
        (tmp_path / "my fleet", f"signalbox up --data-dir '{tmp_path}/my fleet'"),
        (None, "signalbox up"),
    ):
        with pytest.raises(Unreachable, match="no fleet in") as found:
            question_url(resolve(folder))
        assert f"`{line}`" in found.value.hint


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "plane.json").write_text("{")
    with pytest.raises(Failure, match=r"plane\.json is damaged"):
        question_url(resolve(tmp_path))


def test_a_damaged_plane_file_does_not_hide_a_plane_that_listens(tmp_path: Path) -> None:
    (tmp_path / "plane.json").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        (tmp_path / "fleet.json").write_text(json.dumps({"plane_url": url}))
        assert question_url(resolve(tmp_path)) == url
        assert plane_of(resolve(tmp_path)) == {"pid": 0, "url": url}
    with pytest.raises(Failure, match="damaged"):
        question_url(resolve(tmp_path))


def test_a_damaged_broker_file_is_said_and_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for broker, content in (("b1", b"{"), ("b2", plane_file("tcp://127.0.0.1:7"))):
        (tmp_path / "brokers" / broker).mkdir(parents=True)
        (tmp_path / "brokers" / broker / "broker.json").write_bytes(content)
    assert len(brokers_of(resolve(tmp_path))) == 1
    assert "broker.json is damaged" in capsys.readouterr().err


def test_no_module_of_the_folder_one_stands_in_is_run_instead(tmp_path: Path) -> None:
    for name in ("bus", "controlplane", "console"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong one')")
    line = [*command(tmp_path)[:4], "--help"]
    assert line[3] == "controlplane"
    ended = subprocess.run(
        line, cwd=tmp_path, capture_output=True, timeout=60, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert ended.returncode == 0, ended.stderr


def test_a_fleet_is_ready_when_its_brokers_are_up_its_partitions_led_and_its_health_known() -> None:
    ready = story_calm.story().board.status
    status = msgspec.structs.replace(
        ready,
        brokers=[msgspec.structs.replace(one, state="up") for one in ready.brokers],
        partitions=[msgspec.structs.replace(one, leader="b1") for one in ready.partitions],
        counts=msgspec.structs.replace(ready.counts, score=70),
    )
    assert is_ready(status)
    for lacking in (
        {"controlplane": msgspec.structs.replace(status.controlplane, state="stopping")},
        {"brokers": []},
        {"brokers": [*status.brokers[:-1], msgspec.structs.replace(status.brokers[-1], state="starting")]},
        {"partitions": [msgspec.structs.replace(status.partitions[0], leader=None), *status.partitions[1:]]},
        {"counts": msgspec.structs.replace(status.counts, score=None)},
    ):
        assert not is_ready(msgspec.structs.replace(status, **lacking))
