"""The commands of python -m mmcr_bench scoring: people score the replies of runs."""

from __future__ import annotations

import getpass
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, UseAppendAction, arg

if TYPE_CHECKING:
    from mmcr_bench.review.accounts import Accounts
    from mmcr_bench.review.score_log import ScoreLog

logger = logging.getLogger(__name__)

ScoreFile = Annotated[Path, arg(metavar="SCORES")]


@dataclass(frozen=True)
class ScoringStart:
    """Take the replies of one or two runs (mmcr_bench or mmdu), to be scored by people who don't see whose they are.

    Attributes:
        scores: new SQLite file of the scores.
        runs: folder of an answered run; give two to show them side by side.
        bench: folder or Hub id of the bench, for the images.
        limit: number of dialogues, drawn by a hash of their ids.
    """

    scores: Positional[ScoreFile]
    runs: Annotated[tuple[Path, ...], arg(name="run", metavar="RUN"), UseAppendAction]
    bench: str | None = None
    limit: int | None = None

    def run(self) -> None:
        """Start, and print the number of dialogues.

        Raises:
            ValueError: the file exists, more than two runs, runs of different tasks, or runs without a common dialogue.
        """
        from mmcr_bench.review.event_log import open_database
        from mmcr_bench.review.score_log import ScoreLog
        from mmcr_bench.trust.runs import find_task, read_run

        if self.scores.exists():
            raise ValueError(f"{self.scores}: exists; go on with `scoring serve`, or name another file")
        if len(self.runs) not in (1, 2) or (self.limit is not None and self.limit < 1):
            raise ValueError(
                f"{len(self.runs)} runs, --limit {self.limit}: expected one or two runs and a limit from 1"
            )
        tasks = sorted({find_task(run) for run in self.runs})
        if len(tasks) > 1:
            raise ValueError(f"the runs are of {' and '.join(tasks)}; score one task at a time")
        runs = [read_run(run, self.bench, tasks[0]) for run in self.runs]
        log = ScoreLog(open_database(self.scores))
        try:
            number = log.start(runs, tasks[0], self.limit)
        except ValueError:
            self.scores.unlink()
            raise
        print(f"{self.scores}: {number} dialogues of {tasks[0]}, {len(runs)} models; add `scoring account`s")
        if self.bench is None:
            logger.warning("the run keeps no images: name the bench with --bench, or the experts see none")


@dataclass(frozen=True)
class ScoringAccount:
    """Create an expert's account, or give it a new password, which is prompted for.

    Attributes:
        scores: SQLite file of the scores.
        name: user name.
    """

    scores: Positional[ScoreFile]
    name: Positional[str]

    def run(self) -> None:
        """Create it; the password comes from standard input if that is not a terminal."""
        _, accounts = open_scores(self.scores)
        asked = f"Password for {self.name}: "
        password = getpass.getpass(asked) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
        accounts.add(self.name, password)
        print(f"{self.name} may log in")


@dataclass(frozen=True)
class ScoringServe:
    """Serve the scoring page.

    Attributes:
        scores: SQLite file of the scores.
        host: address to listen on.
        port: port to listen on.
        public_url: address as browsers see it, behind a proxy that asks by another.
    """

    scores: Positional[ScoreFile]
    host: str = "127.0.0.1"
    port: int = 8601
    public_url: str | None = None

    def run(self) -> None:
        """Serve until interrupted."""
        import uvicorn

        from mmcr_bench.review.score_page import make_score_app

        log, accounts = open_scores(self.scores)
        print(f"scoring of {len(log.ids())} dialogues on http://{self.host}:{self.port}", flush=True)
        if self.host not in ("127.0.0.1", "localhost"):
            logger.warning("passwords are sent unencrypted unless a TLS proxy is in front of this address")
        app = make_score_app(log, accounts, self.public_url)
        uvicorn.run(app, host=self.host, port=self.port, log_level="warning", server_header=False)
        print("stopped")


@dataclass(frozen=True)
class ScoringExport:
    """Export the scores as JSON lines for `agreement --experts`.

    Attributes:
        scores: SQLite file of the scores.
        file: output file.
    """

    scores: Positional[ScoreFile]
    file: Positional[Path]

    def run(self) -> None:
        """Export, and print how many scores each expert has given."""
        log, accounts = open_scores(self.scores)
        lines = list(log.export())
        self.file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        given = log.given()
        by_expert = {name: len({one.id for one in given if one.expert == name}) for name in accounts.names("expert")}
        print(f"{self.file}: {len(lines)} lines")
        for name, count in by_expert.items():
            print(f"scored by {name}: {count} of {len(log.ids())} dialogues")


def open_scores(path: Path) -> tuple[ScoreLog, Accounts]:
    """The scores and accounts of an existing file.

    Raises:
        ValueError: there is none.
    """
    from mmcr_bench.review.accounts import Accounts
    from mmcr_bench.review.event_log import open_database
    from mmcr_bench.review.score_log import ScoreLog

    if not path.is_file():
        raise ValueError(
            f"{path}: no file of scores; start one with `python -m mmcr_bench scoring start {path} --run RUN`"
        )
    return ScoreLog(open_database(path)), Accounts(open_database(path))
