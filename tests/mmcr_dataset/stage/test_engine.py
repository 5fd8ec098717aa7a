"""The paid stage on several processes: the same bytes, also after a kill, and a job script for a cluster."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time
from collections import Counter
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmcr_dataset.__main__ import main
from mmcr_dataset.endpoint.client import Endpoint
from mmcr_dataset.endpoint.ledger import Ledger
from mmcr_dataset.filters import repeats
from mmcr_dataset.generate.ranks import GenerateTask, to_rank
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.stage.engine import EngineSettings, Job, launch, make_executor
from tests.conftest import image_bytes
from tests.fake_chat_server import Answer, FakeChatServer
from tests.local_web import LocalWeb, Page
from tests.mmcr_dataset.test_pipeline import contents, good_reply, omnicorpus_row

pytest.importorskip("datatrove", reason="pip install -e '.[engine]'")
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """So many images that there are several shards."""
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(330):
        (folder / f"{number}.png").write_bytes(image_bytes(number, (40, 40)))
        (folder / f"{number}.txt").write_text(f"This is the field number {number}. It has a long fence.")
    return folder


def start_build(source: Path, out: Path, url: str, *flags: str, model: str = "fake") -> subprocess.Popen[bytes]:
    command = ["-m", "mmcr_dataset", "build", "--source", str(source), "--out", str(out), "--writer", "openai"]
    command += ["--endpoint", f"{url}#{model}", "--filter", "none", *flags]
    return subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL, env=dict(os.environ)
    )


@pytest.mark.slow
def test_build_on_an_engine_killed_and_run_again_gives_the_bytes_of_a_plain_run(source: Path, tmp_path: Path) -> None:
    flags = ["--engine", "datatrove-local", "--ranks", "2", "--max-in-flight", "16"]
    with FakeChatServer(good_reply) as server:
        assert start_build(source, tmp_path / "plain" / "set", server.base_url).wait() == 0
    with FakeChatServer(lambda request: Answer(good_reply(request), delay_s=0.05)) as server:
        build = start_build(source, tmp_path / "set", server.base_url, *flags)
        while len(server.requests) < 60:
            assert build.poll() is None
            time.sleep(0.01)
        os.killpg(build.pid, signal.SIGKILL)
        build.wait()
        num_before = len(server.requests)
        build = start_build(source, tmp_path / "set", server.base_url, *flags)
        while len(server.requests) < num_before + 40:
            assert build.poll() is None
            time.sleep(0.01)
        worker = (tmp_path / "set.work" / "ledgers" / "00000.sqlite.lock").read_text()
        os.kill(int(worker), signal.SIGKILL)  # one rank alone: it is started again
        assert build.wait() == 0
        with suppress(ProcessLookupError):  # the build's own helpers, which end a moment after it
            os.killpg(build.pid, signal.SIGKILL)
        assert 330 <= len(server.requests) <= 330 + 16 + 8
        assert server.most_in_flight <= 16
        assert start_build(source, tmp_path / "set", server.base_url).wait() == 0
        assert len(server.requests) <= 330 + 16 + 8
    assert contents(tmp_path / "set") == contents(tmp_path / "plain" / "set")
    with Ledger(tmp_path / "set.work" / "ledger.sqlite") as ledger:
        assert ledger.totals().num_answered == 330
    assert not list((tmp_path / "set.work" / "ledgers").iterdir())


def test_all_stages_on_ranks_give_the_bytes_of_a_plain_run(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Collect, generate, similarity, dedup, filter and publish; with images that repeat."""
    for number in range(300, 330):
        (source / f"{number}.png").write_bytes(image_bytes(number - 300, (40, 40)))
    for first in range(0, 330, 60):  # parts, which the ranks read
        with tarfile.open(tmp_path / f"{first:03d}.tar", "w") as archive:
            for number in range(first, min(first + 60, 330)):
                archive.add(source / f"{number}.png", f"{number:03d}.png")
                archive.add(source / f"{number}.txt", f"{number:03d}.txt")
    words = ["build", "--source", f"webdataset:{tmp_path}", "--writer", "offline", "--filter", "none", "--output_dir"]
    assert main([*words, str(tmp_path / "plain" / "set")]) == 0
    monkeypatch.setattr(repeats, "IMAGES_OF_ONE_PROCESS", 0)
    assert main([*words, str(tmp_path / "set"), "--engine", "datatrove-local", "--ranks", "2"]) == 0
    assert contents(tmp_path / "set") == contents(tmp_path / "plain" / "set")
    jobs = {path.name.removesuffix(".shards.npy") for path in (tmp_path / "set.work" / "engine").glob("*.npy")}
    assert jobs == {"collect", "generate", "score", "dedup", "filter", "spill", "publish"}
    assert not (tmp_path / "set.work" / "1_fetched").exists()
    stages = ["1_candidates", "1_removed", "2_dialogues", "3_scores", "3_kept", "3_removed"]
    for stage in stages:
        assert contents(tmp_path / "set.work" / stage) == contents(tmp_path / "plain" / "set.work" / stage)
    assert (tmp_path / "set.work" / "3_removed" / "repeated_images.jsonl").read_text().count("\n") == 30


