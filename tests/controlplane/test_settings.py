"""Settings as people write them, and how one that is wrong is told."""

import pytest

from controlplane.errors import BadSetting
from controlplane.sagas import valid_setting
from controlplane.settings import SETTINGS, known, read


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("sagas.stuck_after", "60s", "60000"),
        ("sagas.stuck_after", "1m30s", "90000"),
        ("sagas.stuck_after_ms", "500ms", "500"),
        ("sagas.stuck_after_ms", "60000", "60000"),
        ("sagas.stuck_after", " 2h ", "7200000"),
    ],
)
def test_durations_have_units(name: str, written: str, value: str) -> None:
    assert read({name: written}) == {"sagas.stuck_after_ms": value}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sagas.patience": "1s"}, "there is no setting 'sagas.patience'"),
        ({"sagas.stuck_after": "60"}, "60 of what? Write 60s, or sagas.stuck_after_ms=60"),
        ({"sagas.stuck_after": "soon"}, "it takes a duration such as 60s"),
        ({"sagas.stuck_after": "0s"}, "a whole number of milliseconds above 0"),
        ({"sagas.stuck_after": "-5s"}, "it takes a duration"),
        ({"sagas.stuck_after": "1s 2s"}, "it takes a duration"),
        ({"sagas.stuck_after": "1s", "sagas.stuck_after_ms": "5"}, "sagas.stuck_after_ms is set twice"),
        ({"sagas.end_types": "a,,b"}, "patterns, separated by commas"),
        ({"sagas.end_types": "a..b"}, "'a..b' is none"),
    ],
)
def test_what_is_wrong_is_said(given: dict[str, str], said: str) -> None:
    with pytest.raises(BadSetting) as raised:
        read(given)
    assert said in str(raised.value)


def test_every_setting_is_known_by_an_example_that_it_takes() -> None:
    for setting in SETTINGS:
        found = read({setting.name: setting.example})
        assert valid_setting(setting.name, found[setting.name]) == ""
        assert setting.about in known()
