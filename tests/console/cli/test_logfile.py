"""Logs: plain, zipped, piped; and every kind of bad line named with file, line and attribute."""

import gzip
import io
import json
from pathlib import Path

import pytest

from console.failures import Failure, NotFound, Usage
from console.logfile import Rejects, check_logs, events, rejects_beside, stem


def line(number: int, **change: object) -> bytes:
    event = {"specversion": "1.0", "id": str(number), "source": "s", "type": "t"} | change
    return json.dumps(event).encode() + b"\n"


def read(path: str, rejects: Rejects) -> list[str]:
    found = [event.id for event in events(path, rejects)]
    rejects.close()
    return found


@pytest.mark.parametrize("zipped", [False, True])
def test_bad_lines_are_named_and_kept_and_the_rest_is_read(tmp_path: Path, capsys, zipped: bool) -> None:
    bad = [b"{nonsense\n", line(3, type="a..b"), b'"a text"\n', line(5, time="yesterday")]
    content = line(1) + b"".join(bad) + b"  \n" + line(7)
    log = tmp_path / ("log.jsonl.gz" if zipped else "log.jsonl")
    log.write_bytes(gzip.compress(content) if zipped else content)
    rejects = Rejects(None)
    assert read(str(log), rejects) == ["1", "7"]
    said = capsys.readouterr().err.splitlines()
    assert [text.removeprefix(str(log)).split(" ")[0:2] for text in said] == [
        [":2:", "event:"],
        [":3:", "type:"],
        [":4:", "event:"],
        [":5:", "time:"],
    ]
    assert rejects.count == 4
    assert (tmp_path / "log.rejects.jsonl").read_bytes() == b"".join(bad)


def test_a_good_log_makes_no_rejects_file(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(line(1) + line(2)[:-1])
    assert read(str(log), Rejects(None)) == ["1", "2"]
    assert list(tmp_path.glob("*.rejects.jsonl")) == []


def test_a_log_that_breaks_off_gives_what_it_has(tmp_path: Path, capsys) -> None:
    log = tmp_path / "log.jsonl.gz"
    whole = gzip.compress(b"".join(line(number) for number in range(2000)))
    log.write_bytes(whole[: len(whole) // 2])
    rejects = Rejects(None)
    assert 0 < len(read(str(log), rejects)) < 2000
    assert rejects.count >= 1
    assert "cannot be read on" in capsys.readouterr().err


def test_a_line_without_an_end_is_cut_not_swallowed_whole(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("console.logfile.LINE_BYTES_MAX", 100)
    log = tmp_path / "log.jsonl"
    log.write_bytes(line(1) + b"x" * 1000 + b"\n" + line(3))
    rejects = Rejects(None)
    assert read(str(log), rejects) == ["1", "3"]
    assert ":2: the line has more than 100 bytes" in capsys.readouterr().err


@pytest.mark.parametrize("zipped", [False, True])
def test_standard_input(monkeypatch, tmp_path: Path, zipped: bool) -> None:
    content = line(1) + b"bad\n"
    source = io.BufferedReader(io.BytesIO(gzip.compress(content) if zipped else content))
    monkeypatch.setattr("sys.stdin", type("Stdin", (), {"buffer": source}))
    assert read("-", Rejects(None)) == ["1"]
    assert Path("stdin.rejects.jsonl").read_bytes() == b"bad\n"


def test_names() -> None:
    assert stem("a/b/receipt.jsonl.gz") == "receipt"
    assert stem("plain") == "plain"
    assert stem("-") == "stdin"
    assert rejects_beside("a/b/receipt.jsonl.gz") == Path("a/b/receipt.rejects.jsonl")


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"nowhere\.jsonl"):
        read(str(tmp_path / "nowhere.jsonl"), Rejects(None))
    with pytest.raises(Failure, match="cannot be read"):
        read(str(tmp_path), Rejects(None))
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"bad\n")
    with pytest.raises(Failure, match="bad lines cannot be written"):
        read(str(log), Rejects(tmp_path / "none" / "rejects"))


def test_imported_events_carry_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(line(1) + b"bad\n" + line(3))
    numbers: list[int] = []
    found = list(events(str(log), Rejects(None), importof="receipt", numbers=numbers))
    assert [event.extensions for event in found] == [{"importof": "receipt"}] * 2
    assert numbers == [1, 3]


def test_a_mark_of_byte_order_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"\xef\xbb\xbf" + line(1) + line(2))
    assert len(read(str(log), Rejects(None))) == 2


def test_bad_lines_never_go_over_a_log(tmp_path: Path) -> None:
    log, zipped, former = (tmp_path / name for name in ("log.jsonl", "log.jsonl.gz", "log.rejects.jsonl"))
    for path in (log, zipped, former):
        path.write_bytes(line(1))
    check_logs([str(log), "-"], tmp_path / "bad")
    check_logs([str(log), str(log)], None)
    for logs, rejects, said in (
        ([log], log, "over"),
        ([log, former], None, "over"),
        ([log, zipped], None, "both"),
        (["-", "-"], None, "once"),
    ):
        with pytest.raises(Usage, match=said):
            check_logs([str(each) for each in logs], rejects)
    with pytest.raises(NotFound, match="nowhere"):
        check_logs([str(log), str(tmp_path / "nowhere")], None)
    with pytest.raises(Failure, match="directory"):
        check_logs([str(tmp_path)], None)