@pytest.mark.slow
def test_images_that_come_later_are_fetched_by_the_next_build_on_ranks_too(tmp_path: Path) -> None:
    is_down = [True]

    def page(path: str, earlier: int) -> Page:
        number = int(path.strip("/").removesuffix(".png") or 0) if path.endswith(".png") else 0
        return Page(status=503) if is_down[0] and number % 7 == 3 else Page(image_bytes(number, (40, 40)))

    with LocalWeb(page) as web:
        rows = [omnicorpus_row(n, f"{web.url}/{n}.png", f"The field number {n} has a long fence.") for n in range(250)]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet", row_group_size=40)
        words = ["build", "--source", str(tmp_path / "rows.parquet"), "--writer", "offline", "--filter", "none"]
        words += ["--allow_loopback", "--fetch_attempts", "1", "--fetch_opt_outs", "headers", "--single", "220"]
        ranks = ["--engine", "datatrove-local", "--ranks", "2"]
        for out, flags in ((tmp_path / "plain" / "set", []), (tmp_path / "set", ranks)):
            for is_down[0] in (True, False):
                assert main([*words, "--output_dir", str(out), *flags]) == 0
    for place in ("set", "set.work/1_candidates", "set.work/3_kept"):
        assert contents(tmp_path / place) == contents(tmp_path / "plain" / place)
    assert json.loads((tmp_path / "set" / "funnel.json").read_text())[0]["num_kept"] == 220


@pytest.mark.slow
def test_drill_of_8_ranks_and_6_kills_while_answers_arrive(source: Path, tmp_path: Path) -> None:
    """The same bytes as undisturbed, no stored answer asked again, no answer of the server that isn't paid for."""
    rng, flags = random.Random(1), ["--engine", "datatrove-local", "--ranks", "8", "--max-in-flight", "16"]
    usage_usd = 1000 * 2.5e-6 + 100 * 10e-6  # gpt-4o, of each answer of the server
    with FakeChatServer(good_reply) as server:
        assert start_build(source, tmp_path / "plain" / "set", server.base_url, model="gpt-4o").wait() == 0
    with FakeChatServer(lambda request: Answer(good_reply(request), delay_s=0.3)) as server:
        build = start_build(source, tmp_path / "set", server.base_url, *flags, model="gpt-4o")
        snapshots: list[tuple[int, set[str]]] = []
        for _ in range(6):
            already = len(server.requests)
            while len(server.requests) < already + rng.randrange(12, 30):
                assert build.poll() is None
                time.sleep(0.005)
            rank = rng.choice(ranks_asking(tmp_path / "set.work"))
            os.kill(rank, signal.SIGKILL)
            snapshots.append((len(server.requests), stored_in(tmp_path / "set.work")))
            if rng.random() < 0.3:
                os.killpg(build.pid, signal.SIGKILL)  # the build and all its ranks
                build.wait()
                build = start_build(source, tmp_path / "set", server.base_url, *flags, model="gpt-4o")
        assert (
            build.wait() == 0
            or start_build(source, tmp_path / "set", server.base_url, *flags, model="gpt-4o").wait() == 0
        )
        asked = Counter(text_of(request) for request in server.requests)
    assert contents(tmp_path / "set") == contents(tmp_path / "plain" / "set")
    assert len(asked) == 330
    for num_sent, stored in snapshots:
        assert stored
        assert not stored & {text_of(request) for request in server.requests[num_sent:]}
    with Ledger(tmp_path / "set.work" / "ledger.sqlite") as ledger:
        totals = ledger.totals()
    assert totals.num_answered == 330
    num_lost = len(server.requests) - 330
    assert 0 < num_lost <= 6 * 16
    assert totals.usd >= len(server.requests) * usage_usd - 1e-9  # what a killed rank had in flight is counted too
    print(
        f"{len(server.requests)} requests, {num_lost} of killed ranks; {totals.usd:.3f} USD, the server's {usage_usd}"
    )


