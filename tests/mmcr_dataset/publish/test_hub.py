"""To the Hub and back over HTTP: publish, again, conflicts, pull request, load, stream, take down; the check before.

Each step runs as a program of its own: the libraries read HF_ENDPOINT when they are imported.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mmcr_dataset.publish.card import refresh_card
from mmcr_dataset.publish.check import check_dataset
from mmcr_dataset.publish.describe import describe, write_statistics
from mmcr_dataset.publish.parquet import arrow_schema, write_dataset
from mmcr_dataset.record.columns import to_columns
from mmcr_dataset.record.dialogue import Dialogue, Generation
from tests.local_hub import LocalHub
from tests.local_xet import XetStore

ROOT = Path(__file__).resolve().parents[3]
REPO = "tester/mmcr-310k"


def write_folder(folder: Path, make: Callable[..., Dialogue], writer: str = "openai", count: int = 6) -> list[Dialogue]:
    dialogues = [
        replace(make(1 + n % 2, 4 + 4 * (n % 2), seed=n), id=f"{n:032x}", generation=Generation(writer, "m"))
        for n in range(count)
    ]
    write_dataset(dialogues, folder)
    refresh_card(folder)
    return dialogues


@pytest.fixture
def folder(tmp_path: Path, make_dialogue: Callable[..., Dialogue]) -> Path:
    """A published folder of six dialogues."""
    write_folder(tmp_path / "mmcr-310k", make_dialogue)
    return tmp_path / "mmcr-310k"


def program(hub: LocalHub, tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the local hub as its Hub."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": "hf_test",
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1" if hub.xet is None else "0",
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "USE_TORCH": "0",  # `datasets` would import it for one counter that streams share with torch's loader
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        [sys.executable, *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )


def publish(hub: LocalHub, tmp_path: Path, folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    words = ["publish", str(folder), "--to", REPO, "--no_collate", *flags]
    return program(hub, tmp_path, "-m", "mmcr_dataset", *words)


COUNT_ROWS = f"""
import datasets
datasets.config.USE_PARQUET_EXPORT = False
from mmcr_dataset.record.load import load_dialogues, load_rows
print(load_rows({REPO!r}).num_rows, load_rows({REPO!r}, "multi").num_rows,
      sum(1 for _ in load_dialogues({REPO!r}, "single", streaming=True)))
