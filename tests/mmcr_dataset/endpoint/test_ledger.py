"""The ledger file: shared, damaged, joined, saved; nothing paid for is lost, every error says what to do."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from mmcr_dataset.__main__ import main
from mmcr_dataset.endpoint import ledger_files
from mmcr_dataset.endpoint.ledger import Ledger, LedgerError, is_written, to_asked
from mmcr_dataset.endpoint.ledger_files import append_ledger, merge_ledgers, salvage_ledger, show_ledger

ROOT = Path(__file__).resolve().parents[3]


def request_of(number: int) -> dict[str, object]:
    return {"model": "gpt-4o" if number % 2 else "vlm", "messages": [{"role": "user", "content": f"Question {number}"}]}


def reply_of(number: int) -> str:
    words = f"answer {number} é " * (1 + number * 37 % 900)  # some fit a page, some need several
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    return json.dumps({"choices": [{"message": {"content": words}}], "usage": usage}, ensure_ascii=False)


def fill(path: Path, numbers: range, failures: int = 0) -> None:
    with Ledger(path) as ledger:
        for number in numbers:
            ledger.store(to_asked(request_of(number)), reply_of(number), 0.25)
        for number in range(failures):
            ledger.store_failure(to_asked(request_of(number)), "refusal", "I would rather not.", 0.5, at=float(number))


def found_in(path: Path, numbers: range) -> list[int]:
    with Ledger(path) as ledger:
        return [number for number in numbers if ledger.has(to_asked(request_of(number)).key)]


def test_answers_that_arrive_in_an_earlier_ledger_in_use_are_found(tmp_path: Path) -> None:
    """Opened as if it couldn't change, SQLite would go on with the pages it has read."""
    path = tmp_path / "earlier.sqlite"
    fill(path, range(3))
    assert not is_written(path)
    program = (
        "import sys; from pathlib import Path; from mmcr_dataset.endpoint.ledger import Ledger, to_asked\n"
        "ledger = Ledger(Path(sys.argv[1])); print('open', flush=True); sys.stdin.readline()\n"
        "from tests.mmcr_dataset.endpoint.test_ledger import reply_of, request_of\n"
        "for number in range(3, 200): ledger.store(to_asked(request_of(number)), reply_of(number), 0.25)\n"
        "ledger.close(); print('closed', flush=True)"
    )
    words = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "open\n"
        assert is_written(path)
        with Ledger(tmp_path / "rank.sqlite", earlier=path) as ledger:
            assert not ledger.has(to_asked(request_of(199)).key)
            other.stdin.write("go\n")
            other.stdin.flush()
            assert other.stdout.readline() == "closed\n"
            assert all(ledger.has(to_asked(request_of(number)).key) for number in range(200))