def ranks_asking(work: Path) -> list[int]:
    """Processes of the ranks that have their ledger open."""
    while True:
        found = []
        for lock in (work / "ledgers").glob("*.lock"):
            with suppress(OSError, ValueError):
                process = int(lock.read_text())
                if b"spawn" in Path(f"/proc/{process}/cmdline").read_bytes():
                    found.append(process)
        if found:
            return found
        time.sleep(0.01)


def stored_in(work: Path) -> set[str]:
    """Texts of the requests that have an answer in any ledger of a work folder."""
    found: set[str] = set()
    for path in (work / "ledger.sqlite", *(work / "ledgers").glob("*.sqlite")):
        with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            found |= {text_of(json.loads(row[0])) for row in database.execute("SELECT request FROM answered")}
    return found


def text_of(request: dict[str, Any]) -> str:
    return str(request["messages"][0]["content"][0]["text"])


def test_killed_build_leaves_no_rank_that_goes_on_asking(source: Path, tmp_path: Path) -> None:
    with FakeChatServer(lambda request: Answer(good_reply(request), delay_s=0.2)) as server:
        build = start_build(source, tmp_path / "set", server.base_url, "--engine", "datatrove-local", "--ranks", "2")
        while len(server.requests) < 20:
            assert build.poll() is None
            time.sleep(0.01)
        build.kill()  # the build alone, not its ranks
        build.wait()
        until = time.monotonic() + 60
        while ranks_of(tmp_path) and time.monotonic() < until:
            time.sleep(0.1)
        assert ranks_of(tmp_path) == []


def ranks_of(folder: Path) -> list[str]:
    """Processes that have a file of a folder open."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            opened = [os.readlink(one) for one in (process / "fd").iterdir()]
            found += [process.name] * any(name.startswith(str(folder)) for name in opened)
    return [name for name in found if int(name) != os.getpid()]


@pytest.mark.slow
def test_build_on_ray_gives_the_bytes_of_a_plain_run(source: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="pip install ray")
    if os.geteuid() or not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("Ray opens ports to everybody: this test runs it in a network namespace, which needs root")
    program = """
import subprocess, sys
from pathlib import Path
from tests.fake_chat_server import FakeChatServer
from tests.mmcr_dataset.stage.test_engine import start_build
from tests.mmcr_dataset.test_pipeline import good_reply
source, out = map(Path, sys.argv[1:])
with FakeChatServer(good_reply) as server:
    assert start_build(source, out / "plain" / "set", server.base_url).wait() == 0
    num_plain = len(server.requests)
    assert start_build(source, out / "set", server.base_url, "--engine", "ray", "--ranks", "2").wait() == 0
    print(num_plain, len(server.requests) - num_plain)