"""


def test_publish_load_stream_publish_again_and_take_down(folder: Path, tmp_path: Path) -> None:
    with LocalHub() as hub:
        said = publish(hub, tmp_path, folder)
        assert said.returncode == 0, said.stderr
        assert f"published: {hub.url}/datasets/{REPO}" in said.stdout
        assert "multi/train-00000-of-00001.parquet" in hub.files(REPO)
        loaded = program(hub, tmp_path, "-c", COUNT_ROWS)
        assert loaded.stdout.split() == ["6", "3", "3"], loaded.stderr
        sent = hub.num_bytes_received
        assert publish(hub, tmp_path, folder).returncode == 0
        assert hub.num_bytes_received == sent
        removed = program(
            hub, tmp_path, "-m", "mmcr_dataset", "remove", str(folder), "--url-pattern", r"/0\.png$", "--reason", "x"
        )
        assert removed.returncode == 2  # every dialogue has an image of that name: nothing would be left
        (tmp_path / "ids").write_text(f"{1:032x}\n")
        assert program(hub, tmp_path, "-m", "mmcr_dataset", "remove", str(folder), "--ids", "ids").returncode == 0
        assert publish(hub, tmp_path, folder).returncode == 0
        single = (folder / "single" / "train-00000-of-00001.parquet").stat().st_size
        assert (
            hub.num_bytes_received - sent < single + (folder / "multi" / "train-00000-of-00001.parquet").stat().st_size
        )
        assert program(hub, tmp_path, "-c", COUNT_ROWS).stdout.split() == ["5", "2", "3"]


PUBLISH_IN_PARTS = f"""
import sys
import mmcr_dataset.publish.upload as upload
from mmcr_dataset.__main__ import main
upload.FILES_A_COMMIT = 2
sys.exit(main(["publish", sys.argv[1], "--push_to", {REPO!r}, "--no_collate", *sys.argv[2:]]))
"""


def test_very_many_files_are_committed_in_parts_that_readers_see_at_once(folder: Path, tmp_path: Path) -> None:
    """An interrupted upload leaves the repository as it was, and what was sent is not sent again."""
    seen: list[set[str]] = []

    def stop_third_commit(command: str, path: str) -> int | None:
        if command == "POST" and "/commit/" in path:
            seen.append({*hub.files(REPO)})
            return 403 if len(seen) == 3 else None
        return None

    with LocalHub() as hub:
        hub.fail = stop_third_commit
        assert program(hub, tmp_path, "-c", PUBLISH_IN_PARTS, str(folder)).returncode == 2
        assert hub.files(REPO) == [".gitattributes"]
        sent = hub.num_bytes_received
        hub.fail = lambda command, path: None
        said = program(hub, tmp_path, "-c", PUBLISH_IN_PARTS, str(folder))
        assert said.returncode == 0, said.stderr
        assert hub.num_bytes_received == sent  # large files
        assert all(files == {".gitattributes"} for files in seen)
        assert program(hub, tmp_path, "-c", COUNT_ROWS).stdout.split() == ["6", "3", "3"]
        assert program(hub, tmp_path, "-c", PUBLISH_IN_PARTS, str(folder)).returncode == 0


def test_publish_gated_asks_before_the_first_byte_is_there(folder: Path, tmp_path: Path) -> None:
    gated_when_committed: list[object] = []

    def watch(method: str, path: str) -> int | None:
        if "/commit/" in path:
            gated_when_committed.append(hub.repos[REPO].gated)
        return None

    with LocalHub(watch) as hub:
        said = publish(hub, tmp_path, folder, "--gated", "manual")
        assert said.returncode == 0, said.stderr
        assert gated_when_committed == ["manual"]
        assert publish(hub, tmp_path, folder).returncode == 0
        assert hub.repos[REPO].gated == "manual"


def test_publish_and_load_with_the_real_xet_client(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("hf_xet")
    store = XetStore(tmp_path / "cas")
    with LocalHub(xet=store) as hub:
        said = publish(hub, tmp_path, folder)
        assert said.returncode == 0, said.stderr
        shards = {path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")}
        assert len(store.hashes()) == len(shards)
        assert hub.num_bytes_received == 0  # nothing went by the older route
        size = store.num_bytes()
        loaded = program(hub, tmp_path, "-c", COUNT_ROWS)
        assert loaded.stdout.split() == ["6", "3", "3"], loaded.stderr
        assert publish(hub, tmp_path, folder).returncode == 0
        assert store.num_bytes() == size
        (tmp_path / "ids").write_text(f"{1:032x}\n")
        assert program(hub, tmp_path, "-m", "mmcr_dataset", "remove", str(folder), "--ids", "ids").returncode == 0
        assert publish(hub, tmp_path, folder).returncode == 0
        assert program(hub, tmp_path, "-c", COUNT_ROWS).stdout.split() == ["5", "2", "3"]


def test_publish_goes_on_after_conflicts_and_gives_up_with_a_remedy(folder: Path, tmp_path: Path) -> None:
    conflicts = iter([412, 503])

    def fail(method: str, path: str) -> int | None:
        return next(conflicts, None) if "/commit/" in path else None

    with LocalHub(fail) as hub:
        assert publish(hub, tmp_path, folder).returncode == 0
        assert "README.md" in hub.files(REPO)
    with LocalHub(lambda method, path: 403 if "/preupload/" in path else None) as hub:
        said = publish(hub, tmp_path, folder)
        assert said.returncode == 2
        assert "hf auth login" in said.stderr


def test_publish_as_pull_request_private_and_on_a_branch(folder: Path, tmp_path: Path) -> None:
    with LocalHub() as hub:
        said = publish(hub, tmp_path, folder, "--pr", "--private")
        assert "discussions/1" in said.stdout, said.stderr
        assert hub.repos[REPO].private
        assert "README.md" not in hub.files(REPO)
        assert "README.md" in hub.files(REPO, "refs/pr/1")
        assert publish(hub, tmp_path, folder, "--revision", "v2").returncode == 0
        assert "README.md" in hub.files(REPO, "v2")


def change_on_hub(hub: LocalHub, path: str, data: bytes) -> None:
    """What a colleague does in the browser."""
    repo = hub.repos[REPO]
    oid = hashlib.sha256(data).hexdigest()
    hub.blobs[oid] = data
    repo.commit("main", {**repo.commits[repo.refs["main"]], path: oid})


def test_publish_names_foreign_changes_and_overwrites_them_only_by_force(folder: Path, tmp_path: Path) -> None:
    with LocalHub() as hub:
        assert publish(hub, tmp_path, folder).returncode == 0
        change_on_hub(hub, "README.md", b"# Known problem\n")
        change_on_hub(hub, "single/train-extra.parquet", b"PAR1")
        head = hub.repos[REPO].refs["main"]
        said = publish(hub, tmp_path, folder)
        assert said.returncode == 2
        assert "README.md, single/train-extra.parquet" in said.stderr
        assert "--force" in said.stderr
        assert hub.repos[REPO].refs["main"] == head
        assert publish(hub, tmp_path, folder, "--force").returncode == 0
        assert "single/train-extra.parquet" not in hub.files(REPO)
        hub.put(REPO, {"README.md": b"# not ours", "single/train-00000-of-00009.parquet": b"a"})
        said = publish(hub, tmp_path, folder)
        assert said.returncode == 2
        assert "was not published by this program" in said.stderr
        assert hub.files(REPO) == ["README.md", "single/train-00000-of-00009.parquet"]


def test_publish_change_between_look_and_commit_is_not_overwritten(folder: Path, tmp_path: Path) -> None:
    def meddle(method: str, path: str) -> int | None:
        if "/preupload/" in path and len(meddled) == 1:
            change_on_hub(hub, "README.md", b"# Known problem")
            meddled.append("now")
        return None

    meddled: list[str] = []
    with LocalHub(meddle) as hub:
        assert publish(hub, tmp_path, folder).returncode == 0
        meddled.append("armed")
        (tmp_path / "ids").write_text(f"{1:032x}\n")
        assert program(hub, tmp_path, "-m", "mmcr_dataset", "remove", str(folder), "--ids", "ids").returncode == 0
        said = publish(hub, tmp_path, folder)
        assert said.returncode == 2
        assert "README.md" in said.stderr
        repo = hub.repos[REPO]
        assert hub.blobs[repo.commits[repo.refs["main"]]["README.md"]] == b"# Known problem"


def test_publish_update_that_breaks_off_leaves_the_old_set(
    folder: Path, tmp_path: Path, make_dialogue: Callable[..., Dialogue]
) -> None:
    expired: list[bool] = []

    def fail(method: str, path: str) -> int | None:
        return 403 if expired and "/commit/" in path else None

    with LocalHub(fail) as hub:
        assert publish(hub, tmp_path, folder).returncode == 0
        repo = hub.repos[REPO]
        old, num_commits = repo.commits[repo.refs["main"]], len(repo.commits)
        write_folder(folder, make_dialogue, count=9)
        expired.append(True)
        assert publish(hub, tmp_path, folder).returncode == 2
        assert repo.commits[repo.refs["main"]] == old
        expired.clear()
        assert publish(hub, tmp_path, folder).returncode == 0
        assert len(repo.commits) == num_commits + 1  # one commit: no reader ever sees a mixture
        assert program(hub, tmp_path, "-c", COUNT_ROWS).stdout.split() == ["9", "4", "5"]


def test_publish_offline_rows_do_not_take_the_papers_name(
    tmp_path: Path, make_dialogue: Callable[..., Dialogue]
) -> None:
    write_folder(tmp_path / "mmcr-310k", make_dialogue, writer="offline")
    with LocalHub() as hub:
        said = publish(hub, tmp_path, tmp_path / "mmcr-310k")
        assert said.returncode == 2
        assert "--allow_offline" in said.stderr
        assert hub.repos == {}
        assert publish(hub, tmp_path, tmp_path / "mmcr-310k", "--allow-offline").returncode == 0


def test_publish_bare_name_is_refused(folder: Path, tmp_path: Path) -> None:
    with LocalHub() as hub:
        said = program(hub, tmp_path, "-m", "mmcr_dataset", "publish", str(folder), "--to", "mmcr-310k")
    assert "expected ORG/NAME" in said.stderr


def test_check_good_folder_has_no_findings(folder: Path) -> None:
    seen: list[int] = []
    assert check_dataset(folder, seen.append) == []
    assert sum(seen) == 6


def rewrite(folder: Path, change: Callable[[list[dict[str, object]]], None]) -> None:
    """Change the rows of the single shard as somebody with an editor would."""
    path = folder / "single" / "train-00000-of-00001.parquet"
    rows = pq.read_table(path).to_pylist()
    change(rows)
    pq.write_table(type(pq.read_table(path)).from_pylist(rows, schema=arrow_schema()), path, write_page_index=True)


def damage_image(rows: list[dict[str, object]]) -> None:
    rows[1]["images"][0]["bytes"] = b"no image"  # type: ignore[index]


def tell_another(rows: list[dict[str, object]]) -> None:
    rows[0]["conversations"][1]["value"] = "something else"  # type: ignore[index]


DAMAGES: dict[str, tuple[Callable[[list[dict[str, object]]], None], str]] = {
    "image": (
        damage_image,
        "single/train-00000-of-00001.parquet row 1, id 00000000000000000000000000000002: image 1: not_an_image",
    ),
    "dialogue": (tell_another, "row 0, id 00000000000000000000000000000000: same_dialogue"),
    "id": (
        lambda rows: rows[1].update(id=rows[0]["id"]),
        "also at single/train-00000-of-00001.parquet row 0",
    ),
    "count": (lambda rows: rows[2].update(num_turns=7), "num_turns or num_images is wrong: 7, 1"),
    "lost row": (lambda rows: rows.pop(), "counts 6 rows, the shards have 5"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_check_damaged_rows_are_named(damage: str, folder: Path) -> None:
    change, said = DAMAGES[damage]
    rewrite(folder, change)
    findings = [finding.show() for finding in check_dataset(folder) if finding.is_error]
    assert any(said in line for line in findings), findings


def test_check_damaged_folder_is_named(folder: Path, make_dialogue: Callable[..., Dialogue]) -> None:
    card = (folder / "README.md").read_text()
    (folder / "README.md").write_text(card.replace("  default: true\n", "").replace("multi/train", "many/train"))
    (folder / "mmcr-310k.py").write_text("# a loading script")
    (folder / "single" / "train-00001-of-00002.parquet").write_bytes(b"not parquet")
    bare = to_columns([make_dialogue()], arrow_schema()).replace_schema_metadata(None)
    pq.write_table(bare.drop_columns(["topic"]), folder / "multi" / "other.parquet", row_group_size=500)
    said = "\n".join(finding.show() for finding in check_dataset(folder))
    for part in (
        "`default: true`",
        "no file matches many/train",
        "loading scripts are rejected",
        "not a readable Parquet",
    ):
        assert part in said
    for part in ("differ from the published row: topic", "no `huggingface` metadata", "no page index"):
        assert part in said
    (folder / "README.md").unlink()
    assert "README.md: missing" in "\n".join(finding.show() for finding in check_dataset(folder))


def test_check_croissant_that_is_stale_or_broken_is_named(folder: Path) -> None:
    path = folder / "croissant.json"
    whole = path.read_text()
    path.write_text(whole.replace('"sha256": "', '"sha256": "0'))
    assert sum("checksum of" in finding.text for finding in check_dataset(folder)) == 2
    path.write_text("{}")
    assert "not a Croissant document" in check_dataset(folder)[0].text
    path.unlink()
    (missing,) = check_dataset(folder)
    assert not missing.is_error
    refresh_card(folder)
    assert path.read_text() == whole


def test_check_command_exit_code_says_if_there_are_errors(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mmcr_dataset.__main__ import main

    assert main(["check", str(folder)]) == 0
    assert "0 errors, 0 warnings" in capsys.readouterr().out
    write_statistics(folder, describe(folder))
    rewrite(folder, damage_image)
    assert main(["check", str(folder)]) == 1
    assert main(["check", str(folder / "nothing")]) == 2


@pytest.mark.slow  # huggingface_hub tries for 40 seconds
def test_publish_to_a_hub_that_is_not_there_is_one_line(folder: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_TOKEN": "hf_x", "HF_HOME": str(tmp_path)}
    environment.pop("HF_HUB_OFFLINE", None)
    command = [sys.executable, "-m", "mmcr_dataset", "publish", str(folder), "--push_to", REPO, "--allow_offline"]
    said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert said.returncode == 2
    assert "error: the Hub does not answer" in said.stderr
    assert "Traceback" not in said.stderr


def test_publish_squash_history_leaves_no_commit_with_the_removed_row(folder: Path, tmp_path: Path) -> None:
    with LocalHub() as hub:
        assert publish(hub, tmp_path, folder).returncode == 0
        assert publish(hub, tmp_path, folder, "--revision", "old").returncode == 0
        old = hub.repos[REPO].commits[hub.repos[REPO].refs["main"]]["single/train-00000-of-00001.parquet"]
        (tmp_path / "ids").write_text(f"{0:032x}\n")
        assert program(hub, tmp_path, "-m", "mmcr_dataset", "remove", str(folder), "--ids", "ids").returncode == 0
        said = publish(hub, tmp_path, folder, "--squash_history")
        assert said.returncode == 0, said.stderr
        repo = hub.repos[REPO]
        holding = [sha for sha, files in repo.commits.items() if old in files.values()]
        assert holding == [repo.refs["old"]]
        assert "pull requests old still hold" in said.stderr
        assert program(hub, tmp_path, "-c", COUNT_ROWS).stdout.split() == ["5", "3", "2"]
        assert publish(hub, tmp_path, folder).returncode == 0  # a squashed branch is still ours
        assert publish(hub, tmp_path, folder, "--squash_history", "--pr").returncode == 2