def test_ledger_in_use_by_another_process_is_refused_and_free_after_its_kill(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    program = (
        "import sys, time; from pathlib import Path; from mmcr_dataset.endpoint.ledger import Ledger\n"
        "ledger = Ledger(Path(sys.argv[1])); print('open', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], cwd=ROOT, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(LedgerError, match=f"in use by process {other.pid}; wait until it has finished"):
            Ledger(path)
        os.kill(other.pid, signal.SIGKILL)
    fill(path, range(1))
    assert found_in(path, range(1)) == [0]


def test_ledger_twice_in_one_process_is_one_ledger(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as first, Ledger(tmp_path / "l.sqlite") as second:
        first.store(to_asked(request_of(1)), reply_of(1)).result()
        assert second.has(to_asked(request_of(1)).key)


def test_ledger_disk_full_says_so_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """A limit on the size of files stands for the end of the disk."""
    path = tmp_path / "l.sqlite"
    program = (
        "import resource, signal, sys; from pathlib import Path; sys.path.insert(0, '.')\n"
        "from mmcr_dataset.endpoint.ledger import Ledger, LedgerError, is_written, to_asked\n"
        "from tests.mmcr_dataset.endpoint.test_ledger import reply_of, request_of\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "with Ledger(Path(sys.argv[1])) as ledger:\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))\n"
        "    for number in range(200):\n"
        "        try:\n"
        "            ledger.store(to_asked(request_of(number)), reply_of(number)).result()\n"
        "        except LedgerError as error:\n"
        "            print(number, error)\n"
        "            break\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "    ledger.store(to_asked(request_of(number)), reply_of(number)).result()\n"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    said = subprocess.run(
        [sys.executable, "-c", program, str(path)], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    number, _, error = said.partition(" ")
    assert "free some space on the disk" in error
    assert found_in(path, range(200)) == list(range(int(number) + 1))


def test_ledger_reply_overwritten_on_disk_is_never_taken_for_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    fill(path, range(3))
    data = path.read_bytes()
    assert data.count(b"answer 2 ") > 10
    path.write_bytes(data.replace(b"answer 2 ", b"answer 9 "))
    with Ledger(path) as ledger, pytest.raises(LedgerError, match=r"ledger salvage .* --output_file NEW"):
        ledger.find(to_asked(request_of(2)).key)


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "cut":
        path.write_bytes(data[: len(data) * 2 // 3 + 100])
        return
    if how == "head":
        data[:4096] = os.urandom(4096)
    else:
        chance = random.Random(3)
        for page in chance.sample(range(1, len(data) // 4096), len(data) // 4096 // 10):
            filler = b"\0" * 4096 if how == "zeros" else b"answer 1 " * 455 + b"!"
            data[page * 4096 : (page + 1) * 4096] = filler
    path.write_bytes(data)


@pytest.mark.parametrize(("how", "least_share"), [("cut", 0.3), ("head", 0.95), ("zeros", 0.3), ("words", 0.3)])
def test_salvage_damaged_file_gives_every_row_that_is_whole_and_no_other(
    how: str, least_share: float, tmp_path: Path
) -> None:
    numbers = range(150)
    fill(tmp_path / "l.sqlite", numbers, failures=20)
    damage(tmp_path / "l.sqlite", how)
    before = (tmp_path / "l.sqlite").read_bytes()
    saved = salvage_ledger(tmp_path / "l.sqlite", tmp_path / "new.sqlite")
    assert (tmp_path / "l.sqlite").read_bytes() == before
    whole = found_in(tmp_path / "new.sqlite", numbers)
    assert len(whole) == saved.num_answered >= least_share * len(numbers)
    with Ledger(tmp_path / "new.sqlite") as ledger:
        for number in whole:
            reply = ledger.find(to_asked(request_of(number)).key)
            assert reply is not None
            assert reply["choices"][0]["message"]["content"].startswith(f"answer {number} é ")


def test_salvage_reads_what_only_the_log_holds_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    program = (
        "import os, sys; from pathlib import Path; sys.path.insert(0, '.')\n"
        "from mmcr_dataset.endpoint.ledger import Ledger, to_asked\n"
        "from tests.mmcr_dataset.endpoint.test_ledger import reply_of, request_of\n"
        "ledger = Ledger(Path(sys.argv[1]))\n"
        "[ledger.store(to_asked(request_of(n)), reply_of(n)).result() for n in range(30)]\n"
        "os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], cwd=ROOT, check=False)
    assert path.with_name("l.sqlite-wal").stat().st_size > 0
    assert salvage_ledger(path, tmp_path / "new.sqlite").num_answered == 30


def test_salvage_something_else_gives_nothing_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(os.urandom(100_000))
    assert salvage_ledger(tmp_path / "x", tmp_path / "new.sqlite").num_answered == 0
    with pytest.raises(LedgerError, match="is there already; name a new file"):
        salvage_ledger(tmp_path / "x", tmp_path / "new.sqlite")


def test_merge_joins_answers_once_and_keeps_failures(tmp_path: Path) -> None:
    fill(tmp_path / "a.sqlite", range(10), failures=2)
    fill(tmp_path / "b.sqlite", range(5, 20), failures=3)
    saved = merge_ledgers([tmp_path / "a.sqlite", tmp_path / "b.sqlite"], tmp_path / "all.sqlite")
    assert (saved.num_answered, saved.num_failed) == (20, 3)  # the failures of a are among those of b
    assert found_in(tmp_path / "all.sqlite", range(25)) == list(range(20))


def test_appending_ledgers_one_by_one_gives_what_merging_them_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_files, "_ROWS_A_RANGE", 3)
    paths = [tmp_path / name for name in ("a", "b", "c")]
    for path, keys in zip(paths, (range(10), range(5, 20), range(18, 25)), strict=True):
        fill(path, keys, failures=2)
    merge_ledgers(paths, tmp_path / "merged")
    for part in [*paths[1:], paths[1]]:  # the last one again, as after a kill
        append_ledger(paths[0], part)
    with sqlite3.connect(paths[0]) as ours, sqlite3.connect(tmp_path / "merged") as theirs:
        for table in ("answered", "paid", "failed"):
            rows = [sorted(db.execute(f"SELECT * FROM {table}")) for db in (ours, theirs)]
            assert rows[0] == rows[1]
            assert rows[0]


def test_main_ledger_show_tells_money_by_model_and_failures_by_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "l.sqlite", range(10), failures=2)
    assert main(["ledger", "show", str(tmp_path / "l.sqlite")]) == 0
    said = capsys.readouterr().out
    assert "gpt-4o | 5 | 50 | 25 | 1.2500" in said
    assert "refusal | 2 | 1.0000" in said
    assert "spent in all: 3.5000 USD" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "nowhere.sqlite"], "no such file"),
        (["merge", "nowhere.sqlite", "--out", "x"], "no such file"),
        (["salvage", "nowhere.sqlite"], "name the new file with --output_file FILE"),
        (["show", "a", "b"], "takes one file, got 2"),
    ],
)
def test_main_ledger_wrong_arguments_are_one_clear_line(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["ledger", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())  # nothing unfinished stays


def test_show_damaged_ledger_names_the_way_to_save_it(tmp_path: Path) -> None:
    fill(tmp_path / "l.sqlite", range(100))
    damage(tmp_path / "l.sqlite", "zeros")
    with pytest.raises(LedgerError, match="ledger salvage"):
        show_ledger(tmp_path / "l.sqlite")


def test_ledger_of_another_kind_of_database_is_left_alone(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "l.sqlite")
    other.execute("CREATE TABLE answered (something TEXT)")
    other.commit()
    other.close()
    with pytest.raises(LedgerError, match="not a usable ledger"):
        Ledger(tmp_path / "l.sqlite")


def spent(path: Path) -> float:
    with Ledger(path) as ledger:
        return ledger.totals().usd


def test_every_paid_answer_has_its_entry_whatever_happens_to_the_answers(tmp_path: Path) -> None:
    asked = [to_asked({"model": "m", "n": n}) for n in range(6)]
    for name, first in (("a", 0), ("b", 2)):
        with Ledger(tmp_path / name) as ledger:
            for one in asked[first : first + 4]:
                ledger.store(one, json.dumps({"from": name}), 0.5).result()
            ledger.store(asked[2], json.dumps({"from": "again"}), 0.25).result()
            ledger.store(asked[2], "{}", 0.125, payment=f"{name} line 7").result()
            ledger.store(asked[2], "{}", 0.125, payment=f"{name} line 7").result()  # read again
            ledger.store_failure(asked[2], "length", "", 0.0625).result()
            assert ledger.find(asked[2].key) == {"from": name}
    assert spent(tmp_path / "a") == spent(tmp_path / "b") == 2.4375
    merge_ledgers([tmp_path / "a", tmp_path / "b"], tmp_path / "ab")
    merge_ledgers([tmp_path / "ab", tmp_path / "a"], tmp_path / "aba")  # a merge that was killed and is made again
    salvage_ledger(tmp_path / "aba", tmp_path / "saved")
    assert spent(tmp_path / "ab") == spent(tmp_path / "aba") == spent(tmp_path / "saved") == 4.875
    assert (tmp_path / "ab").stat().st_mode & 0o077 == 0


def test_ledger_of_format_2_keeps_its_money(tmp_path: Path) -> None:
    asked = [to_asked({"model": "m", "n": n}) for n in range(2)]
    for name in ("old", "other"):
        with Ledger(tmp_path / name) as ledger:
            ledger.store(asked[0], "{}", 0.5).result()
            ledger.store_failure(asked[1], "length", "", 0.25).result()
        with closing(sqlite3.connect(tmp_path / name)) as db:
            db.executescript("DROP TABLE paid; PRAGMA user_version=2;")
    assert "0.7500" in show_ledger(tmp_path / "old")
    merge_ledgers([tmp_path / "old", tmp_path / "other"], tmp_path / "both")
    merge_ledgers([tmp_path / "old", tmp_path / "old"], tmp_path / "same")
    assert (spent(tmp_path / "old"), spent(tmp_path / "both"), spent(tmp_path / "same")) == (0.75, 1.5, 0.75)