"""
    inside = f"ip link set lo up && exec {sys.executable} -c '{program}' {source} {tmp_path}"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(
        ["unshare", "-n", "bash", "-c", inside], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "330 330"
    assert contents(tmp_path / "set") == contents(tmp_path / "plain" / "set")


def task_of(tmp_path: Path, **engine: Any) -> GenerateTask:
    endpoint = Endpoint("http://127.0.0.1:1/v1", "gpt-4o", max_in_flight=64, max_cost_usd=100.0)
    return GenerateTask(tmp_path / "set.work", WriterSettings("openai", endpoint), EngineSettings(**engine))


def test_rank_gets_its_part_of_requests_and_money(tmp_path: Path) -> None:
    endpoint = to_rank(task_of(tmp_path, name="datatrove-local", num_ranks=4), 0, spent_usd=20.0).writer.endpoint
    assert endpoint is not None
    assert (endpoint.max_in_flight, endpoint.max_cost_usd) == (16, 20.0)


def note_rank(folder: Path, rank: int) -> None:
    """Work of a rank: the first time rank 1 is killed in the middle of it."""
    tries = folder / f"{rank}.tries"
    tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
    if rank == 1 and len(tries.read_text()) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / f"{rank}.done").touch()


def test_launch_runs_any_function_on_each_rank_and_restarts_a_killed_one(tmp_path: Path) -> None:
    job = Job("notes", partial(note_rank, tmp_path), tmp_path / "logs")
    assert launch(job, EngineSettings(name="datatrove-local", num_ranks=2))
    assert sorted(path.name for path in tmp_path.glob("*.done")) == ["0.done", "1.done"]
    assert (tmp_path / "1.tries").read_text() == "xx"


def test_slurm_job_script_names_ranks_partition_and_time(tmp_path: Path) -> None:
    engine = EngineSettings(name="slurm", num_ranks=64, partition="cpu", time="12:00:00")
    executor = make_executor(Job("generate", partial(note_rank, tmp_path), tmp_path / "logs"), engine)
    script = executor.get_launch_file_contents(executor.get_sbatch_args(64), "run")
    for line in ("--partition=cpu", "--time=12:00:00", "--job-name=mmcr-generate", "--array=0-63"):
        assert f"#SBATCH {line}" in script


SBATCH = """#!/bin/sh
for script; do :; done
echo "Submitted batch job 7"
grep -q merge_stats "$script" && exit 0
grep job-name "$script" >> "$QUEUE"
SLURM_NODELIST=here SLURM_ARRAY_TASK_ID=0 bash "$script" >> "$QUEUE.log" 2>&1
"""
SRUN = """#!/bin/sh
shift 3
exec "$@"
"""


@pytest.mark.slow
def test_build_on_slurm_goes_on_without_what_fails_in_each_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A queue that runs its jobs at once; the endpoint never answers for one of the documents."""
    (tmp_path / "bin").mkdir()
    for name, script in (("sbatch", SBATCH), ("srun", SRUN), ("scontrol", "#!/bin/sh\necho here\n")):
        (tmp_path / "bin" / name).write_text(script)
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("QUEUE", str(tmp_path / "queue"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "source").mkdir()
    for number in range(5):
        (tmp_path / "source" / f"{number}.png").write_bytes(image_bytes(number, (40, 40)))
        (tmp_path / "source" / f"{number}.txt").write_text(f"This is the field number {number}. It has a long fence.")

    def answer(request: dict[str, Any]) -> Answer:
        return Answer(status=500) if "number 3" in text_of(request) else Answer(good_reply(request))

    with FakeChatServer(answer) as server:
        flags = ["--source", str(tmp_path / "source"), "--endpoint", f"{server.base_url}#fake", "--filter", "none"]
        flags.append("--output_dir")
        slurm = ["--engine", "slurm", "--ranks", "1", "--slurm_partition", "cpu", "--slurm_attempts", "2"]
        for _ in range(8):
            assert not (tmp_path / "set").exists()
            assert main(["build", *flags, str(tmp_path / "set"), *slurm]) == 0
        assert "generate: what failed for a transient reason in each of 2 jobs is left out" in caplog.text
        assert main(["build", *flags, str(tmp_path / "plain" / "set")]) == 0
    jobs = [line.partition("job-name=mmcr-")[2] for line in (tmp_path / "queue").read_text().split("\n")]
    assert jobs[:-1] == ["collect", "generate", "generate", "score", "filter", "spill", "publish"]
    assert contents(tmp_path / "set") == contents(tmp_path / "plain" / "set")


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ({"name": "slurm", "partition": "cpu", "attempts": 0}, "--slurm_attempts 0: expected at least 1"),
        ({"name": "slurm"}, "--slurm_partition is required for slurm"),
        ({"num_ranks": 0}, "expected at least 1"),
    ],
)
def test_engine_wrong_setting_says_what_is_expected(engine: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        EngineSettings(**engine)


def test_dry_run_prints_the_script_and_touches_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--source", str(tmp_path), "--output_dir", str(tmp_path / "set"), "--endpoint", "http://127.0.0.1:1/v1#m"]
    flags += ["--engine", "slurm", "--ranks", "64", "--slurm_partition", "cpu", "--slurm_time", "02:00:00"]
    ours = ["--slurm_account", "lab", "--slurm_qos", "low", "--slurm_environment", "source env/bin/activate"]
    assert main(["build", *flags, *ours, "--no_slurm_requeue", "--slurm_dry_run"]) == 0
    script = capsys.readouterr().out
    for line in ("account=lab", "qos=low", "partition=cpu", "time=02:00:00", "array=0-63", "job-name=mmcr-generate"):
        assert f"#SBATCH --{line}\n" in script
    assert "requeue" not in script
    assert "\nsource env/bin/activate\n" in script
    assert f"{tmp_path}/set.work/engine/executor.pik" in script
    assert list(tmp_path.iterdir()) == []
    assert main(["build", *flags, "--slurm_dry_run"]) == 0
    script = capsys.readouterr().out
    assert "#SBATCH --requeue\n" in script
    assert "qos" not in script
    assert "account" not in script


@pytest.mark.parametrize("flag", [["--slurm_account", "lab"], ["--slurm_dry_run"]])
def test_flags_of_slurm_without_slurm_are_refused(flag: list[str], tmp_path: Path) -> None:
    flags = ["--source", "demo", "--output_dir", str(tmp_path / "set"), "--writer", "offline", "--filter", "none"]
    assert main(["build", *flags, *flag]) == 2
