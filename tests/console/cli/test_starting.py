"""`up` over a fleet that is there already, and with settings that make no sense: what is said, and the exit code."""

import json
from pathlib import Path

import pytest

from tests.console.cli.test_fleet import asked, gone, pids_of, signalbox, signalbox_said

WHOLE = pytest.mark.fleet


@WHOLE
def test_another_number_of_brokers_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    up = signalbox("up", "--detach", "--brokers", 2, "--data-dir", folder)
    assert f"signalbox down --data-dir {folder}" in up, "pasted, it would end another fleet"
    pids = pids_of(folder)
    try:
        said = signalbox_said("up", "--detach", "--brokers", 1, "--data-dir", folder, code=1)
        assert "in use by the control plane" in said and "signalbox broker add | remove" in said
        assert "plane.log" not in said
        would = asked(folder, "down", "--dry-run")["would_end"]
        assert "down needs --yes" in signalbox_said("down", "--data-dir", folder, code=2)
        assert set(would) == pids == pids_of(folder)
        assert f"signalbox up --data-dir {folder}" in signalbox("down", "--yes", "--data-dir", folder)
        told = json.loads(signalbox("sql", "--file", folder, "select kind from facts order by position", "-o", "json"))
        kinds = [row["kind"] for row in told["rows"]]
        ends = set(kinds[kinds.index("PlaneStopped") :])
        assert "BrokerStopped" in ends and "BrokerStopped" not in kinds[: kinds.index("PlaneStopped")]
        assert not ends & {"BrokerLost", "PartitionWaits", "LeadershipProposed"}, "an ordinary end is no trouble"
        said = signalbox_said("up", "--detach", "--brokers", 2, "--data-dir", folder)
        assert "broker" not in said
        pids |= pids_of(folder)
        signalbox("down", "--yes", "--data-dir", folder)
        said = signalbox_said("up", "--detach", "--brokers", 1, "--data-dir", folder)
        assert "has 2 local brokers" in said and "signalbox broker add | remove" in said
        pids |= pids_of(folder)
        assert len(asked(folder, "status")["brokers"]) == 2
    finally:
        signalbox("down", "--yes", "--data-dir", folder)
        assert gone(pids)


@WHOLE
def test_settings_that_make_no_sense_are_wrong_usage(tmp_path: Path) -> None:
    new, old, rules = tmp_path / "new", tmp_path / "old", tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nprefix = "a/"\ngroup = "a"\n')
    for wrong, said in (
        (["--partitioning", "sideways"], "sideways"),
        (["--partitioning", "semantic"], "rules"),
        (["--partition-rules", tmp_path / "none.toml"], "none.toml cannot be read"),
    ):
        heard = signalbox_said("up", "--detach", *wrong, "--data-dir", new, code=2)
        assert heard.startswith("signalbox: ") and said in heard and "usage:" not in heard
    signalbox("up", "--detach", "--brokers", 1, "--data-dir", old)
    pids = pids_of(old)
    signalbox("down", "--yes", "--data-dir", old)
    assert gone(pids)
    heard = signalbox_said("up", "--detach", "--partition-rules", rules, "--data-dir", old, code=2)
    assert "born with no partition rules" in heard
